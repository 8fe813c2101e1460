"""Signal: the folders of signal-export, sigtop's texts, and the frames of Signal's own plaintext export."""

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from edgetune.data.chats._chat import Chat, Message
from edgetune.data.chats._files import ExportFile
from edgetune.data.chats._times import seconds

TITLE = "Signal"
HOW_TO_EXPORT = "With signal-export or sigtop, or Signal's own export as plain text."
ASSISTANT = False
OWNER = "Me"
OWNERS = ("Me", "You")
"""What signal-export and sigtop call the export's owner."""
LINE = re.compile(r"^\[(\d{4}-\d{2}-\d{2}),? (\d{2}:\d{2}(?::\d{2})?)\] ([^:\n]{1,80}): ?(.*)$", re.DOTALL)
REACTIONS = re.compile(r"\s*\(- [^()\n]+: [^()\n]+ -\)\s*$")
ATTACHED = re.compile(r"!?\[[^\]\n]*\]\(\.?/?media/[^)\n]*\)")
STICKER = re.compile(r"^\(\( .* \)\)$")
TEXT_HEADER = re.compile(r"^(Conversation|From|Type|Sent|Received|Attachment|Reaction|Edited|To): ?(.*)$")


def recognise(file: ExportFile) -> bool:
    """Whether a file is one of the three: lines with a full date in brackets, headed texts, lines of JSON."""
    first = file.outline
    if isinstance(first, dict):
        return ("sender" in first and "body" in first and "date" in first) or ("backupTimeMs" in first and "version" in first)
    text = file.head.decode("utf-8", "replace").lstrip("\ufeff")
    if text.startswith("Conversation: ") and "\nSent: " in text[:2000]:
        return True
    begun = [line for line in text.split("\n") if LINE.match(line)]
    return bool(begun) and LINE.match(text) is not None


def read(files: list[ExportFile]) -> Iterator[Chat]:
    """The chats; of a folder that has both, the JSON and not the text. Raises FileError: not_json, json_truncated, encoding."""
    for file in files:
        first = file.outline
        if isinstance(first, dict) and "backupTimeMs" in first:
            yield from _frames(file)
        elif isinstance(first, dict):
            yield Chat(file.name.parent.name, list(_entries(file)), OWNER)
        elif file.name.name == "chat.md" and file.sibling("data.json"):
            continue  # the same messages, in full
        elif file.head.lstrip(b"\xef\xbb\xbf").startswith(b"Conversation: "):
            yield from _blocks(file)
        else:
            yield Chat(file.name.parent.name, list(_lines(file)), OWNER)


def _lines(file: ExportFile) -> Iterator[Message]:
    """signal-export's text: a line a message, continued by lines that do not begin with a date."""
    texts: list[str] = []
    with file.text() as lines:
        for line in lines:
            if LINE.match(line):
                texts.append(line.rstrip("\n"))
            elif texts:
                texts[-1] += "\n" + line.rstrip("\n")
    for text in texts:
        match = LINE.match(text)
        assert match
        moment = datetime.fromisoformat(f"{match[1]} {match[2]}").replace(tzinfo=UTC).timestamp()
        words = "\n".join(line.rstrip() for line in match[4].split("\n")).strip()
        words = REACTIONS.sub("", words)
        media = ATTACHED.search(words) is not None
        words = ATTACHED.sub("", words).strip()
        quoted = [line[1:].strip() for line in words.split("\n") if line.startswith(">")]
        words = "\n".join(line for line in words.split("\n") if not line.startswith(">")).strip() if quoted else words
        yield Message(match[3].strip(), words, moment, left_out=_reason(words, media))


def _reason(text: str, media: bool = False) -> str:
    if text == "(This message was deleted)":
        return "deleted"
    if STICKER.match(text):
        return "sticker"
    return "" if text.strip() else "media" if media else "empty"


def _entries(file: ExportFile) -> Iterator[Message]:
    """signal-export's lines of JSON."""
    for value in file.objects():
        text = str(value.get("body") or "")
        reason = (
            "deleted"
            if value.get("deleted")
            else "call"
            if value.get("call")
            else "sticker"
            if value.get("sticker") and not text
            else _reason(text, bool(value.get("attachments")))
        )
        yield Message(str(value.get("sender") or "unknown"), text, seconds(value.get("date")), left_out=reason)


