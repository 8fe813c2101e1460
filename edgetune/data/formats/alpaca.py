"""`instruction, output` with optional `input`, `system`, `history`: Alpaca's shape; `response` may stand for `output`."""

from typing import Any

from edgetune.data.formats import Example
from edgetune.data.formats._calls import read_tools
from edgetune.data.formats._pairs import side_columns
from edgetune.data.formats._prompt import prompt_turns
from edgetune.data.formats._text import column_pair, refuse_media, text_field
from edgetune.data.row import RowError

TITLE = "Alpaca"
PRECEDENCE = 130
SHAPE = "`instruction` with `output` (or `response`)"
SAMPLE = {"instruction": "What is far?", "input": "", "output": "The moon."}
COLUMN_PAIRS = (("instruction", "output"), ("instruction", "response"))


def question_answer_columns(row: dict[str, Any]) -> tuple[str, str] | None:
    """The columns that hold the row's question and answer."""
    return column_pair(row, COLUMN_PAIRS)


def detect(row: dict[str, Any]) -> bool:
    """Whether the row has this shape."""
    return question_answer_columns(row) is not None and row.get("kto_tag") is None and side_columns(row) is None


def convert(row: dict[str, Any]) -> Example:
    """One question and its answer; a non-empty input goes below the instruction."""
    refuse_media(row)
    columns = question_answer_columns(row)
    if columns is None:
        raise RowError("missing", "there is no 'instruction' with an 'output'")
    reply = {"role": "assistant", "content": text_field(row, columns[1])}
    return Example([*prompt_turns(row, columns[0]), reply], tools=read_tools(row))
