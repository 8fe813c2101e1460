"""`messages` (or `conversations`) of {role, content}: OpenAI's and ChatML's shape."""

from typing import Any

from edgetune.data.formats import Example
from edgetune.data.formats._calls import drop_foreign_nulls, read_tools
from edgetune.data.formats._pairs import side_columns
from edgetune.data.formats._text import refuse_media
from edgetune.data.formats._turns import read_conversation, require_answer, turns_with_key

TITLE = "messages (OpenAI, ChatML)"
PRECEDENCE = 100
SHAPE = "`messages` (or `conversations`) of role/content"
SAMPLE = {"messages": [{"role": "user", "content": "What is far?"}, {"role": "assistant", "content": "The moon."}]}


def detect(row: dict[str, Any]) -> bool:
    """Whether the row has this shape."""
    return turns_with_key(row, "role") is not None and is_plain(row)


def is_plain(row: dict[str, Any]) -> bool:
    """Whether nothing passes a verdict on the conversation's answers."""
    return row.get("label") is None and row.get("kto_tag") is None and side_columns(row) is None


def convert(row: dict[str, Any]) -> Example:
    """The conversation."""
    refuse_media(row)
    tools = read_tools(row)
    return Example(drop_foreign_nulls(require_answer(read_conversation(row)), tools), tools=tools)
