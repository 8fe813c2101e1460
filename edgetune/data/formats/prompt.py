"""`prompt` alone, as text or as messages: something to answer, for reinforcement learning and comparing models."""

from typing import Any

from edgetune.data.formats import Example
from edgetune.data.formats._calls import read_tools
from edgetune.data.formats._prompt import prompt_turns
from edgetune.data.formats._text import first_filled, refuse_media
from edgetune.data.formats._turns import require_question

TITLE = "prompts"
PRECEDENCE = 140
SHAPE = "`prompt` and no answer"
SAMPLE = {"prompt": "What is far?"}
ANSWER_COLUMNS = ("completion", "completions", "response", "answer", "answers", "output", "chosen", "rejected", "label", "kto_tag")
"""Columns that say that a row is more than a prompt."""


def detect(row: dict[str, Any]) -> bool:
    """Whether the row has this shape."""
    return isinstance(row.get("prompt"), (str, list)) and first_filled(row, *ANSWER_COLUMNS) is None


def convert(row: dict[str, Any]) -> Example:
    """The turns to answer."""
    refuse_media(row)
    return Example(require_question(prompt_turns(row, "prompt")), tools=read_tools(row), kind="prompt")
