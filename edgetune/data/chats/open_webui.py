"""Open WebUI's export: all chats of an account, or one."""

from collections.abc import Iterator
from typing import Any

from edgetune.data.chats._chat import Chat, Message, role_of
from edgetune.data.chats._files import ExportFile
from edgetune.data.chats._thinking import without_details, without_tags
from edgetune.data.chats._tree import line_on_screen

TITLE = "Open WebUI"
HOW_TO_EXPORT = "In Open WebUI's settings: Data controls, Export all chats."
ASSISTANT = True


def recognise(file: ExportFile) -> bool:
    """Whether a file is a chat with a history of messages by id, or a list of such."""
    shape = file.outline
    first = shape[0] if isinstance(shape, list) and shape else shape
    return _history(first) is not None


def read(files: list[ExportFile]) -> Iterator[Chat]:
    """The chats. Raises FileError: not_json, json_truncated, too_large."""
    for file in files:
        for value in file.objects():
            if (history := _history(value)) is not None:
                yield _chat(value, history)


def _history(value: Any) -> dict[str, Any] | None:
    chat = value.get("chat", value) if isinstance(value, dict) else None
    history = chat.get("history") if isinstance(chat, dict) else None
    return history if isinstance(history, dict) and isinstance(history.get("messages"), dict) else None


def _chat(value: dict[str, Any], history: dict[str, Any]) -> Chat:
    chat = value.get("chat", value)
    entries = {str(key): entry for key, entry in history["messages"].items() if isinstance(entry, dict)}
    parents = {key: str(entry.get("parentId") or "") for key, entry in entries.items()}
    shown = line_on_screen({key: _message(key, entry) for key, entry in entries.items()}, parents, str(history.get("currentId") or ""))
    system = (chat.get("params") or {}).get("system") or ""
    return Chat(str(value.get("title") or chat.get("title") or ""), shown, group=False, system=str(system))


def _message(key: str, entry: dict[str, Any]) -> Message:
    role = role_of(entry.get("role"))
    content = entry.get("content")
    if isinstance(content, list):
        content = "\n".join(str(part.get("text") or "") for part in content if isinstance(part, dict))
    text, reasoning = without_details(str(content or "")) if role == "assistant" else (str(content or ""), "")
    if role == "assistant" and not reasoning:
        text, reasoning = without_tags(text)
    rating = (entry.get("annotation") or {}).get("rating")
    time = entry.get("timestamp")
    reason = "" if text.strip() else "stopped" if entry.get("done") is False else "media" if entry.get("files") else "empty"
    return Message(
        role or str(entry.get("role")),
        text,
        float(time) if isinstance(time, (int, float)) else None,
        role,
        reason or ("stopped" if entry.get("done") is False else ""),
        key,
        reasoning=reasoning,
        rating=1 if rating in (1, "1") else -1 if rating in (-1, "-1") else 0,
    )
