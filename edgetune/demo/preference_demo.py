"""A taste on the bundled model: a rule votes, the model learns from its votes, and what came of it is measured.

The rule prefers the shorter of two answers among those that hold the fact (preferences/judges.py). Its votes must shorten the answers and
leave the facts alone. The demo shows it; the command line only prints it.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from edgetune.preferences.prompts import PromptList, read
from edgetune.storage.paths import BUNDLED
from edgetune.storage.workspace import Run, Workspace
from edgetune.text import contains

if TYPE_CHECKING:
    from edgetune.sessions.arena import Duel

VOTED_QUESTIONS, HELD_OUT_QUESTIONS = BUNDLED / "asked.jsonl", BUNDLED / "questions.jsonl"
"""Questions to vote on, in phrasings that the bundled model was taught in, and questions in others, to measure on."""
JUDGE_RULE, PAIRS_COLLECTED = "shortest", 150
ANSWERS_PER_QUESTION, MAX_ANSWER_TOKENS = 4, 120
"""Answers to each held-out question, and their longest: more than four times what the bundled model writes."""
OPTIONS: dict[str, Any] = {
    "base": "nano",
    "method": "dpo",
    "rank": 16,
    "alpha": 32.0,
    "epochs": 3.0,
    "learning_rate": 7e-4,
    "sft_weight": 0.3,
    "batch_size": 4,
    "gradient_accumulation": 1,
    "max_length": 256,
}
"""DPO as small bases need it: many small steps, and the chosen answers learned themselves, which guards the facts."""
ReportProgress = Callable[[int, int], None]


@dataclass(frozen=True)
class SampledAnswer:
    """A sampled answer: its text, its tokens, and whether it holds the fact."""

    text: str
    size: int
    right: bool


@dataclass(frozen=True)
class AnswerMeasures:
    """Answers to the held-out questions, ANSWERS_PER_QUESTION to each. length: mean tokens. right: share that holds the fact."""

    answers: list[list[SampledAnswer]]

    @property
    def length(self) -> float:
        """Mean tokens of an answer."""
        return fmean(answer.size for group in self.answers for answer in group)

    @property
    def right(self) -> float:
        """Share of the answers that hold the fact."""
        return fmean(answer.right for group in self.answers for answer in group)


def collect_votes(gguf: Path, workspace: Workspace, into: str, progress: ReportProgress = lambda _done, _total: None) -> int:
    """Let the rule vote on a model's answers, as `edgetune collect` does, until there are PAIRS pairs; their number."""
    from edgetune.chat.engine import Engine
    from edgetune.chat.sampling import Sampling
    from edgetune.preferences.authors import Author
    from edgetune.preferences.judges import rule
    from edgetune.preferences.store import store
    from edgetune.sessions.ranking import RankingSession

    # One model writes both answers, so that the votes are about its answers alone.
    judge, sampling = rule(JUDGE_RULE), Sampling(temperature=1.0)
    with Engine(gguf) as engine:
        writers = [(Author(gguf.stem, engine), sampling)] * 2
        session = RankingSession(store(workspace, into), read(VOTED_QUESTIONS), writers, source="collect", repeats=False)

        # Not every question gives a pair: where the rule has no winner there is nothing to learn from.
        while (pairs := session.state().pairs) < PAIRS_COLLECTED and (task := session.task()) is not None:
            session.vote(judge(task.prompt, task.candidates), JUDGE_RULE)
            progress(pairs, PAIRS_COLLECTED)
    return pairs


