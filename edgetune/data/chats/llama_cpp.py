"""The web interface of llama.cpp's server: one conversation, a list of them, or JSON lines with a header each."""

from collections.abc import Iterator
from typing import Any

from edgetune.data.chats._chat import Chat, Message, role_of
from edgetune.data.chats._files import ExportFile
from edgetune.data.chats._thinking import without_tags
from edgetune.data.chats._tree import line_on_screen

TITLE = "llama.cpp's web interface"
HOW_TO_EXPORT = "In the conversation's menu, or in the settings: Export."
ASSISTANT = True


def recognise(file: ExportFile) -> bool:
    """Whether a file is a conversation and its messages, in one object or on lines."""
    shape = file.outline
    first = shape[0] if isinstance(shape, list) and shape else shape
    if not isinstance(first, dict):
        return False
    return isinstance(first.get("conv"), dict) or ("currNode" in first and "messages" not in first)


def read(files: list[ExportFile]) -> Iterator[Chat]:
    """The conversations. Raises FileError: not_json, json_truncated, too_large."""
    for file in files:
        about: dict[str, Any] = {}
        entries: list[dict[str, Any]] = []
        for value in file.objects():
            if isinstance(value.get("conv"), dict):
                yield _chat(value["conv"], value.get("messages") or [])
            elif "currNode" in value:
                if about:
                    yield _chat(about, entries)
                about, entries = value, []
            else:
                entries.append(value)
        if about:
            yield _chat(about, entries)


def _chat(about: dict[str, Any], entries: list[Any]) -> Chat:
    by_key = {str(entry.get("id")): entry for entry in entries if isinstance(entry, dict) and entry.get("type") != "root"}
    parents = {key: str(entry.get("parent") or "") for key, entry in by_key.items()}
    systems = [
        str(entry.get("content") or "") for entry in by_key.values() if entry.get("role") == "system" or entry.get("type") == "system"
    ]
    shown = line_on_screen({key: _message(key, entry) for key, entry in by_key.items()}, parents, str(about.get("currNode") or ""))
    return Chat(str(about.get("name") or ""), shown, group=False, system=next(iter(systems), ""))


def _message(key: str, entry: dict[str, Any]) -> Message:
    role = role_of(entry.get("role"))
    text, reasoning = str(entry.get("content") or ""), str(entry.get("thinking") or entry.get("reasoningContent") or "")
    if role == "assistant":
        text, more = without_tags(text)
        reasoning = "\n\n".join(part for part in (reasoning.strip(), more) if part)
    for extra in entry.get("extra") or []:
        if isinstance(extra, dict) and role == "user" and str(extra.get("content") or "").strip():
            name = str(extra.get("name") or "")
            text = f"{text}\n\n{name + ':' if name else ''}\n{extra['content']}".strip()
    time = entry.get("timestamp")
    reason = "hidden" if role == "system" else "tool result" if role == "tool" else "" if text.strip() else "empty"
    return Message(role or "unknown", text, time / 1000 if isinstance(time, (int, float)) else None, role, reason, key, reasoning=reasoning)
