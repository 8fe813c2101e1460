"""`chosen, rejected` as text, beside a `prompt`, an `instruction` with optional `input`, or a `question`; `system` may be there."""

from typing import Any

from edgetune.data.formats import Example
from edgetune.data.formats._pairs import both, must_have_sides, preference
from edgetune.data.formats._prompt import asked, asked_key
from edgetune.data.formats._text import answer

TITLE = "pairs of answers"
PRECEDENCE = 70
SHAPE = "a question with `chosen` and `rejected` as text"
SAMPLE = {"prompt": "What is far?", "chosen": "The moon.", "rejected": "My nose."}


def detect(row: dict[str, Any]) -> bool:
    """Whether the row has this shape."""
    return both(row, str) and asked_key(row) is not None


def convert(row: dict[str, Any]) -> Example:
    """The question, and the two answers."""
    chosen, rejected = ([{"role": "assistant", "content": answer(row, key)}] for key in must_have_sides(row))
    return preference(row, asked(row, asked_key(row) or "prompt"), [(chosen, rejected)])
