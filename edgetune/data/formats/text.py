"""`text`: raw text for continued pretraining."""

from typing import Any

from edgetune.data.formats import Example
from edgetune.data.formats._text import text_field

TITLE = "raw text"
PRECEDENCE = 150
SHAPE = "`text`"
SAMPLE = {"text": "The moon is far, and my nose is near."}


def detect(row: dict[str, Any]) -> bool:
    """Whether the row has this shape."""
    return isinstance(row.get("text"), str)


def convert(row: dict[str, Any]) -> Example:
    """The document; `continues: true`, which readers of long documents write, says that the next row continues it."""
    return Example(text=text_field(row, "text"), kind="text", continues=row.get("continues") is True)
