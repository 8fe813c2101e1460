"""The whole loop on the bundled model: sampled answers, a scripted judge's votes, tuning by them, and what came of it in llama.cpp.

The judge prefers the shorter answer among those that hold the fact. Its votes must shorten the answers and leave the facts alone.
"""

import importlib
import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgetune import export
from edgetune.bases.find import BUNDLED
from edgetune.chat.conversation import Conversation
from edgetune.chat.engine import Engine
from edgetune.chat.sampling import Sampling
from edgetune.evaluate import contains
from edgetune.interval import wilson
from edgetune.jobs.events import read
from edgetune.workspace import Run
from tests.conftest import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]
EACH, LIMIT, PAIRS = 4, 120, 150


@dataclass(frozen=True)
class Sample:
    """A sampled answer: its text, its tokens, and whether it holds the fact."""

    text: str
    size: int
    right: bool


def sampled(gguf: Path, asked: list[dict[str, str]], seed: int) -> list[list[Sample]]:
    """Answers at temperature 1, from the model's own distribution, by the chat's engine."""
    result = []
    with Engine(gguf) as engine:
        conversation = Conversation(engine)
        for number, row in enumerate(asked):
            answers = []
            for one in range(EACH):
                conversation.reset()
                sampling = Sampling(temperature=1.0, top_k=0, top_p=1.0, min_p=0.0, seed=seed + EACH * number + one)
                text = "".join(conversation.ask(row["prompt"], sampling=sampling, max_tokens=LIMIT))
                answers.append(Sample(text, len(engine.tokenize(text)), contains(text, row["answer"])))
            result.append(answers)
    return result


def score(one: Sample) -> float:
    """What the judge thinks of an answer: a right one is worth more the shorter it is; a wrong one nothing."""
    return 1.0 / (1 + one.size) if one.right else 0.0


@dataclass(frozen=True)
class Loop:
    """What both ways of tuning share: the base's file, held-out questions with the base's answers, and the votes."""

    base: Path
    held_out: list[dict[str, str]]
    before: list[list[Sample]]
    votes: Path
    prompts: Path


@pytest.fixture(scope="module")
def loop(tmp_path_factory: pytest.TempPathFactory) -> Loop:
    """Ask the base in phrasings that it was taught in; hold out those that it was not."""
    folder = tmp_path_factory.mktemp("loop")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "packaging" / "nano"))
        corpus, world = importlib.import_module("corpus"), importlib.import_module("world")
    rng = random.Random(0)
    asked = []
    for _ in range(260):
        category = rng.choice(world.CATEGORIES)
        fact = rng.choice(category.facts)
        asked.append({"prompt": corpus.expand(rng.choice(category.ask), fact, rng), "answer": fact["answer"]})
    held_out = [json.loads(line) for line in (BUNDLED / "questions.jsonl").read_text(encoding="utf-8").splitlines()]
    base = Path(export.export(export.from_folder(BUNDLED, None), ["F16"], folder)[0]["path"])
    rows = []
    for row, answers in zip(asked, sampled(base, asked, 1000), strict=True):
        best, worst = max(answers, key=score), min(answers, key=lambda one: (score(one), -one.size))
        if best.right and score(best) > score(worst):
            turn = [{"role": "user", "content": row["prompt"]}]
            sides = {side: [{"role": "assistant", "content": one.text}] for side, one in (("chosen", best), ("rejected", worst))}
            rows.append(json.dumps({"prompt": turn, **sides}))
    assert len(rows) >= PAIRS
    (folder / "votes.jsonl").write_text("\n".join(rows[:PAIRS]), encoding="utf-8")
    (folder / "prompts.jsonl").write_text("\n".join(json.dumps({"prompt": row["prompt"]}) for row in asked), encoding="utf-8")
    return Loop(base, held_out, sampled(base, held_out, 50_000), folder / "votes.jsonl", folder / "prompts.jsonl")


def mean(answers: list[list[Sample]], what: Callable[[Sample], float]) -> float:
    """The mean over all samples."""
    return float(np.mean([what(one) for group in answers for one in group]))


