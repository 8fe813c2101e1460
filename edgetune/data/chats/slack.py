"""Slack's export: a folder for every channel with a file for every day."""

import html
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from edgetune.data.chats._chat import Chat, Message
from edgetune.data.chats._files import ExportFile
from edgetune.data.chats._times import seconds

TITLE = "Slack"
HOW_TO_EXPORT = "In the workspace's settings: Import/Export data, Export."
ASSISTANT = False
WRITTEN = frozenset(("", "file_share", "thread_broadcast", "me_message"))
"""Subtypes of what a person wrote."""
DAY = re.compile(r"^\d{4}-\d{2}-\d{2}$")
MARKUP = re.compile(r"<([@#!]?)([^>|]*)(?:\|([^>]*))?>")


def recognise(file: ExportFile) -> bool:
    """Whether a file is a list of messages with Slack's times."""
    shape = file.outline
    first = shape[0] if isinstance(shape, list) and shape else None
    return isinstance(first, dict) and first.get("type") == "message" and re.fullmatch(r"\d+\.\d+", str(first.get("ts", ""))) is not None


def read(files: list[ExportFile]) -> Iterator[Chat]:
    """A chat of every channel; answers in threads refer to what they answer. Raises FileError: not_json, json_truncated, too_large."""
    channels: dict[str, list[ExportFile]] = {}
    for file in files:
        channels.setdefault(str(file.name.parent), []).append(file)

    for name, days in channels.items():
        people, direct = _people(days[0]), _direct(days[0])
        entries: list[dict[str, Any]] = []
        for file in sorted(days, key=lambda file: file.name.stem):
            entries += list(file.objects())
        entries.sort(key=lambda entry: seconds(entry.get("ts")) or 0.0)
        title = Path(name).name
        yield Chat(title, _messages(entries, people), group=title not in direct)


def _top_list(file: ExportFile, name: str) -> list[dict[str, Any]]:
    """A list of the export's top folder."""
    value = file.read_beside(name, up=1)
    return [entry for entry in value if isinstance(entry, dict)] if isinstance(value, list) else []


def _people(file: ExportFile) -> dict[str, str]:
    people = {}
    for user in (*_top_list(file, "users.json"), *_top_list(file, "org_users.json")):
        profile = user.get("profile") or {}
        people[str(user.get("id"))] = str(
            profile.get("display_name") or profile.get("real_name") or user.get("real_name") or user.get("name") or ""
        )
    return people


def _direct(file: ExportFile) -> set[str]:
    """The folders of chats of two people."""
    return {str(entry.get("id")) for entry in _top_list(file, "dms.json")}


def _messages(entries: list[dict[str, Any]], people: dict[str, str]) -> Iterator[Message]:
    last_of_thread: dict[str, str] = {}
    for entry in entries:
        key, thread = str(entry.get("ts") or ""), str(entry.get("thread_ts") or "")
        text = _text(entry, people)
        profile = entry.get("user_profile") or {}
        user = str(entry.get("user") or entry.get("bot_id") or "")
        sender = people.get(user) or str(
            profile.get("display_name") or profile.get("real_name") or entry.get("username") or user or "unknown"
        )
        mentions = tuple(people.get(word, word) for word in re.findall(r"<@(\w+)", str(entry.get("text") or "")))
        reason = _reason(entry, text)
        yield Message(
            sender,
            text,
            seconds(key),
            left_out=reason,
            key=key,
            reply_to=last_of_thread.get(thread, "") if thread and thread != key else "",
            mentions=mentions,
        )
        if thread and not reason:
            last_of_thread[thread] = key


def _reason(entry: dict[str, Any], text: str) -> str:
    subtype = str(entry.get("subtype") or "")
    if subtype == "bot_message" or (entry.get("bot_id") and not entry.get("user")):
        return "by a bot"
    if subtype == "tombstone":
        return "deleted"
    if subtype not in WRITTEN:
        return "notice"
    return "" if text.strip() else "media" if entry.get("files") or entry.get("attachments") else "empty"


def _text(entry: dict[str, Any], people: dict[str, str]) -> str:
    """The text, with names for ids and without Slack's markup; of its blocks where they say more."""

    def plain(match: "re.Match[str]") -> str:
        kind, value, label = match[1], match[2], match[3]
        if kind == "@":
            return f"@{people.get(value) or label or value}"
        return f"{kind if kind in '#' else '@' if kind else ''}{label or value}" if kind else label or value

    text = html.unescape(MARKUP.sub(plain, str(entry.get("text") or "")))
    blocks = _of_blocks(entry.get("blocks") or [], people).strip()
    return blocks if len(blocks) > len(text.strip()) + 3 else text


def _of_blocks(value: Any, people: dict[str, str]) -> str:
    if isinstance(value, list):
        return "".join(_of_blocks(part, people) for part in value)
    if not isinstance(value, dict):
        return ""
    kind = value.get("type")
    if kind == "text":
        return str(value.get("text") or "")
    if kind == "user":
        return f"@{people.get(str(value.get('user_id')), str(value.get('user_id')))}"
    if kind == "link":
        return str(value.get("text") or value.get("url") or "")
    return _of_blocks(value.get("elements") or [], people) + ("\n" if kind in ("rich_text_section", "rich_text_list") else "")
