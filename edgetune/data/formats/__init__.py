"""One file per shape of example; the file name is the format's name.

Each has `detect(row) -> bool` and `convert(row) -> Example`, which raises ValueError with the reason when a row does not fit.
"""

from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

ORDER = ("messages", "sharegpt", "prompt_completion", "alpaca", "text")
"""Formats in the order in which they are tried (the first that matches nearly all rows wins)."""


@dataclass(frozen=True)
class Example:
    """What a row teaches: a conversation, or plain text."""

    messages: list[dict[str, Any]] = field(default_factory=list)
    text: str = ""
    tools: list[Any] | None = None


def module(name: str) -> Any:
    """The module of a format."""
    return import_module(f"{__name__}.{name}")


def string(row: dict[str, Any], key: str, required: bool = True) -> str:
    """A row's text field; null counts as missing."""
    value = row.get(key)
    if value is None and not required:
        return ""
    if not isinstance(value, str):
        raise ValueError(f"'{key}' should be text and is {'missing' if value is None else type(value).__name__}")
    if "\x00" in value:
        raise ValueError(f"'{key}' holds NUL characters")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError(f"'{key}' holds half a surrogate pair, which is no text") from None
    if required and not value.strip():
        raise ValueError(f"'{key}' is empty")
    return value


def check_conversation(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Refuse conversations from which nothing can be learned."""
    if not any(m["role"] == "assistant" for m in messages):
        raise ValueError("no assistant turn, so nothing to learn")
    if next(m["role"] for m in messages if m["role"] != "system") == "assistant":
        raise ValueError("the assistant speaks first, so there is no prompt")
    return messages
