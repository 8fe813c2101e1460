"""`prompt` alone, as text or as messages: something to answer, for reinforcement learning and comparing models."""

from typing import Any

from edgetune.data.formats import Example
from edgetune.data.formats._calls import tools
from edgetune.data.formats._prompt import asked
from edgetune.data.formats._text import given, no_media
from edgetune.data.formats._turns import check_prompt

TITLE = "prompts"
PRECEDENCE = 140
SHAPE = "`prompt` and no answer"
SAMPLE = {"prompt": "What is far?"}
ANSWERS = ("completion", "completions", "response", "answer", "answers", "output", "chosen", "rejected", "label", "kto_tag")
"""Columns that say that a row is more than a prompt."""


def detect(row: dict[str, Any]) -> bool:
    """Whether the row has this shape."""
    return isinstance(row.get("prompt"), (str, list)) and given(row, *ANSWERS) is None


def convert(row: dict[str, Any]) -> Example:
    """The turns to answer."""
    no_media(row)
    return Example(check_prompt(asked(row, "prompt")), tools=tools(row), kind="prompt")
