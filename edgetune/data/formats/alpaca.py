"""`instruction, output` with optional `input`, `system`, `history`: Alpaca's shape; `response` may stand for `output`."""

from typing import Any

from edgetune.data.formats import Example
from edgetune.data.formats._calls import tools
from edgetune.data.formats._pairs import sides
from edgetune.data.formats._prompt import asked
from edgetune.data.formats._text import answer, no_media, pair_of
from edgetune.data.row import RowError

TITLE = "Alpaca"
PRECEDENCE = 130
SHAPE = "`instruction` with `output` (or `response`)"
SAMPLE = {"instruction": "What is far?", "input": "", "output": "The moon."}
PAIRS = (("instruction", "output"), ("instruction", "response"))


def keys(row: dict[str, Any]) -> tuple[str, str] | None:
    """The columns that hold the row's question and answer."""
    return pair_of(row, PAIRS)


def detect(row: dict[str, Any]) -> bool:
    """Whether the row has this shape."""
    return keys(row) is not None and row.get("kto_tag") is None and sides(row) is None


def convert(row: dict[str, Any]) -> Example:
    """One question and its answer; a non-empty input goes below the instruction."""
    no_media(row)
    found = keys(row)
    if found is None:
        raise RowError("missing", "there is no 'instruction' with an 'output'")
    end = {"role": "assistant", "content": answer(row, found[1])}
    return Example([*asked(row, found[0]), end], tools=tools(row))
