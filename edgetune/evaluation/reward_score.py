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

ANSWERS_PER_ROUND = 80
"""Answers scored before progress is reported: ten of the scorer's batches."""


@dataclass
class ScoredAnswer:
    """An answer with the prompt it belongs to, the line of its file, and its score."""

    line: int
    prompt: list[dict[str, Any]]
    answer: str
    ids: list[int]
    score: float = 0.0


def read_answers(path: Path, scorer: Scorer) -> tuple[list[ScoredAnswer], list[tuple[int, str]]]:
    """The answers in a file of any shape that has some, and the rows that were left out: line and reason."""
    files = sources([str(path)])
    formats = tuple(detection.format for detection in scan.detect_formats(files, "auto", {}))
    job = Job(formats, rules=Rules(scorer.length, train_on="last"), look=False)

    answers: list[ScoredAnswer] = []
    rejected: list[tuple[int, str]] = []
    for piece in scan.raw_batches(files):
        batch = examine(piece.source, piece.file, piece.raws, job, scorer.tokenizer)
        rejected += [(row.line, row.reason) for row in batch.rejected]
        for unit in batch.units:
            kind = unit.example.kind
            if kind not in ("conversation", "preference", "unpaired"):
                raise InputError(f"{path.name} holds no answers", f"Its rows are of kind {kind}.", "Name a file of answers.")
            for part, row in zip(conversations(unit.example), unit.rows, strict=True):
                *prompt, last = part.messages
                answers.append(ScoredAnswer(unit.line, prompt, str(last.get("content") or ""), row.ids))

    if not answers:
        first = f" The first: line {rejected[0][0]}, {rejected[0][1]}." if rejected else ""
        raise InputError(
            f"No answer in {path.name} can be scored",
            f"All {len(rejected)} rows were left out.{first}",
            f"Run 'edgetune data check {path}' to see what is wrong with its rows.",
        )
    return answers, rejected


def rank_answers(run: Run, path: Path, progress: Callable[[int, int], None] | None = None) -> dict[str, Any]:
    """Every prompt of a file with its answers, the best first: what `edgetune score` prints."""
    scorer = Scorer(run)
    answers, rejected = read_answers(path, scorer)

    for start in range(0, len(answers), ANSWERS_PER_ROUND):
        part = answers[start : start + ANSWERS_PER_ROUND]
        scores = scorer.scores([answer.ids for answer in part])
        for answer, score in zip(part, scores, strict=True):
            answer.score = score
        if progress:
            progress(min(start + len(part), len(answers)), len(answers))

    return {
        "run": run.name,
        "scored": len(answers),
        "rejected": [{"line": line, "reason": reason} for line, reason in rejected],
        "prompts": [
            {
                "prompt": without_marks(group[0].prompt),
                "answers": [{"line": answer.line, "score": answer.score, "answer": answer.answer} for answer in group],
            }
            for group in _groups(answers)
        ],
    }


def without_marks(prompt: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A prompt's messages without our marks on them."""
    return [{key: value for key, value in message.items() if key != "train"} for message in prompt]


def _groups(answers: list[ScoredAnswer]) -> Iterator[list[ScoredAnswer]]:
    """Answers of one prompt together, in the prompts' order of appearance, the best first."""
    groups: dict[str, list[ScoredAnswer]] = {}
    for answer in answers:
        groups.setdefault(json.dumps(without_marks(answer.prompt), sort_keys=True), []).append(answer)
    for group in groups.values():
        yield sorted(group, key=lambda answer: -answer.score)
