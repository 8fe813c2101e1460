"""Turns of a conversation, whoever wrote them down: {role, content} or {from, value}, as the messages a chat template accepts."""

import html
import re
from typing import Any

from edgetune.data.formats._calls import read_calls
from edgetune.data.formats._text import first_filled, text_field, valid_text
from edgetune.data.row import RowError

TURN_COLUMNS = ("messages", "conversations", "texts")
"""Columns that hold a conversation."""
ROLE_SPEAKERS = {
    "system": ("system", "developer"),
    "user": ("user", "human", "prompter"),
    "assistant": ("assistant", "gpt", "model", "bot", "chatgpt", "bing", "bard", "function_call", "tool_call", "tool_calls"),
    "tool": ("tool", "function", "observation", "ipython", "tool_response", "tool_results"),
}
SPEAKER_ROLES = {speaker: role for role, speakers in ROLE_SPEAKERS.items() for speaker in speakers}
CALLERS = frozenset(("function_call", "tool_call", "tool_calls"))
"""Speakers whose text is a call of a tool, as JSON."""
REASONING_KEYS = ("reasoning_content", "thinking", "reasoning")
LOSS_KEYS = ("weight", "loss_weight", "loss", "loss_mask", "train", "trainable", "training")
"""Keys of a turn that say whether its answer is trained on: 0 or false for context only."""
MASK_KEYS = ("mask", "masked")
"""Keys of a turn that say the opposite: true for context only. A number in them is read either way by other programs, so here by none."""
FLAG_WORDS = {"true": True, "false": False, "1": True, "0": False}
_REASONING_BLOCK = re.compile(r'<details type="reasoning"[^>]*>(.*?)</details>\s*', re.DOTALL)
_SUMMARY = re.compile(r"\s*<summary>.*?</summary>\s*", re.DOTALL)


def turns_with_key(row: dict[str, Any], mark: str) -> list[Any] | None:
    """The row's list of turns whose first has the key `mark`."""
    for key in TURN_COLUMNS:
        value = row.get(key)
        if isinstance(value, list) and value and isinstance(value[0], dict) and mark in value[0]:
            return value
    return None


def has_turns(row: dict[str, Any]) -> bool:
    """Whether the row has a list of turns of either spelling."""
    return turns_with_key(row, "role") is not None or turns_with_key(row, "from") is not None


def read_conversation(row: dict[str, Any]) -> list[dict[str, Any]]:
    """The messages of the row's conversation, its `system` column first. Raises RowError."""
    key = first_filled(row, *TURN_COLUMNS)
    if key is None:
        raise RowError("missing", f"none of {', '.join(TURN_COLUMNS)} holds a list of turns")
    turns = read_turns(row[key], key)
    before = text_field(row, "system", required=False)
    return [{"role": "system", "content": before}, *turns] if before.strip() and turns[0]["role"] != "system" else turns


def read_turns(value: Any, name: str) -> list[dict[str, Any]]:
    """A list of turns as messages, as chat would send them: no empty system turn, and neighboring turns of the assistant as one.

    Raises RowError: wrong_type, no_turns, and of its turns what `read_turn` raises.
    """
    if not isinstance(value, list):
        kind, actual = ("missing", "missing") if value is None else ("wrong_type", type(value).__name__)
        raise RowError(kind, f"'{name}' should be a list of turns and is {actual}")
    if not value:
        raise RowError("no_turns", f"'{name}' is an empty list")

    result: list[dict[str, Any]] = []
    for number, turn in enumerate(value, 1):
        try:
            message = read_turn(turn)
        except RowError as error:
            raise RowError(error.kind, f"'{name}', turn {number}: {error}") from None
        if result and _continues(result[-1], message):
            result[-1] = _joined(result[-1], message)
        elif message["role"] != "system" or message["content"].strip():
            result.append(message)
    if not result:
        raise RowError("no_turns", f"'{name}' holds nothing but an empty system turn")
    return result


def _continues(last: dict[str, Any], message: dict[str, Any]) -> bool:
    """Whether two turns are one answer: both the assistant's, equally trained on, and written as one they keep their order.

    A template writes reasoning, then text, then calls.
    """
    if last["role"] != "assistant" or message["role"] != "assistant" or ("train" in last) != ("train" in message):
        return False
    if "reasoning_content" in message and (last["content"] or "tool_calls" in last or "reasoning_content" in last):
        return False
    return "tool_calls" not in last or not message["content"]


def _joined(last: dict[str, Any], message: dict[str, Any]) -> dict[str, Any]:
    """Two turns as one: texts as paragraphs, calls one after the other."""
    result = last | message | {"content": "\n\n".join(text for text in (last["content"], message["content"]) if text)}
    calls = last.get("tool_calls", []) + message.get("tool_calls", [])
    return result | ({"tool_calls": calls} if calls else {})


