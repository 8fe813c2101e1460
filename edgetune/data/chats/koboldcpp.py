"""KoboldAI's and KoboldCpp's saves: a running text, which in chat and instruct mode has turns in it."""

import re
from collections.abc import Iterator
from typing import Any

from edgetune.data.chats._chat import Chat, Message
from edgetune.data.chats._files import ExportFile

TITLE = "KoboldCpp"
HOW_TO_EXPORT = "In the menu: Save / Load, Download file."
ASSISTANT = True
CHAT, INSTRUCT = 3, 4
"""Modes (`opmode`) in which the text has turns."""
INPUT, OUTPUT = "{{[INPUT]}}", "{{[OUTPUT]}}"


def recognise(file: ExportFile) -> bool:
    """Whether a file is a game with a prompt and actions."""
    shape = file.outline
    return isinstance(shape, dict) and "gamestarted" in shape and "prompt" in shape and isinstance(shape.get("actions"), list)


def read(files: list[ExportFile]) -> Iterator[Chat]:
    """The saves, memory as the system text. Raises FileError: not_json, json_truncated, too_large."""
    for file in files:
        for value in file.objects():
            messages = list(_messages(value))
            yield Chat(file.name.stem, messages, group=False, system=str(value.get("memory") or "").strip())


def _messages(value: dict[str, Any]) -> Iterator[Message]:
    settings = value.get("savedsettings") or {}
    text = "".join(str(part or "") for part in (value.get("prompt"), *(value.get("actions") or [])))
    if settings.get("opmode") == INSTRUCT or INPUT in text:
        start, end = (
            (INPUT, OUTPUT) if INPUT in text else (str(settings.get("instruct_starttag") or ""), str(settings.get("instruct_endtag") or ""))
        )
        start, end = (tag.replace("\\n", "\n").strip() for tag in (start, end))
        yield from _tagged(text, start, end) if start and end else (_story(text),)
    elif settings.get("opmode") == CHAT:
        me, them = str(settings.get("chatname") or "You"), str(settings.get("chatopponent") or "").split("||$||")[0]
        yield from _named(text, me, them)
    else:
        yield _story(text)


def _story(text: str) -> Message:
    """A story has no turns, so there is no answer in it."""
    return Message("story", text, left_out="a story without turns")


def _tagged(text: str, start: str, end: str) -> Iterator[Message]:
    for part in text.split(start)[1:]:
        prompt, _, answer = part.partition(end)
        yield Message("user", prompt.strip(), role="user", left_out="" if prompt.strip() else "empty")
        yield Message("assistant", answer.strip(), role="assistant", left_out="" if answer.strip() else "stopped")


def _named(text: str, me: str, them: str) -> Iterator[Message]:
    """Lines `Name: text`; lines without a name continue the turn."""
    names = "|".join(re.escape(name) for name in (me, them) if name) or re.escape(me)
    parts = re.split(rf"(?:^|\n)({names}): ?", text)
    for name, words in zip(parts[1::2], parts[2::2], strict=True):
        yield Message(name, words.strip(), role="user" if name == me else "assistant", left_out="" if words.strip() else "empty")
