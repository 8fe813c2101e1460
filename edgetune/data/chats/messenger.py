"""Facebook Messenger's and Instagram's downloads, and Messenger's end-to-end encrypted chats."""

from collections.abc import Iterator
from typing import Any

from edgetune.data.chats._chat import Chat, Message
from edgetune.data.chats._files import ExportFile
from edgetune.data.chats._times import seconds

TITLE = "Messenger or Instagram"
HOW_TO_EXPORT = "In the Accounts Center: Your information and permissions, Download your information, as JSON."
ASSISTANT = False
NOTICES = (
    "liked a message",
    "reacted ",
    "sent an attachment.",
    "sent a photo.",
    "created the group",
    "named the group",
    "changed the theme",
    "set the nickname",
    "started a video chat",
    "missed a call",
    "created a poll",
)
"""Ends or beginnings, in small letters, of what the program writes in a person's name (in English exports)."""
EDITED_END = "(edited)"


def recognise(file: ExportFile) -> bool:
    """Whether a file is a thread with participants and messages by sender, of either form."""
    shape = file.outline
    if not isinstance(shape, dict) or not isinstance(shape.get("participants"), list):
        return False
    messages = shape.get("messages")
    first = messages[0] if isinstance(messages, list) and messages else {}
    return isinstance(first, dict) and ("sender_name" in first or "senderName" in first or "threadName" in shape)


def read(files: list[ExportFile]) -> Iterator[Chat]:
    """A chat of all files of each folder, oldest message first. Raises FileError: not_json, json_truncated, too_large."""
    threads: dict[str, list[ExportFile]] = {}
    for file in files:
        several = file.name.stem.startswith("message_")
        threads.setdefault(str(file.path.parent / file.name.parent) if several else str(file), []).append(file)

    for parts in threads.values():
        title, people = "", 0
        messages: list[Message] = []
        for file in parts:
            for value in file.objects():
                title = mended(str(value.get("title") or value.get("threadName") or "")) or title
                people = max(people, len(value.get("participants") or []))
                messages += [_message(entry) for entry in value.get("messages") or [] if isinstance(entry, dict)]
        messages.sort(key=lambda message: message.time or 0.0)
        yield Chat(title, _last_versions(messages), group=people > 2)


def mended(text: str) -> str:
    """A text whose UTF-8 bytes were written as one character each; as it is where it is none."""
    try:
        return text.encode("latin-1").decode("utf-8")
    except (UnicodeEncodeError, UnicodeDecodeError):
        return text


def _last_versions(messages: list[Message]) -> list[Message]:
    """An edited message stands twice, the later one marked: the earlier is left out."""
    for at, message in enumerate(messages):
        if message.left_out or not message.text.endswith(EDITED_END):
            continue
        message.text = message.text.removesuffix(EDITED_END).rstrip()
        before = next((m for m in reversed(messages[max(0, at - 3) : at]) if m.sender == message.sender and not m.left_out), None)
        if before is not None and message.time is not None and before.time is not None and message.time - before.time < 900:
            before.left_out = "an earlier version"
    return messages


def _message(entry: dict[str, Any]) -> Message:
    text = mended(str(entry.get("content") or entry.get("text") or ""))
    sender = mended(str(entry.get("sender_name") or entry.get("senderName") or "a deleted account"))
    return Message(sender, text, seconds(entry.get("timestamp_ms") or entry.get("timestamp")), left_out=_reason(entry, text))


def _reason(entry: dict[str, Any], text: str) -> str:
    if entry.get("is_unsent") or entry.get("isUnsent"):
        return "deleted"
    if "call_duration" in entry:
        return "call"
    lower = text.lower().strip()
    if (
        lower
        and len(lower) < 120
        and (
            any(lower.startswith(n) or lower.endswith(n) for n in NOTICES) or (lower.startswith("reacted ") and "to your message" in lower)
        )
    ):
        return "notice"
    if entry.get("type") not in (None, "Generic", "Share", "text", "media", "link", "Call") and not text:
        return "notice"
    if text.strip():
        return ""
    if entry.get("sticker"):
        return "sticker"
    media = ("photos", "videos", "audio_files", "files", "gifs", "share", "media")
    return "media" if any(entry.get(key) for key in media) else "empty"
