"""`conversations` (or `messages`) of {from, value}: ShareGPT's shape."""

from typing import Any

from edgetune.data.formats import Example, messages
from edgetune.data.formats._turns import turns_with_key

TITLE = "ShareGPT"
PRECEDENCE = 110
SHAPE = "`conversations` (or `messages`) of from/value"
SAMPLE = {"conversations": [{"from": "human", "value": "What is far?"}, {"from": "gpt", "value": "The moon."}]}


def detect(row: dict[str, Any]) -> bool:
    """Whether the row has this shape."""
    return turns_with_key(row, "from") is not None and messages.is_plain(row)


def convert(row: dict[str, Any]) -> Example:
    """The conversation, roles renamed."""
    return messages.convert(row)
