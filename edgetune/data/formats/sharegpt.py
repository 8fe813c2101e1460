"""`conversations` of {from, value}: ShareGPT's shape."""

from typing import Any

from edgetune.data.formats import Example, check_conversation, string
from edgetune.data.formats.messages import turns

ROLES = {
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "assistant": "assistant",
    "system": "system",
    "function_call": "assistant",
    "observation": "tool",
    "tool": "tool",
}


def detect(row: dict[str, Any]) -> bool:
    """Whether the row has this shape."""
    return turns(row, "from") is not None and "chosen" not in row and "label" not in row


def convert(row: dict[str, Any]) -> Example:
    """The conversation, roles renamed."""
    value = turns(row, "from")
    if value is None:
        raise ValueError("no list of turns with 'from' and 'value'")
    messages = [{"role": "system", "content": string(row, "system")}] if row.get("system") else []
    for number, turn in enumerate(value, 1):
        speaker = turn.get("from") if isinstance(turn, dict) else turn
        if not isinstance(turn, dict) or not isinstance(speaker, str) or speaker not in ROLES:
            raise ValueError(f"turn {number}: speaker {speaker!r} is unknown")
        try:
            messages.append({"role": ROLES[speaker], "content": string(turn, "value")})
        except ValueError as error:
            raise ValueError(f"turn {number}: {error}") from None
    return Example(check_conversation(messages))
