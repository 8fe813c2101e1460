"""Telegram Desktop's JSON: one chat, or all of an account. Read as a stream, as such a file may be larger than memory."""

import re
from collections.abc import Iterator
from typing import Any

from edgetune.data.chats._chat import Chat, Message
from edgetune.data.chats._files import ExportFile
from edgetune.data.chats._json import checked, parse
from edgetune.data.chats._times import seconds
from edgetune.data.readers.json_scanner import Scanner

TITLE = "Telegram"
HOW_TO_EXPORT = "In Telegram Desktop: Settings, Advanced, Export Telegram data, as machine-readable JSON."
ASSISTANT = False

TYPES = frozenset(
    (
        "saved_messages", "replies", "personal_chat", "bot_chat", "private_group", "private_supergroup", "public_supergroup",
        "private_channel", "public_channel", "verification_codes",
    )
)  # fmt: skip
ODD_ESCAPE = re.compile(rb"\\x([0-9A-Fa-f]{2})")
"""Telegram's own way to write control characters, which JSON does not know."""


def recognise(file: ExportFile) -> bool:
    """Whether a file is a chat with a type of Telegram's, or an account's export."""
    shape = file.outline
    if not isinstance(shape, dict):
        return False
    chats = shape.get("chats")
    if isinstance(chats, dict) and isinstance(chats.get("list"), list):
        return True
    return shape.get("type") in TYPES and "messages" in shape


def read(files: list[ExportFile]) -> Iterator[Chat]:
    """The chats, those that were left included. Raises FileError: not_json, json_truncated, too_large."""
    for file in files:
        with file.scanner() as scanner:
            yield from _top(scanner)


def _top(scanner: Scanner) -> Iterator[Chat]:
    """An account, or an object that is a chat itself: its name and type stand before its messages."""
    owner = ""
    about: dict[str, Any] = {}
    for key in scanner.members():
        if key in ("chats", "left_chats") and scanner.peek() == b"{":
            for inner in scanner.members():
                if inner == "list" and scanner.peek() == b"[":
                    yield from _list(scanner, owner)
                else:
                    scanner.value()
        elif key == "messages" and scanner.peek() == b"[":
            yield from _chat(scanner, about, owner)
        else:
            about[key] = parse(scanner.value())
            if key == "personal_information" and isinstance(about[key], dict):
                names = (about[key].get("first_name"), about[key].get("last_name"))
                owner = " ".join(name for name in names if name)


def _list(scanner: Scanner, owner: str) -> Iterator[Chat]:
    for _ in scanner.elements():
        about: dict[str, Any] = {}
        for key in scanner.members():
            if key == "messages" and scanner.peek() == b"[":
                yield from _chat(scanner, about, owner)
            else:
                about[key] = parse(scanner.value())


def _chat(scanner: Scanner, about: dict[str, Any], owner: str) -> Iterator[Chat]:
    kind = str(about.get("type") or "")
    title = about.get("name") or ("Saved messages" if kind == "saved_messages" else "a deleted account")
    messages = _messages(scanner)
    yield Chat(str(title), messages, owner, group="group" in kind or "channel" in kind)
    for _ in messages:  # what whoever asked did not read
        pass


def _messages(scanner: Scanner) -> Iterator[Message]:
    for line in scanner.elements():
        content = scanner.value()
        value = parse(content)
        if value is None and content != b"null":
            value = checked(scanner, ODD_ESCAPE.sub(rb"\\u00\1", content), line)
        if isinstance(value, dict):
            yield _message(value)


def _message(value: dict[str, Any]) -> Message:
    text = _text(value.get("text_entities") or value.get("text"))
    sender = value.get("from") or value.get("actor") or "Deleted account"
    answered = value.get("reply_to_message_id") if not value.get("reply_to_peer_id") else None
    return Message(
        str(sender),
        text,
        _time(value),
        left_out=_reason(value, text),
        key=str(value.get("id", "")),
        reply_to=str(answered or ""),
    )


def _text(value: Any) -> str:
    """A text, which is a string or a list of strings and of parts with a type, joined without a space."""
    if isinstance(value, list):
        return "".join(part if isinstance(part, str) else str(part.get("text", "")) if isinstance(part, dict) else "" for part in value)
    return value if isinstance(value, str) else ""


def _reason(value: dict[str, Any], text: str) -> str:
    """Why a message is no text of its sender; "" when it is one."""
    if value.get("type") == "service":
        return "call" if value.get("action") == "phone_call" else "notice"
    if value.get("type") not in ("message", None):
        return "notice"
    if "forwarded_from" in value or "forwarded_from_id" in value:
        return "forwarded"
    if "via_bot" in value:
        return "by a bot"
    if text.strip():
        return ""
    if value.get("media_type") == "sticker":
        return "sticker"
    if "poll" in value:
        return "poll"
    if "location_information" in value:
        return "place"
    media = ("photo", "file", "media_type", "contact_information", "game_title", "invoice_information")
    return "media" if any(key in value for key in media) else "empty"


def _time(value: dict[str, Any]) -> float | None:
    """Seconds since 1970; older files have the local time alone."""
    return seconds(value.get("date_unixtime") or value.get("date"))