def read_turn(turn: Any) -> dict[str, Any]:
    """A turn as a message. Raises RowError: wrong_type, unknown_role, not_text, tool_call, and what text fields raise."""
    if not isinstance(turn, dict):
        raise RowError("wrong_type", f"a turn should be an object and is {type(turn).__name__}")

    speaker = turn.get(first_filled(turn, "role", "from") or "role")
    name = speaker.lower() if isinstance(speaker, str) else None
    role = SPEAKER_ROLES.get(name) if name else None
    if role is None:
        raise RowError("unknown_role", f"role {speaker!r:.40} is unknown (known: {', '.join(SPEAKER_ROLES)})")

    result = {"role": role, "content": ""}
    if role == "assistant":
        _answer(turn, result, called=name in CALLERS)
    else:
        result["content"] = _content(turn, result, required=role == "user")

    # Templates link a result to its call by these.
    if role == "tool":
        result.update({key: text_field(turn, key) for key in ("name", "tool_call_id") if turn.get(key)})
    return result


def _answer(turn: dict[str, Any], result: dict[str, Any], called: bool) -> None:
    """Fill in the assistant's message."""
    calls = read_calls(turn.get(first_filled(turn, "value", "content") or "value")) if called else []

    # Calls come in three places: as a separate speaker, in a field, and as parts of the content.
    for key in ("tool_calls", "function_call"):
        if turn.get(key):
            calls += read_calls(turn[key])

    reasoning = first_filled(turn, *REASONING_KEYS)
    if reasoning and turn[reasoning]:
        result["reasoning_content"] = text_field(turn, reasoning)
    if not called:
        result["content"] = _without_reasoning(_content(turn, result, required=not calls), result, required=not calls)

    calls += result.pop("tool_calls", [])
    if calls:
        result["tool_calls"] = calls

    # One flag that says so makes an answer context only.
    if any(loss_flag(turn, key) is False for key in (*LOSS_KEYS, *MASK_KEYS)):
        result["train"] = False


def loss_flag(turn: dict[str, Any], key: str) -> bool | None:
    """Whether one of a turn's LOSS_KEYS or MASK_KEYS lets its answer be trained on; None where it says nothing that is understood."""
    value = turn.get(key)
    if isinstance(value, str):
        value = FLAG_WORDS.get(value.strip().lower())
    if key in MASK_KEYS:
        return not value if isinstance(value, bool) else None
    return value != 0 if isinstance(value, (bool, int, float)) else None


def _without_reasoning(text: str, result: dict[str, Any], required: bool) -> str:
    """An answer without the blocks in which Open WebUI saves its reasoning, which goes where templates look for it.

    Inside a block the text is HTML, its lines quoted with "> ". Raises RowError: empty.
    """
    if '<details type="reasoning"' not in text:
        return text
    thoughts = [result["reasoning_content"]] if "reasoning_content" in result else []
    for block in _REASONING_BLOCK.findall(text):
        lines = html.unescape(_SUMMARY.sub("", block, count=1)).strip().split("\n")
        thoughts.append("\n".join(line.removeprefix(">").removeprefix(" ") for line in lines))
    if whole := "\n\n".join(filter(str.strip, thoughts)):
        result["reasoning_content"] = whole
    text = _REASONING_BLOCK.sub("", text).strip()
    if required and not text:
        raise RowError("empty", "the answer is nothing but reasoning")
    return text


def _content(turn: dict[str, Any], result: dict[str, Any], required: bool) -> str:
    """Text of a turn; of structured content its text, thoughts and calls of tools going into `result`."""
    key = first_filled(turn, "content", "value") or ("value" if "value" in turn else "content")
    value = turn.get(key)
    if not isinstance(value, list):
        return text_field(turn, key, required)

    # Structured content: text parts are joined, reasoning and calls go where templates look for them.
    texts = []
    for part in value:
        kind = part.get("type") if isinstance(part, dict) else "text" if isinstance(part, str) else type(part).__name__
        if isinstance(part, str):
            texts.append(valid_text(part, key))
        elif kind in ("text", "input_text", "output_text"):
            texts.append(text_field(part, first_filled(part, "text", "value") or "text", required=False))
        elif kind in REASONING_KEYS and result["role"] == "assistant":
            result["reasoning_content"] = text_field(part, first_filled(part, "value", "text", kind) or "value")
        elif kind == "tool_call" and result["role"] == "assistant":
            result.setdefault("tool_calls", []).extend(read_calls(part.get("value")))
        else:
            raise RowError("not_text", f"'{key}' holds a part of type {kind!r}, and only text can be trained on")

    # The joined text is checked as a plain field would be.
    whole = {key: "".join(texts)}
    if not required or "tool_calls" in result:
        return whole[key]
    return text_field(whole, key)


def require_answer(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Refuse conversations from which nothing can be learned. Raises RowError: no_answer, assistant_first."""
    answers = [m for m in messages if m["role"] == "assistant"]
    if not answers:
        raise RowError("no_answer", "no assistant turn, so nothing to learn")
    if all(m.get("train") is False for m in answers):
        raise RowError("no_answer", "every assistant turn is marked as not to be trained on, so nothing to learn")
    return require_question(messages)


def require_question(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Refuse conversations in which nobody asks. Raises RowError: assistant_first, no_turns."""
    first = next((m["role"] for m in messages if m["role"] != "system"), None)
    if first == "assistant":
        raise RowError("assistant_first", "the assistant speaks first, so there is no prompt")
    if first is None:
        raise RowError("no_turns", "nobody asks anything, so there is no prompt")
    return messages
