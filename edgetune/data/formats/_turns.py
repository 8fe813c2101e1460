"""Turns of a conversation, whoever wrote them down: {role, content} or {from, value}, as the messages a chat template takes."""

from typing import Any

from edgetune.data.formats._calls import calls
from edgetune.data.formats._text import answer, checked, given, string
from edgetune.data.row import RowError

LISTS = ("messages", "conversations", "texts")
"""Columns that hold a conversation."""
ROLES = {
    "system": ("system", "developer"),
    "user": ("user", "human", "prompter"),
    "assistant": ("assistant", "gpt", "model", "bot", "chatgpt", "bing", "bard", "function_call", "tool_call", "tool_calls"),
    "tool": ("tool", "function", "observation", "ipython", "tool_response", "tool_results"),
}
SPEAKERS = {speaker: role for role, speakers in ROLES.items() for speaker in speakers}
CALLERS = frozenset(("function_call", "tool_call", "tool_calls"))
"""Speakers whose text is a call of a tool, as JSON."""
THOUGHTS = ("reasoning_content", "thinking", "reasoning")
WEIGHTS = ("weight", "loss_weight", "train")


def list_of(row: dict[str, Any], mark: str) -> list[Any] | None:
    """The row's list of turns whose first has the key `mark`."""
    for key in LISTS:
        value = row.get(key)
        if isinstance(value, list) and value and isinstance(value[0], dict) and mark in value[0]:
            return value
    return None


def has_turns(row: dict[str, Any]) -> bool:
    """Whether the row has a list of turns of either spelling."""
    return list_of(row, "role") is not None or list_of(row, "from") is not None


def conversation(row: dict[str, Any]) -> list[dict[str, Any]]:
    """The messages of the row's conversation, its `system` column first. Raises RowError."""
    key = given(row, *LISTS)
    if key is None:
        raise RowError("missing", f"none of {', '.join(LISTS)} holds a list of turns")
    found = messages(row[key], key)
    before = string(row, "system", required=False)
    return [{"role": "system", "content": before}, *found] if before and found[0]["role"] != "system" else found


def messages(value: Any, name: str) -> list[dict[str, Any]]:
    """A list of turns as messages. Raises RowError: wrong_type, no_turns, and of its turns what `message` raises."""
    if not isinstance(value, list):
        kind, found = ("missing", "missing") if value is None else ("wrong_type", type(value).__name__)
        raise RowError(kind, f"'{name}' should be a list of turns and is {found}")
    if not value:
        raise RowError("no_turns", f"'{name}' is an empty list")
    result = []
    for number, turn in enumerate(value, 1):
        try:
            result.append(message(turn))
        except RowError as error:
            raise RowError(error.kind, f"'{name}', turn {number}: {error}") from None
    return result


def message(turn: Any) -> dict[str, Any]:
    """A turn as a message. Raises RowError: wrong_type, unknown_role, not_text, tool_call, and what text fields raise."""
    if not isinstance(turn, dict):
        raise RowError("wrong_type", f"a turn should be an object and is {type(turn).__name__}")
    speaker = turn.get(given(turn, "role", "from") or "role")
    name = speaker.lower() if isinstance(speaker, str) else None
    role = SPEAKERS.get(name) if name else None
    if role is None:
        raise RowError("unknown_role", f"role {speaker!r:.40} is unknown (known: {', '.join(SPEAKERS)})")
    result = {"role": role, "content": ""}
    if role == "assistant":
        _answer(turn, result, called=name in CALLERS)
    else:
        result["content"] = _content(turn, result, required=role == "user")
    if role == "tool":
        result.update({key: string(turn, key) for key in ("name", "tool_call_id") if turn.get(key)})
    return result


def _answer(turn: dict[str, Any], result: dict[str, Any], called: bool) -> None:
    """Fill in the assistant's message."""
    made = calls(turn.get(given(turn, "value", "content") or "value")) if called else []
    for key in ("tool_calls", "function_call"):
        if turn.get(key):
            made += calls(turn[key])
    thought = given(turn, *THOUGHTS)
    if thought and turn[thought]:
        result["reasoning_content"] = string(turn, thought)
    if not called:
        result["content"] = _content(turn, result, required=not made)
    made += result.pop("tool_calls", [])
    if made:
        result["tool_calls"] = made
    if any(turn.get(key) is not None and turn[key] == 0 for key in WEIGHTS):
        result["train"] = False


def _content(turn: dict[str, Any], result: dict[str, Any], required: bool) -> str:
    """Text of a turn; of structured content its text, thoughts and calls of tools going into `result`."""
    key = given(turn, "content", "value") or ("value" if "value" in turn else "content")
    value = turn.get(key)
    if not isinstance(value, list):
        return answer(turn, key) if required and result["role"] == "assistant" else string(turn, key, required)
    texts = []
    for part in value:
        kind = part.get("type") if isinstance(part, dict) else "text" if isinstance(part, str) else type(part).__name__
        if isinstance(part, str):
            texts.append(checked(part, key))
        elif kind in ("text", "input_text", "output_text"):
            texts.append(string(part, given(part, "text", "value") or "text", required=False))
        elif kind in THOUGHTS and result["role"] == "assistant":
            result["reasoning_content"] = string(part, given(part, "value", "text", kind) or "value")
        elif kind == "tool_call" and result["role"] == "assistant":
            result.setdefault("tool_calls", []).extend(calls(part.get("value")))
        else:
            raise RowError("not_text", f"'{key}' holds a part of type {kind!r}, and only text can be trained on")
    whole = {key: "".join(texts)}
    if not required or "tool_calls" in result:
        return whole[key]
    return answer(whole, key) if result["role"] == "assistant" else string(whole, key)


def check_conversation(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Refuse conversations from which nothing can be learned. Raises RowError: no_answer, assistant_first."""
    answers = [m for m in messages if m["role"] == "assistant"]
    if not answers:
        raise RowError("no_answer", "no assistant turn, so nothing to learn")
    if all(m.get("train") is False for m in answers):
        raise RowError("no_answer", "every assistant turn has weight 0, so nothing to learn")
    return check_prompt(messages)


def check_prompt(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Refuse conversations in which nobody asks. Raises RowError: assistant_first, no_turns."""
    first = next((m["role"] for m in messages if m["role"] != "system"), None)
    if first == "assistant":
        raise RowError("assistant_first", "the assistant speaks first, so there is no prompt")
    if first is None:
        raise RowError("no_turns", "nobody asks anything, so there is no prompt")
    return messages
