"""`text`: raw text for continued pretraining."""

from typing import Any

from edgetune.data.formats import Example, string


def detect(row: dict[str, Any]) -> bool:
    """Whether the row has this shape."""
    return isinstance(row.get("text"), str)


def convert(row: dict[str, Any]) -> Example:
    """The document."""
    return Example(text=string(row, "text"))