def _blocks(file: ExportFile) -> Iterator[Chat]:
    """sigtop's text: a header of lines, an empty line, the text, for every message."""
    title, header = "", dict[str, str]()
    body: list[str] = []
    messages: list[Message] = []
    in_header = True

    def finish() -> None:
        if "From" in header:
            text = "\n".join(body).strip()
            messages.append(_block(header, text))
        header.clear()
        body.clear()

    with file.text() as lines:
        for line in lines:
            match = TEXT_HEADER.match(line.rstrip("\n"))
            if match and match[1] == "Conversation":
                finish()
                title, in_header = match[2], True
            elif match and match[1] == "From":
                finish()
                in_header, header["From"] = True, match[2]
            elif match and in_header:
                header.setdefault(match[1], match[2])
            elif in_header and not line.strip():
                in_header = "From" not in header
            elif not in_header:
                body.append(line.rstrip("\n"))
    finish()
    owner = next((name for name in OWNERS if any(m.sender == name for m in messages)), "")
    yield Chat(re.sub(r" \(.*\)$", "", title), messages, owner)


def _block(header: dict[str, str], text: str) -> Message:
    try:
        moment: float | None = parsedate_to_datetime(header.get("Sent", "")).timestamp()
    except (ValueError, TypeError):
        moment = None
    kind = header.get("Type", "")
    sender = re.sub(r" \(.*\)$", "", header["From"])
    reason = "call" if "call" in kind else "notice" if kind not in ("incoming", "outgoing", "") else _reason(text, "Attachment" in header)
    return Message(sender, text, moment, left_out=reason)


def _frames(file: ExportFile) -> Iterator[Chat]:
    """Signal's own export: recipients, chats and messages, a frame a line."""
    people: dict[str, str] = {}
    of_chat: dict[str, str] = {}
    groups: set[str] = set()
    messages: dict[str, list[Message]] = {}
    for frame in file.objects():
        if isinstance(recipient := frame.get("recipient"), dict):
            key = str(recipient.get("id"))
            people[key] = _name(recipient)
            if "group" in recipient:
                groups.add(key)
        elif isinstance(chat := frame.get("chat"), dict):
            of_chat[str(chat.get("id"))] = str(chat.get("recipientId"))
        elif isinstance(item := frame.get("chatItem"), dict):
            item = item.get("chatItem", item)
            messages.setdefault(str(item.get("chatId")), []).append(_item(item, people))
    for key, written in messages.items():
        recipient = of_chat.get(key, "")
        written.sort(key=lambda message: message.time or 0.0)
        yield Chat(people.get(recipient, ""), written, OWNER, group=recipient in groups)


def _name(recipient: dict[str, Any]) -> str:
    if "self" in recipient:
        return OWNER
    contact, group = recipient.get("contact") or {}, recipient.get("group") or {}
    given = " ".join(str(contact[key]) for key in ("profileGivenName", "profileFamilyName") if contact.get(key))
    title = ((group.get("snapshot") or {}).get("title") or {}).get("title")
    return str(given or contact.get("systemGivenName") or contact.get("e164") or title or "unknown")


def _item(item: dict[str, Any], people: dict[str, str]) -> Message:
    standard = item.get("standardMessage") or {}
    text = str((standard.get("text") or {}).get("body") or "")
    sender = OWNER if "outgoing" in item else people.get(str(item.get("authorId")), "unknown")
    if "remoteDeletedMessage" in item:
        reason = "deleted"
    elif "stickerMessage" in item:
        reason = "sticker"
    elif not standard:
        reason = "call" if "Call" in json.dumps(item.get("updateMessage") or {}) else "notice"
    else:
        reason = _reason(text, bool(standard.get("attachments")))
    quoted = (standard.get("quote") or {}).get("targetSentTimestamp")
    sent = item.get("dateSent")
    return Message(sender, text, seconds(sent), left_out=reason, key=str(sent), reply_to=str(quoted or ""))