def measure_answers(gguf: Path, prompts: PromptList, seed: int, progress: ReportProgress = lambda _done, _total: None) -> AnswerMeasures:
    """Sample a model's answers to questions at temperature 1, from its own distribution, with seeds from `seed` on."""
    from edgetune.chat.conversation import Conversation
    from edgetune.chat.engine import Engine
    from edgetune.chat.sampling import Sampling

    # Nothing is cut off the distribution, as means over it are to be estimated; seeds make the demo repeatable.
    result = []
    with Engine(gguf) as engine:
        conversation = Conversation(engine)
        for number, prompt in enumerate(prompts.prompts):
            group = []
            for attempt in range(ANSWERS_PER_QUESTION):
                conversation.reset()
                settings = Sampling(temperature=1.0, top_k=0, top_p=1.0, min_p=0.0, seed=seed + ANSWERS_PER_QUESTION * number + attempt)

                answer = conversation.ask(str(prompt.messages[-1]["content"]), sampling=settings, max_tokens=MAX_ANSWER_TOKENS)
                text = "".join(answer)
                group.append(SampledAnswer(text, len(engine.tokenize(text)), contains(text, prompt.expected)))
            result.append(group)
            progress(number + 1, len(prompts.prompts))
    return AnswerMeasures(result)


def compare_models(
    models: dict[str, Path], workspace: Workspace, into: str, progress: ReportProgress = lambda _done, _total: None
) -> "Duel":
    """Two models' answers to the held-out questions, compared by the rule as `edgetune arena` does: how often the second wins."""
    from edgetune.chat.engine import Engine
    from edgetune.chat.sampling import Sampling
    from edgetune.preferences.authors import Author
    from edgetune.preferences.judges import rule
    from edgetune.preferences.store import store
    from edgetune.sessions.arena import Arena

    # A duel counts the wins of its first name, and here those of the second model are the question.
    names = list(models)[::-1]
    game = Arena(
        store(workspace, into),
        {name: models[name] for name in names},
        read(HELD_OUT_QUESTIONS),
        Sampling(temperature=1.0),
        judge=JUDGE_RULE,
    )

    # One model at a time in memory.
    for name in names:
        with Engine(models[name]) as engine:
            game.write(Author(name, engine), progress)

    judge = rule(JUDGE_RULE)
    while (match := game.next()) is not None:
        game.vote(match, judge(match.prompt, match.candidates))
    return game.result().duels[0]


def bundled_gguf(workspace: Workspace) -> Path:
    """The bundled model as an F16 GGUF, made where it is not there."""
    from edgetune.bases.fingerprint import fingerprint
    from edgetune.gguf.source import from_folder
    from edgetune.gguf.write import export_gguf

    path = workspace.chat_cache / f"nano-{fingerprint(BUNDLED)[:12]}-F16.gguf"
    if not path.is_file():
        export_gguf(from_folder(BUNDLED.resolve(), None), ["F16"], path)
    return path


def measure_outcome(run: Run, base: Path, workspace: Workspace, progress: Callable[[str, int, int], None]) -> dict[str, Any]:
    """What came of a run on the rule's votes: length and facts before and after, and the arena, in plain values."""
    from edgetune.gguf.source import from_run
    from edgetune.gguf.write import export_gguf

    # F16, so that what is measured is the training and not the quantization.
    tuned = Path(export_gguf(from_run(run), ["F16"], None)[0]["path"])
    questions = read(HELD_OUT_QUESTIONS)

    # Seeds far apart, so that no answer before and after shares its random numbers.
    before, after = (
        measure_answers(path, questions, seed, lambda done, total, path=path: progress(f"questions asked of {path.stem}", done, total))  # type: ignore[misc]
        for path, seed in ((base, 50_000), (tuned, 90_000))
    )

    duel = compare_models(
        {"nano": base, run.name: tuned}, workspace, run.name, lambda done, total: progress("questions for the arena", done, total)
    )
    return {
        "run": run.name,
        "questions": len(questions.prompts),
        "samples": ANSWERS_PER_QUESTION,
        "before": {"length": before.length, "right": before.right},
        "after": {"length": after.length, "right": after.right},
        "arena": {"wins": duel.wins, "losses": duel.losses, "ties": duel.ties, **asdict(duel.share), "verdict": duel.verdict},
    }
