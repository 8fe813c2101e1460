"""`chosen, rejected` as text, beside a `prompt`, an `instruction` with optional `input`, or a `question`; `system` may be there."""

from typing import Any

from edgetune.data.formats import Example
from edgetune.data.formats._pairs import has_both_sides, preference_example, require_sides
from edgetune.data.formats._prompt import prompt_turns, question_column
from edgetune.data.formats._text import text_field

TITLE = "pairs of answers"
PRECEDENCE = 70
SHAPE = "a question with `chosen` and `rejected` as text"
SAMPLE = {"prompt": "What is far?", "chosen": "The moon.", "rejected": "My nose."}


def detect(row: dict[str, Any]) -> bool:
    """Whether the row has this shape."""
    return has_both_sides(row, str) and question_column(row) is not None


def convert(row: dict[str, Any]) -> Example:
    """The question, and the two answers."""
    chosen, rejected = ([{"role": "assistant", "content": text_field(row, key)}] for key in require_sides(row))
    return preference_example(row, prompt_turns(row, question_column(row) or "prompt"), [(chosen, rejected)])
