"""`prompt, answers: [{answer, rank}]`: answers in order, 1 the best; every better one is preferred to every worse one."""

import math
from typing import Any

from edgetune.data.formats import Example
from edgetune.data.formats._pairs import Turns, preference_example
from edgetune.data.formats._prompt import prompt_turns, question_column
from edgetune.data.formats._text import first_filled, text_field
from edgetune.data.formats._turns import read_turns
from edgetune.data.row import RowError

TITLE = "ranking"
PRECEDENCE = 30
SHAPE = "`prompt` with `answers` of answer/rank"
SAMPLE = {"prompt": "What is far?", "answers": [{"answer": "The moon.", "rank": 1}, {"answer": "My nose.", "rank": 2}]}


def detect(row: dict[str, Any]) -> bool:
    """Whether the row has this shape."""
    answers = row.get("answers")
    return (
        isinstance(answers, list)
        and bool(answers)
        and isinstance(answers[0], dict)
        and "rank" in answers[0]
        and question_column(row) is not None
    )


def convert(row: dict[str, Any]) -> Example:
    """Pairs of every better answer over every worse one, those of the best first; equal ranks make no pair."""
    answers = row.get("answers")
    if not isinstance(answers, list):
        raise RowError("missing" if answers is None else "wrong_type", "'answers' should be a list of objects with answer and rank")
    ranked = sorted((_ranked(item, number) for number, item in enumerate(answers, 1)), key=lambda item: item[0])

    pairs = [(better, worse) for rank, better in ranked for other, worse in ranked if other > rank]
    if not pairs:
        raise RowError("rank", "no two answers differ in rank, so none is preferred")
    return preference_example(row, prompt_turns(row, question_column(row) or "prompt"), pairs)


def _ranked(item: Any, number: int) -> tuple[float, Turns]:
    if not isinstance(item, dict):
        raise RowError("wrong_type", f"'answers', {number}: should be an object with answer and rank and is {type(item).__name__}")
    rank = item.get("rank")
    if isinstance(rank, bool) or not isinstance(rank, (int, float)) or not math.isfinite(rank):
        raise RowError("rank", f"'answers', {number}: rank {rank!r} is not a number (1 is the best)")

    key = first_filled(item, "answer", "text", "content") or "answer"
    value = item.get(key)
    if isinstance(value, list):
        return rank, read_turns(value, key)
    return rank, [{"role": "assistant", "content": text_field(item, key)}]
