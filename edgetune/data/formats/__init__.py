"""One file per shape of example; the file name is the format's name.

Each has
  TITLE: str                     what people call it ("ShareGPT")
  SHAPE: str                     what is looked for, in words ("`conversations` with from/value")
  SAMPLE: dict                   a small row of this shape, for help and tests
  detect(row) -> bool            whether a row has the shape
  convert(row) -> Example        what it teaches; raises RowError with kind and reason when the row does not fit
"""

from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, Literal

from edgetune.data.row import RowError

ORDER = ("messages", "sharegpt", "prompt_completion", "alpaca", "text")
"""Formats in the order in which they are tried (the first that matches nearly all rows wins)."""

Kind = Literal["conversation", "text", "preference", "unpaired", "prompt"]


@dataclass(frozen=True)
class Example:
    """What a row teaches.

    conversation: `messages` with at least one answer. text: `text`. preference: `pairs` of (chosen, rejected) turns, each to follow
    `messages`. unpaired: `messages` that end in an answer, `label` whether it is a good one. prompt: `messages` still to be answered.
    """

    messages: list[dict[str, Any]] = field(default_factory=list)
    text: str = ""
    tools: list[Any] | None = None
    kind: Kind = "conversation"
    pairs: list[tuple[list[dict[str, Any]], list[dict[str, Any]]]] = field(default_factory=list)
    label: bool | None = None


def module(name: str) -> Any:
    """The module of a format."""
    return import_module(f"{__name__}.{name}")


def string(row: dict[str, Any], key: str, required: bool = True) -> str:
    """A row's text field; null counts as missing. Raises RowError: missing, wrong_type, nul, surrogate, empty."""
    value = row.get(key)
    if value is None and not required:
        return ""
    if not isinstance(value, str):
        if value is None:
            raise RowError("missing", f"'{key}' should be text and is missing")
        raise RowError("wrong_type", f"'{key}' should be text and is {type(value).__name__}")
    if "\x00" in value:
        raise RowError("nul", f"'{key}' holds NUL characters")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise RowError("surrogate", f"'{key}' holds half a surrogate pair, which is no text") from None
    if required and not value.strip():
        raise RowError("empty", f"'{key}' is empty")
    return value


def check_conversation(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Refuse conversations from which nothing can be learned. Raises RowError: no_answer, assistant_first."""
    if not any(m["role"] == "assistant" for m in messages):
        raise RowError("no_answer", "no assistant turn, so nothing to learn")
    if next(m["role"] for m in messages if m["role"] != "system") == "assistant":
        raise RowError("assistant_first", "the assistant speaks first, so there is no prompt")
    return messages
