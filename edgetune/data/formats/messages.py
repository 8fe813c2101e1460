"""`messages` (or `conversations`) of {role, content}: OpenAI's and ChatML's shape."""

from typing import Any

from edgetune.data.formats import Example
from edgetune.data.formats._calls import tools
from edgetune.data.formats._pairs import sides
from edgetune.data.formats._text import no_media
from edgetune.data.formats._turns import check_conversation, conversation, list_of

TITLE = "messages (OpenAI, ChatML)"
PRECEDENCE = 100
SHAPE = "`messages` (or `conversations`) of role/content"
SAMPLE = {"messages": [{"role": "user", "content": "What is far?"}, {"role": "assistant", "content": "The moon."}]}


def detect(row: dict[str, Any]) -> bool:
    """Whether the row has this shape."""
    return list_of(row, "role") is not None and is_plain(row)


def is_plain(row: dict[str, Any]) -> bool:
    """Whether nothing passes a verdict on the conversation's answers."""
    return row.get("label") is None and row.get("kto_tag") is None and sides(row) is None


def convert(row: dict[str, Any]) -> Example:
    """The conversation."""
    no_media(row)
    return Example(check_conversation(conversation(row)), tools=tools(row))