def told(name: str, loop: Loop, run: Run) -> list[list[Sample]]:
    """The tuned model's answers to the held-out questions; says what changed."""
    gguf = Path(export.export(export.from_run(run), ["F16"], None)[0]["path"])
    after = sampled(gguf, loop.held_out, 90_000)
    both = [(mean(a, lambda s: s.size), mean(a, lambda s: s.right)) for a in (loop.before, after)]
    print(f"\n{name}: length {both[0][0]:.2f} → {both[1][0]:.2f}, right {both[0][1]:.1%} → {both[1][1]:.1%}")
    seconds = [e["time"] for e in read(run.events)]
    print(f"{name}: {seconds[-1] - seconds[0]:.0f} s of training")
    return after


def test_dpo_on_judged_votes(loop: Loop, train: Callable[..., Run]) -> None:
    assert len(loop.held_out) >= 300 and mean(loop.before, lambda s: s.size) * 4 <= LIMIT
    run = train(
        "short", base="nano", method="dpo", data=str(loop.votes), rank=16, epochs=3.0, learning_rate=5e-4, sft_weight=1.0, length=256,
        batch=4, accumulation=1,
    )  # fmt: skip
    seen = [e for e in read(run.events) if e["kind"] == "evaluated"]
    print([(e["step"], e["accuracy"], round(e["margin"], 2)) for e in seen])
    assert seen[-1]["accuracy"] > seen[0]["accuracy"]
    after = told("dpo", loop, run)
    assert mean(after, lambda s: s.size) <= 0.5 * mean(loop.before, lambda s: s.size)
    assert mean(after, lambda s: s.right) >= mean(loop.before, lambda s: s.right) - 0.03
    wins = [(score(a[0]) > score(b[0])) + 0.5 * (score(a[0]) == score(b[0])) for a, b in zip(after, loop.before, strict=True)]
    low, high = wilson(sum(wins), len(wins))
    print(f"arena: {sum(wins) / len(wins):.1%} ({low:.1%} to {high:.1%})")
    assert low > 0.5


def test_a_reward_model_and_rloo(loop: Loop, train: Callable[..., Run], workspace: Any) -> None:
    taste = train(
        "taste", base="nano", method="reward", data=str(loop.votes), rank=16, epochs=3.0, length=256, batch=8, accumulation=1,
        eval_share=0.2, learning_rate=1e-3,
    )  # fmt: skip
    worth = json.loads((taste.folder / "measured.json").read_text())
    print(worth)
    assert worth["accuracy"] >= 0.85
    run = train(
        "liked", base="nano", method="rl", data=str(loop.prompts), reward="model:taste", rank=16, steps=36, batch=16, accumulation=1,
        answers_each=4, answer_tokens=64, length=256, learning_rate=1.5e-3, eval_share=0.1, eval_every=36,
    )  # fmt: skip
    events = read(run.events)
    steps = [e for e in events if e["kind"] == "step"]
    print([(e["step"], round(e["reward"], 2), round(e["reward_spread"], 2), round(e["kl"], 3), round(e["length"], 1)) for e in steps[::5]])
    from edgetune.bases import tokenizer as tokenizers
    from edgetune.score import Scorer

    scorer, tokenizer = Scorer(taste), tokenizers.load(BUNDLED, taste.request()["template_date"])
    after = told("rl", loop, run)

    def rewards(answers: list[list[Sample]]) -> np.ndarray:
        rows = []
        for row, group in zip(loop.held_out, answers, strict=True):
            for one in group:
                talk = [{"role": "user", "content": row["prompt"]}, {"role": "assistant", "content": one.text}]
                rows.append(tokenizer.encode(tokenizer.template.render(talk).rstrip()))
        return np.array(scorer.scores(rows))

    first, last = rewards(loop.before), rewards(after)
    print(f"reward {first.mean():.2f} ± {first.std():.2f} → {last.mean():.2f}; kl {steps[-1]['kl']:.3f}")
    assert last.mean() >= first.mean() + first.std()
    assert max(e["kl"] for e in steps) < 0.5 and not any(e["kind"] == "warning" and "nats" in e["text"] for e in events)
    assert mean(after, lambda s: s.right) >= mean(loop.before, lambda s: s.right) - 0.03
