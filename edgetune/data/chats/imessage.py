"""iMessage, as imessage-exporter writes a chat in text."""

import re
from collections.abc import Iterator
from pathlib import Path

from edgetune.data.chats._chat import Chat, Message
from edgetune.data.chats._files import ExportFile
from edgetune.data.chats._times import parsed
from edgetune.data.readers.errors import FileError

TITLE = "iMessage"
HOW_TO_EXPORT = "With imessage-exporter, in the format txt."
ASSISTANT = False
OWNER = "Me"
DATE = re.compile(r"^(\s*)([A-Z][a-z]{2} \d{2}, \d{4} {1,2}\d{1,2}:\d{2}:\d{2} [AP]M)(?: \((?:Read|Delivered)[^)]*\))?$")
NOTICE = re.compile(r"^\s*[A-Z][a-z]{2} \d{2}, \d{4} {1,2}\d{1,2}:\d{2}:\d{2} [AP]M (?!\((?:Read|Delivered))\S.*$")
EDIT_NOTE = re.compile(r"^Edited .{1,40} later: ", re.MULTILINE)
REACTIONS = re.compile(r"^(?:Tapbacks|Reactions):\s*$")
REPLY = "This message responded to an earlier message."
DELETED = "This message was deleted from the conversation!"
PATH = re.compile(r"^(?:/|~/|[\w.-]+/)[^\n]*\.[A-Za-z0-9]{2,5}$|^Attachment missing!|^Error attaching file")


def recognise(file: ExportFile) -> bool:
    """Whether a text begins with a date as imessage-exporter writes it."""
    lines = file.head.decode("utf-8", "replace").lstrip("\ufeff").split("\n")
    return bool(lines) and (DATE.match(lines[0]) is not None or NOTICE.match(lines[0]) is not None)


def read(files: list[ExportFile]) -> Iterator[Chat]:
    """A chat of every file. Raises FileError: encoding, damaged."""
    for file in files:
        messages = list(_messages(file))
        if not messages:
            raise FileError(
                Path(str(file)), "damaged", "holds no message", "No line is a date with a name below.", "Export the chat again."
            )
        yield Chat(file.name.stem, messages, OWNER)


def _messages(file: ExportFile) -> Iterator[Message]:
    """Messages by a line with a date and a line with a name; a reply stands twice, the indented copy is passed over."""
    with file.text() as text:
        lines = [line.rstrip("\n").rstrip("\r") for line in text]
    starts = [at for at in range(len(lines) - 1) if DATE.match(lines[at]) and lines[at + 1].strip()]
    notices = [at for at, line in enumerate(lines) if NOTICE.match(line)]
    ends = sorted([*starts, *notices, len(lines)])
    for at in sorted([*starts, *notices]):
        match = DATE.match(lines[at])
        if match is None:
            yield Message("", lines[at], left_out="notice")
            continue
        if match[1]:
            continue  # the copy of a reply, below what it answers
        body = lines[at + 2 : next(end for end in ends if end > at)]
        yield _message(lines[at + 1].strip(), match[2], body)


def _message(sender: str, date: str, body: list[str]) -> Message:
    kept: list[str] = []
    media = False
    for line in body:
        if REACTIONS.match(line):
            break
        if line.strip() == REPLY:
            continue
        if PATH.match(line.strip()):
            media = True
            continue
        kept.append(line)
    text = "\n".join(kept).strip()

    # An edited message has all its versions; the last is what was meant.
    if edits := list(EDIT_NOTE.finditer(text)):
        text = text[edits[-1].end() :].strip()
    reason = "deleted" if text == DELETED else "" if text else "media" if media else "empty"
    return Message(sender, text, parsed(date, "%b %d, %Y %I:%M:%S %p"), left_out=reason)
