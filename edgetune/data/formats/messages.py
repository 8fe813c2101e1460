"""`messages` (or `conversations`) of {role, content}: OpenAI's and ChatML's shape."""

from typing import Any

from edgetune.data.formats import Example, check_conversation, string

KEYS = ("messages", "conversations", "texts")
ROLES = {"system", "user", "assistant", "tool"}


def turns(row: dict[str, Any], mark: str) -> list[Any] | None:
    """The row's list of turns whose first has the key `mark`."""
    for key in KEYS:
        value = row.get(key)
        if isinstance(value, list) and value and isinstance(value[0], dict) and mark in value[0]:
            return value
    return None


def detect(row: dict[str, Any]) -> bool:
    """Whether the row has this shape."""
    return turns(row, "role") is not None and "chosen" not in row and "label" not in row


def _content(turn: dict[str, Any]) -> str:
    """Text of a turn; structured content is flattened, anything but text in it refused by name."""
    value = turn.get("content")
    if not isinstance(value, list):
        return string(turn, "content", required=not turn.get("tool_calls"))
    parts = []
    for part in value:
        if not isinstance(part, dict) or part.get("type") != "text":
            raise ValueError(
                f"content of type {part.get('type') if isinstance(part, dict) else type(part).__name__!r} cannot be trained on"
            )
        parts.append(string(part, "text" if "text" in part else "value"))
    return "".join(parts)


def convert(row: dict[str, Any]) -> Example:
    """The conversation."""
    value = turns(row, "role")
    if value is None:
        raise ValueError("no list of turns with 'role' and 'content'")
    messages = []
    for number, turn in enumerate(value, 1):
        role = turn.get("role") if isinstance(turn, dict) else turn
        if not isinstance(turn, dict) or not isinstance(role, str) or role not in ROLES:
            raise ValueError(f"turn {number}: role {role!r} is unknown (known: {', '.join(sorted(ROLES))})")
        try:
            message = {"role": turn["role"], "content": _content(turn)}
        except ValueError as error:
            raise ValueError(f"turn {number}: {error}") from None
        if turn.get("tool_calls"):
            message["tool_calls"] = turn["tool_calls"]
        messages.append(message)
    tools = row.get("tools")
    return Example(check_conversation(messages), tools=tools if isinstance(tools, list) else None)
