"""Discord, as DiscordChatExporter writes a channel in JSON."""

from collections.abc import Iterator
from typing import Any

from edgetune.data.chats._chat import Chat, Message
from edgetune.data.chats._files import ExportFile
from edgetune.data.chats._json import next_value
from edgetune.data.chats._times import seconds
from edgetune.data.readers.json_scanner import Scanner

TITLE = "Discord (DiscordChatExporter)"
HOW_TO_EXPORT = "With DiscordChatExporter, in the format JSON."
ASSISTANT = False
WRITTEN = frozenset(("Default", "Reply", "ThreadStarterMessage", "20", "23", "ChatInputCommand", "ContextMenuCommand"))
"""Kinds of messages that a person or a bot wrote; all others are notices, in made-up words."""
DIRECT = "0"
"""The guild's id in direct messages."""


def recognise(file: ExportFile) -> bool:
    """Whether a file is of a guild's channel."""
    shape = file.outline
    return isinstance(shape, dict) and isinstance(shape.get("guild"), dict) and isinstance(shape.get("channel"), dict)


def read(files: list[ExportFile]) -> Iterator[Chat]:
    """The channels. Raises FileError: not_json, json_truncated, too_large."""
    for file in files:
        about: dict[str, Any] = {}
        with file.scanner() as scanner:
            for key in scanner.members():
                if key == "messages" and scanner.peek() == b"[":
                    yield from _channel(scanner, about)
                else:
                    about[key] = next_value(scanner)


def _channel(scanner: Scanner, about: dict[str, Any]) -> Iterator[Chat]:
    guild, channel = about.get("guild") or {}, about.get("channel") or {}
    direct = str(guild.get("id")) == DIRECT and "group" not in str(channel.get("type", "")).lower()
    messages = (_message(value) for _ in scanner.elements() if isinstance(value := next_value(scanner), dict))
    yield Chat(str(channel.get("name") or ""), messages, group=not direct)
    for _ in messages:  # what whoever asked did not read
        pass


def _message(value: dict[str, Any]) -> Message:
    author = value.get("author") or {}
    text = str(value.get("content") or "")
    reference = value.get("reference") or {}
    kind = str(value.get("type") or "Default")
    reply = kind == "Reply" and reference.get("type") in (None, "Default", "Reply", 0)
    mentions = tuple(str(m.get("nickname") or m.get("name")) for m in value.get("mentions") or [] if isinstance(m, dict))
    return Message(
        str(author.get("nickname") or author.get("name") or "Deleted User"),
        text,
        seconds(value.get("timestamp")),
        left_out=_reason(value, kind, author, text),
        key=str(value.get("id") or ""),
        reply_to=str(reference.get("messageId") or "") if reply else "",
        mentions=mentions,
    )


def _reason(value: dict[str, Any], kind: str, author: dict[str, Any], text: str) -> str:
    if kind == "Call":
        return "call"
    if kind not in WRITTEN:
        return "notice"
    if author.get("isBot"):
        return "by a bot"
    if value.get("forwardedMessage") or (value.get("reference") or {}).get("type") == "Forward":
        return "forwarded"
    if text.strip():
        return ""
    if value.get("stickers"):
        return "sticker"
    return "media" if value.get("attachments") or value.get("embeds") else "empty"
