"""SMS Backup & Restore's XML: text messages by number, read as a stream."""

import re
import xml.parsers.expat
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from edgetune.data.chats._chat import Chat, Message
from edgetune.data.chats._files import ExportFile
from edgetune.data.chats._times import seconds
from edgetune.data.readers.errors import FileError

TITLE = "SMS Backup & Restore"
HOW_TO_EXPORT = "In the app: Back up now; the file ends in .xml."
ASSISTANT = False
OWNER = "you"
SENT, DRAFTS = "2", frozenset(("3", "4", "5", "6"))
"""Types of a message that was sent, and of those that never were: draft, outbox, failed, queued."""
FROM = "137"
"""The type of an MMS's address that says who sent it."""
CHUNK_BYTES = 1 << 18
ENTITY_BYTES = 12
HIGH_HALF = re.compile(rb"&#5(?:5[2-9]\d\d|6[0-2]\d\d|63[01]\d);$")
"""A reference to the first half of a sign, at the end of a piece."""
SURROGATES = re.compile(rb"&#(5[5-6]\d{3});&#(5[6-7]\d{3});")
"""Two numbers that are halves of one sign, as some programs write emoji; XML does not allow them."""


def recognise(file: ExportFile) -> bool:
    """Whether a file is XML with messages."""
    return re.search(rb"<smses\b", file.head[:4096]) is not None


def read(files: list[ExportFile]) -> Iterator[Chat]:
    """A chat for every number, of all files, each message once. Raises FileError: not_xml."""
    chats: dict[str, list[Message]] = {}
    names: dict[str, str] = {}
    passed: set[tuple[Any, ...]] = set()
    for file in files:
        for number, name, message in _messages(file):
            identity = (number, message.time, message.text, message.sender == OWNER)
            if identity in passed:
                message.left_out = message.left_out or "a copy"
            passed.add(identity)
            names[number] = names.get(number) or name
            chats.setdefault(number, []).append(message)
    for number, messages in chats.items():
        messages.sort(key=lambda message: message.time or 0.0)
        for message in messages:
            message.sender = message.sender or names[number] or number
        yield Chat(names[number] or number, messages, OWNER, group="~" in number)


def short(number: str) -> str:
    """A number by its last nine digits, with and without the country's; a name or short code as it is."""
    digits = re.sub(r"\D", "", number)
    return digits[-9:] if len(digits) >= 9 else number.strip()


class _Messages:
    """What the parser calls: collects (number, name, message) in `done`."""

    def __init__(self) -> None:
        self.done: list[tuple[str, str, Message]] = []
        self.mms: dict[str, Any] = {}

    def start(self, tag: str, values: dict[str, str]) -> None:
        """An element begins; a text message is one element, a multimedia message has parts and addresses in it."""
        if tag == "sms":
            self.done.append(_sms(values))
        elif tag == "mms":
            self.mms = {**values, "texts": [], "media": False, "from": ""}
        elif tag == "part" and self.mms and values.get("ct") == "text/plain":
            self.mms["texts"].append(_filled(values.get("text")))
        elif tag == "part" and self.mms:
            self.mms["media"] |= values.get("ct") != "application/smil"
        elif tag == "addr" and self.mms and values.get("type") == FROM:
            self.mms["from"] = values.get("address", "")

    def end(self, tag: str) -> None:
        """An element ends."""
        if tag == "mms" and self.mms:
            self.done.append(_mms(self.mms))
            self.mms = {}


def _messages(file: ExportFile) -> Iterator[tuple[str, str, Message]]:
    def refuse(*_: Any) -> None:
        line = parser.CurrentLineNumber
        raise FileError(Path(str(file)), "not_xml", "defines entities of its own", "A backup does not.", "Make the backup again.", line)

    parser = xml.parsers.expat.ParserCreate()
    parser.buffer_text = True
    read_here = _Messages()
    parser.StartElementHandler, parser.EndElementHandler, parser.EntityDeclHandler = read_here.start, read_here.end, refuse
    with file.open() as content:
        try:
            for chunk in _joined(content):
                parser.Parse(chunk, False)
                yield from read_here.done
                read_here.done.clear()
            parser.Parse(b"", True)
        except xml.parsers.expat.ExpatError as error:
            reason = xml.parsers.expat.ErrorString(error.code)
            raise FileError(
                Path(str(file)), "not_xml", "is not XML that can be read", f"{reason}.", "Make the backup again.", error.lineno
            ) from error


def _joined(content: IO[bytes]) -> Iterator[bytes]:
    """The file in pieces, halves of signs joined."""

    def whole(match: "re.Match[bytes]") -> bytes:
        high, low = int(match[1]), int(match[2])
        if 0xD800 <= high < 0xDC00 <= low < 0xE000:
            return b"&#%d;" % (0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00))
        return match[0]

    rest = b""
    while chunk := content.read(CHUNK_BYTES):
        rest += chunk

        # The piece ends before a reference that is not whole yet, and never between two halves.
        cut = len(rest)
        if (begun := rest.rfind(b"&", max(0, cut - ENTITY_BYTES))) >= 0 and b";" not in rest[begun:]:
            cut = begun
        if half := HIGH_HALF.search(rest, max(0, cut - ENTITY_BYTES), cut):
            cut = half.start()
        yield SURROGATES.sub(whole, rest[:cut])
        rest = rest[cut:]
    yield SURROGATES.sub(whole, rest)


def _filled(text: str | None) -> str:
    """A value; the word null stands for none."""
    return "" if text is None or text == "null" else text


def _name(values: dict[str, str]) -> str:
    name = _filled(values.get("contact_name"))
    return "" if name == "(Unknown)" else name


def _sms(values: dict[str, str]) -> tuple[str, str, Message]:
    text, kind = _filled(values.get("body")), values.get("type", "1")
    reason = "not sent" if kind in DRAFTS else "" if text.strip() else "empty"
    return (
        short(values.get("address", "")),
        _name(values),
        Message(OWNER if kind in ("2", *DRAFTS) else "", text, seconds(values.get("date")), left_out=reason),
    )


def _mms(values: dict[str, Any]) -> tuple[str, str, Message]:
    text = "\n".join(part for part in values["texts"] if part.strip())
    box = values.get("msg_box", "1")
    numbers = "~".join(short(part) for part in str(values.get("address", "")).split("~"))
    reason = "not sent" if box not in ("1", SENT) else "" if text else "media" if values["media"] else "empty"
    sender = OWNER if box != "1" else short(values["from"]) if "~" in numbers else ""
    return numbers, _name(values), Message(sender, text, seconds(values.get("date")), left_out=reason)
