"""Discord's own data package: what its owner wrote, and nothing that others did, so there is no question to any answer."""

import csv
import io
from collections.abc import Iterator
from typing import Any

from edgetune.data.chats._chat import Chat, Message
from edgetune.data.chats._files import ExportFile
from edgetune.data.chats._times import seconds

TITLE = "Discord's data package"
HOW_TO_EXPORT = "It holds your own messages alone; export the channels with DiscordChatExporter, which has the others' too."
ASSISTANT = False
COLUMNS = ("ID", "Timestamp", "Contents", "Attachments")
OWNER = "you"


def recognise(file: ExportFile) -> bool:
    """Whether a file's messages have the package's four fields."""
    shape = file.outline
    first = shape[0] if isinstance(shape, list) and shape else None
    if isinstance(first, dict):
        return "ID" in first and "Contents" in first and "Timestamp" in first
    return file.head.lstrip(b"\xef\xbb\xbf").startswith(",".join(COLUMNS).encode())


def read(files: list[ExportFile]) -> Iterator[Chat]:
    """The channels, by time. Raises FileError: not_json, json_truncated, too_large, encoding."""
    for file in files:
        rows = sorted(_rows(file), key=lambda row: (seconds(row.get("Timestamp")) or 0.0, str(row.get("ID"))))
        yield Chat(_title(file), [_message(row) for row in rows], OWNER, group=False)


def _rows(file: ExportFile) -> list[dict[str, Any]]:
    if file.outline is not None:
        return list(file.objects())
    with file.text() as lines:
        return list(csv.DictReader(io.StringIO(lines.read())))


def _title(file: ExportFile) -> str:
    about = file.read_beside("channel.json")
    if isinstance(about, dict) and about.get("name"):
        return str(about["name"])
    return file.name.parent.name


def _message(row: dict[str, Any]) -> Message:
    text = str(row.get("Contents") or "")
    reason = "" if text.strip() else "media" if row.get("Attachments") else "empty"
    return Message(OWNER, text, seconds(row.get("Timestamp")), left_out=reason, key=str(row.get("ID")))
