"""Exports of chats become examples: what is in them, who answers, and the rows of all chats in order."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edgetune.data import chats
from edgetune.data.chat_rows import Choices, Counts, Row, between_two, in_group, with_assistant
from edgetune.data.chats._chat import Message
from edgetune.data.placeholders import Placeholders
from edgetune.errors import InputError


@dataclass(frozen=True)
class ChatPeople:
    """A chat as the first reading found it."""

    title: str
    people: Counter[str]
    group: bool


@dataclass(frozen=True)
class Survey:
    """What lies in the files: sources by name with their files, the chats in order, messages by sender, and who made the export."""

    sources: dict[str, list[chats.ExportFile]]
    chats: tuple[ChatPeople, ...]
    people: Counter[str]
    owner: str
    assistant: bool

    @property
    def title(self) -> str:
        """The sources as people call them."""
        return " and ".join(chats.source(name).TITLE for name in self.sources)


def survey(paths: Sequence[Path], source: str = "", date_order: str = "", progress: Any = None) -> Survey:
    """Read everything once, to say what is there. source: of all files, where their content must not decide. progress: called with a count.

    Raises InputError: no chats, an unknown source; FileError: a file is damaged.
    """
    from edgetune.data.chats._files import export_files

    files = [replace(file, date_order=date_order) for file in export_files(paths)]
    if source and source not in chats.names():
        raise InputError(
            f"There is no source '{source}'", f"Known are {', '.join(chats.names())}.", "Leave --source out to find it from the files."
        )
    known, other = ({source: files}, []) if source else chats.sources_of(files)
    if not known:
        named = ", ".join(str(file) for file in other[:3]) or ", ".join(map(str, paths))
        titles = ", ".join(chats.source(name).TITLE for name in chats.names())
        raise InputError(
            "No chats were found", f"Nothing in {named} looks like an export of {titles}.", "Name the export's file, folder or ZIP archive."
        )

    people_of: list[ChatPeople] = []
    owners: Counter[str] = Counter()
    read = 0
    for name, group in known.items():
        for chat in chats.source(name).read(group):
            people: Counter[str] = Counter()
            for message in chat.messages:
                read += 1
                if progress and read % 1000 == 0:
                    progress(read)
                if is_spoken(message):
                    people[message.sender] += 1
            people_of.append(ChatPeople(chat.title, people, len(people) > 2 if chat.group is None else chat.group))
            owners[chat.owner] += bool(chat.owner)
    every = sum((chat.people for chat in people_of), Counter[str]())
    owner = owners.most_common(1)[0][0] if owners else ""
    return Survey(known, tuple(people_of), every, owner, all(chats.source(name).ASSISTANT for name in known))


def me_in(export: Survey, asked: str) -> str:
    """The name of who answers: the one asked for, or the export's owner; "" in chats with an assistant.

    Raises InputError where neither is known, with the names that are.
    """
    names = ", ".join(f"{name} ({count:,})" for name, count in export.people.most_common(12))
    if asked and asked not in export.people:
        close = [name for name in export.people if name.casefold() == asked.casefold()]
        if len(close) != 1:
            raise InputError(f"Nobody called '{asked}' wrote in these chats", f"Those who did: {names}.", "Name one of them with --me.")
        return close[0]
    if asked or export.assistant:
        return asked
    if not export.owner:
        raise InputError(
            "Which of these people are you?", f"The export does not say. Those who wrote: {names}.", "Name yourself with --me."
        )
    return export.owner


def rows(export: Survey, choices: Choices, counts: Counts, placeholders: Placeholders | None = None) -> Iterator[tuple[str, Row]]:
    """(kind, row) of every example: "example" with `messages`, "pair" with `prompt`, `chosen` and `rejected`, "label" with `label`.

    counts is filled meanwhile; it is right when all has been read.
    """
    at = 0
    for name, files in export.sources.items():
        for chat in chats.source(name).read(files):
            known = export.chats[at]
            at += 1
            messages = _counted(chat.messages, counts, placeholders)
            if chats.source(name).ASSISTANT and not choices.me:
                yield from with_assistant(chat, list(messages), choices, counts)
            elif known.group:
                yield from in_group(messages, choices, counts)
            else:
                yield from between_two(messages, choices, counts)


def is_spoken(message: Message) -> bool:
    """Whether somebody sent a message, of whatever kind: what the program wrote does not count for anybody."""
    return bool(message.sender) and message.left_out not in ("notice", "hidden", "tool result")


def _counted(messages: Iterable[Message], counts: Counts, placeholders: Placeholders | None) -> Iterator[Message]:
    for message in messages:
        counts.read += 1
        if is_spoken(message):
            counts.people[message.sender] += 1
        if placeholders and not message.left_out:
            message.text = placeholders.replace(message.text)
            message.reasoning = placeholders.replace(message.reasoning)
            message.others = [placeholders.replace(text) for text in message.others]
            message.documents = [placeholders.replace(text) for text in message.documents]
            message.citations = placeholders.replace(message.citations)
        yield message
