"""Jan's threads: `messages.jsonl` in a folder each, with `thread.json` beside it."""

from collections.abc import Iterator
from typing import Any

from edgetune.data.chats._chat import Chat, Message, role_of
from edgetune.data.chats._files import ExportFile
from edgetune.data.chats._thinking import without_tags
from edgetune.data.chats._times import seconds

TITLE = "Jan"
HOW_TO_EXPORT = "Copy the folder `threads` from Jan's data folder."
ASSISTANT = True


def recognise(file: ExportFile) -> bool:
    """Whether a file's first message is of a thread."""
    shape = file.outline
    first = shape[0] if isinstance(shape, list) and shape else shape
    return isinstance(first, dict) and (
        first.get("object") == "thread.message" or ("thread_id" in first and isinstance(first.get("content"), list))
    )


def read(files: list[ExportFile]) -> Iterator[Chat]:
    """The threads. Raises FileError: not_json, json_truncated, too_large."""
    for file in files:
        entries = list(file.objects())
        entries.sort(key=lambda entry: entry["created_at"] if isinstance(entry.get("created_at"), (int, float)) else 0)
        title, system = _about(file)
        yield Chat(title, [_message(entry) for entry in entries], group=False, system=system)


def _about(file: ExportFile) -> tuple[str, str]:
    """The title and the assistant's instructions, from the file beside."""
    value = file.read_beside("thread.json")
    if not isinstance(value, dict):
        return "", ""
    assistants = [a for a in value.get("assistants") or [] if isinstance(a, dict)]
    return str(value.get("title") or ""), str(assistants[0].get("instructions") or "") if assistants else ""


def _message(entry: dict[str, Any]) -> Message:
    role = role_of(entry.get("role"))
    parts = [part for part in entry.get("content") or [] if isinstance(part, dict)]

    def text_of(kind: str) -> str:
        texts = [part.get("text") for part in parts if part.get("type") == kind]
        return "\n\n".join(str(text.get("value") or "") if isinstance(text, dict) else str(text or "") for text in texts).strip()

    text, reasoning = text_of("text"), text_of("reasoning")
    if role == "assistant":
        text, more = without_tags(text)
        reasoning = "\n\n".join(part for part in (reasoning, more) if part)
    status = str(entry.get("status") or "ready")
    reason = "" if text else "media" if any(part.get("type") == "image_url" for part in parts) else "empty"
    return Message(
        role or str(entry.get("role")),
        text,
        seconds(entry.get("created_at")),
        role,
        reason if status == "ready" else "stopped",
        str(entry.get("id") or ""),
        reasoning=reasoning,
    )
