"""Mail in an mbox file: own answers to the mails of others, without what they quote."""

import email
import email.policy
import re
from collections.abc import Iterator
from email.message import EmailMessage
from email.utils import parseaddr, parsedate_to_datetime
from typing import IO

from edgetune.data.chats._chat import Chat, Message
from edgetune.data.chats._files import ExportFile
from edgetune.data.chats._html import as_text

TITLE = "mail (mbox)"
HOW_TO_EXPORT = "In Thunderbird with ImportExportTools NG, or on Google Takeout: Mail."
ASSISTANT = False
MAIL_START = re.compile(rb"^From [^\n]*\d{4}\r?$")
MAX_MAIL_BYTES = 1 << 22
"""Bytes of a mail that are read: what comes behind are attachments."""
INTRO = re.compile(
    r"^(?:On .{4,200} wrote|Am .{4,200} schrieb.{0,80}|Le .{4,200} a écrit|Op .{4,200} schreef.{0,80}|El .{4,200} escribió|"
    r"W dniu .{4,200} napisał\(?a?\)?|Den .{4,200} skrev.{0,80}|Il .{4,200} ha scritto|Em .{4,200} escreveu) ?:\s*$",
    re.DOTALL,
)
"""The lines above a quotation, which may be broken in three."""
CUT = re.compile(
    r"^(?:-{2,} ?(?:Original Message|Ursprüngliche Nachricht|Message d'origine|Messaggio originale|Mensaje original) ?-{2,}|"
    r"-{5,} ?Forwarded message|Begin forwarded message:|_{20,})"
)
HEADERS = re.compile(r"^\*?(?:From|Von|De|Da|Van): ?.+", re.IGNORECASE)
SENT = re.compile(r"^\*?(?:Sent|Gesendet|Envoyé|Inviato|Date|Datum|Verzonden|Enviado)( le)?: ?.+", re.IGNORECASE)
SIGNATURE = re.compile(r"^(?:-- ?|Sent from my .{1,40}|Von meinem .{1,30} gesendet|Envoyé de mon .{1,30}|Get Outlook for .{1,20})$")
FORWARD = re.compile(r"^(?:fwd?|wg|tr|i):", re.IGNORECASE)


def recognise(file: ExportFile) -> bool:
    """Whether a file begins with a mail."""
    first, _, rest = file.head.partition(b"\n")
    return (
        MAIL_START.match(first) is not None
        and re.search(rb"^(?:From|Date|Subject|Message-ID|Received|Delivered-To|X-GM-THRID): ", rest[:8192], re.MULTILINE | re.IGNORECASE)
        is not None
    )


def read(files: list[ExportFile]) -> Iterator[Chat]:
    """A chat for every thread, by the mails' references. Raises FileError: unreadable."""
    threads: dict[str, list[Message]] = {}
    root_of: dict[str, str] = {}
    subjects: dict[str, str] = {}
    for file in files:
        with file.open() as content:
            for raw in _mails(content):
                message, key, references, subject = _message(raw)
                if key in root_of:
                    message.left_out = "a copy"
                root = next((root_of[ref] for ref in references if ref in root_of), references[0] if references else key)
                root_of.setdefault(key, root)
                subjects.setdefault(root, subject)
                threads.setdefault(root, []).append(message)
    for root, messages in threads.items():
        messages.sort(key=lambda message: message.time or 0.0)
        people = {m.sender for m in messages if not m.left_out}
        yield Chat(subjects[root], messages, group=len(people) > 2)


def _mails(content: IO[bytes]) -> Iterator[bytes]:
    lines: list[bytes] = []
    size, empty = 0, True
    for line in content:
        if empty and MAIL_START.match(line.rstrip(b"\n")):
            if lines:
                yield b"".join(lines)
            lines, size = [], 0
        elif size < MAX_MAIL_BYTES:
            lines.append(line)
            size += len(line)
        empty = not line.strip()
    if lines:
        yield b"".join(lines)


def _message(raw: bytes) -> tuple[Message, str, list[str], str]:
    """(message, its identity, those it refers to, subject)."""
    mail = email.message_from_bytes(raw, policy=email.policy.default)
    assert isinstance(mail, EmailMessage)
    name, address = parseaddr(_header(mail, "From"))
    key = _header(mail, "Message-ID").strip()
    references = re.findall(r"<[^<>\s]+>", f"{_header(mail, 'References')} {_header(mail, 'In-Reply-To')}")
    subject = re.sub(r"^(?:\s*(?:re|aw|sv|antw|fwd?|wg|tr)\s*:)+", "", _header(mail, "Subject"), flags=re.IGNORECASE).strip()
    text = without_quotes(_text(mail))
    try:
        moment: float | None = parsedate_to_datetime(_header(mail, "Date")).timestamp()
    except (ValueError, TypeError):
        moment = None
    if FORWARD.match(_header(mail, "Subject").strip()):
        reason = "forwarded"
    elif mail.get("List-Id") or mail.get("List-Unsubscribe"):
        reason = "a list or advert"
    else:
        reason = "" if text else "empty"
    if not references and subject and text:
        text = f"{subject}\n\n{text}"
    reply = references[-1] if references else ""
    return Message(address.lower() or name or "unknown", text, moment, left_out=reason, key=key, reply_to=reply), key, references, subject


def _header(mail: EmailMessage, name: str) -> str:
    try:
        return str(mail.get(name) or "")
    except (ValueError, TypeError, IndexError, AttributeError):  # the library's own parser stumbles over some damaged headers
        return ""


def _text(mail: EmailMessage) -> str:
    part = mail.get_body(("plain", "html"))
    if part is None:
        return ""
    try:
        content = str(part.get_content())
    except (LookupError, ValueError, AssertionError, KeyError):  # an unknown character set
        content = (part.get_payload(decode=True) or b"").decode("utf-8", "replace")  # type: ignore[union-attr]
    return as_text(content) if part.get_content_subtype() == "html" else content.replace("\r\n", "\n")


def without_quotes(text: str) -> str:
    """What the sender wrote: without quotations, the lines above them, signatures and forwarded mails."""
    kept: list[str] = []
    lines = text.split("\n")
    at = 0
    while at < len(lines):
        line = lines[at].rstrip()
        if line.startswith(">"):
            at += 1
            continue
        intro = next((count for count in (1, 2, 3) if INTRO.match("\n".join(lines[at : at + count]).strip())), 0)
        if intro:
            at += intro
            continue
        header = HEADERS.match(line) and any(SENT.match(other.strip()) for other in lines[at + 1 : at + 4])
        if CUT.match(line) or header or SIGNATURE.match(line):
            break
        kept.append(line)
        at += 1
    return re.sub(r"\n{3,}", "\n\n", "\n".join(kept)).strip()
