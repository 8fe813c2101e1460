"""Scores from a reward model: how much a person who voted as its pairs say would like an answer. The unit is the log-odds of winning."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgetune.data import scan
from edgetune.data.examine import Job, conversations, examine
from edgetune.data.render import Rules
from edgetune.data.sources import sources
from edgetune.errors import InputError
from edgetune.storage.workspace import Run
from edgetune.training.reward_model import Scorer

ANSWERS_PER_BATCH = 8


@dataclass
class ScoredAnswer:
    """An answer with the prompt it belongs to, where it stands in its file, and its score."""

    line: int
    prompt: list[dict[str, Any]]
    answer: str
    ids: list[int]
    score: float = 0.0


def read_answers(path: Path, scorer: Scorer) -> tuple[list[ScoredAnswer], list[tuple[int, str]]]:
    """The answers in a file of any shape that has some, and the rows that were left out: line and reason."""
    files = sources([str(path)])
    found = scan.detect_formats(files, "auto", {})
    job = Job(tuple(one.format for one in found), rules=Rules(scorer.length, train_on="last"), look=False)
    kept: list[ScoredAnswer] = []
    rejected: list[tuple[int, str]] = []
    for piece in scan.raw_batches(files):
        batch = examine(piece.source, piece.file, piece.raws, job, scorer.tokenizer)
        rejected += [(row.line, row.reason) for row in batch.rejected]
        for unit in batch.units:
            if unit.example.kind not in ("conversation", "preference", "unpaired"):
                raise InputError(f"{path.name} holds no answers", f"Its rows are of kind {unit.example.kind}.", "Name a file of answers.")
            for part, row in zip(conversations(unit.example), unit.rows, strict=True):
                kept.append(ScoredAnswer(unit.line, part.messages[:-1], str(part.messages[-1].get("content") or ""), row.ids))
    if not kept:
        first = f" The first: line {rejected[0][0]}, {rejected[0][1]}." if rejected else ""
        raise InputError(f"No answer in {path.name} can be scored", f"All {len(rejected)} rows were left out.{first}", "Check the file.")
    return kept, rejected


def rank_answers(run: Run, path: Path, progress: Callable[[int, int], None] | None = None) -> dict[str, Any]:
    """Every prompt of a file with its answers, the best first: what `edgetune score` prints."""
    scorer = Scorer(run)
    kept, rejected = read_answers(path, scorer)
    for start in range(0, len(kept), 10 * ANSWERS_PER_BATCH):
        part = kept[start : start + 10 * ANSWERS_PER_BATCH]
        for one, score in zip(part, scorer.scores([one.ids for one in part]), strict=True):
            one.score = score
        if progress:
            progress(min(start + len(part), len(kept)), len(kept))
    return {
        "run": run.name,
        "scored": len(kept),
        "rejected": [{"line": line, "reason": reason} for line, reason in rejected],
        "prompts": [
            {
                "prompt": without_marks(group[0].prompt),
                "answers": [{"line": one.line, "score": one.score, "answer": one.answer} for one in group],
            }
            for group in _groups(kept)
        ],
    }


def without_marks(prompt: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A prompt's messages without our marks on them."""
    return [{key: value for key, value in message.items() if key != "train"} for message in prompt]


def _groups(kept: list[ScoredAnswer]) -> Iterator[list[ScoredAnswer]]:
    """Answers of one prompt together, in the prompts' order of appearance, the best first."""
    groups: dict[str, list[ScoredAnswer]] = {}
    for one in kept:
        groups.setdefault(json.dumps(without_marks(one.prompt), sort_keys=True), []).append(one)
    for group in groups.values():
        yield sorted(group, key=lambda one: -one.score)
