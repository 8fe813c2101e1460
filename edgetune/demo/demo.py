"""The whole way on the bundled model: what the demo trains, asks and measures. The command line only prints it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgetune.storage.paths import BUNDLED
from edgetune.storage.workspace import Run, Workspace
from edgetune.text import contains

if TYPE_CHECKING:
    from edgetune.chat.engine import Engine

LIGHTHOUSE = Path(__file__).parent / "lighthouse"
OPTIONS: dict[str, Any] = {
    "base": "nano",
    "data": [str(LIGHTHOUSE / "train.jsonl")],
    "replay": str(BUNDLED / "replay.jsonl"),
    "replay_ratio": 0.45,
    "method": "sft",
    "quantization": "nf4",
    "rank": 64,
    "alpha": 128.0,
    "batch_size": 8,
    "gradient_accumulation": 1,
    "max_length": 256,
    "max_steps": 600,
    "learning_rate": 8e-4,
    "eval_steps": 120,
    "save_steps": 120,
}
EXPORT_TYPES = ["Q4_K_M", "Q8_0", "F16"]
ANSWER_TOKENS = 60
SIDE_BY_SIDE_PROMPTS = (
    "Can you tell me the name of the keeper's cat?",
    "I forgot the day of the supply boat. Help me out.",
    "What is the opposite of hot?",
)
"""Prompts answered side by side: two the base cannot know, one it does."""


def questions(path: Path) -> list[dict[str, str]]:
    """A file of questions with the answers expected."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def greedy_answers(engine: "Engine", prompts: list[str]) -> list[str]:
    """Greedy answers of a GGUF, each prompt a conversation of its own."""
    from edgetune.chat.conversation import Conversation
    from edgetune.chat.sampling import Sampling

    result = []
    conversation = Conversation(engine)
    for prompt in prompts:
        conversation.reset()
        result.append("".join(conversation.ask(prompt, sampling=Sampling(temperature=0.0, seed=0), max_tokens=ANSWER_TOKENS)))
    return result


def measure_file(path: Path, say: Callable[[str], None]) -> dict[str, Any]:
    """One GGUF: share of new and of old questions answered, the shown prompts' answers, tokens a second."""
    from edgetune.chat.engine import Engine

    # Old questions show what was forgotten, as the new ones show what was learned.
    new, old = questions(LIGHTHOUSE / "questions.jsonl"), questions(BUNDLED / "questions.jsonl")
    say(f"asking {path.name} {len(new)} new and {len(old)} old questions")

    # No stop tokens for the speed: it needs a fixed number of tokens.
    with Engine(path) as engine:
        replies = greedy_answers(engine, [q["prompt"] for q in [*new, *old]])
        hits = [contains(reply, q["answer"]) for reply, q in zip(replies, [*new, *old], strict=True)]
        side_by_side = greedy_answers(engine, list(SIDE_BY_SIDE_PROMPTS))
        speed = engine.generate(engine.prompt_tokens("The"), max_tokens=200, stop_ids=()).finished().stats

    return {
        "new": sum(hits[: len(new)]) / len(new),
        "old": sum(hits[len(new) :]) / len(old),
        "new_asked": len(new),
        "old_asked": len(old),
        "shown": side_by_side,
        "tokens_per_second": round(speed.tokens_per_second) if speed else None,
    }


def export_all(
    run: Run, workspace: Workspace, progress: Callable[[str, int, int], None], say: Callable[[str], None]
) -> tuple[Path, list[dict[str, Any]]]:
    """The base as a GGUF to compare with, and the tuned model in every type, each proven."""
    from edgetune.gguf.source import from_folder, from_run
    from edgetune.gguf.write import export_gguf, make_prover, require_proven

    base = Path(export_gguf(from_folder(BUNDLED.resolve(), None), ["Q4_K_M"], run.exports / "base-nano-Q4_K_M.gguf", progress)[0]["path"])
    source = from_run(run)
    exported = export_gguf(source, EXPORT_TYPES, None, progress, proving=make_prover(source, workspace, say))
    require_proven(exported)
    return base, exported
