"""Conversations kept as files, one JSON document each; and as examples to train on."""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgetune.chat import branches
from edgetune.chat.branches import Branches
from edgetune.errors import InputError
from edgetune.storage.files import append_synced, write_json

Message = dict[str, Any]


@dataclass(frozen=True)
class Saved:
    """A kept conversation. model: the file it was with. system: its system prompt, or empty. messages: its branch that was open. seen:
    its file's stamp."""

    path: Path
    model: str
    system: str
    messages: list[Message]
    branches: Branches = field(default_factory=Branches, compare=False)
    seen: tuple[int, int] | None = field(default=None, compare=False)

    @property
    def name(self) -> str:
        """What it is called by: when it began."""
        return self.path.stem

    @property
    def title(self) -> str:
        """Its first question."""
        said = [str(message["content"]) for message in self.messages if message["role"] == "user"]
        return next(iter([*said, *(turn.content for turn in self.branches.turns if turn.role == "user")]), "")

    @property
    def text(self) -> str:
        """All that was said in any branch, to search in."""
        return "\n".join(turn.content for turn in self.branches.turns)


def new_path(folder: Path) -> Path:
    """Where a conversation that begins now is kept."""
    stem, number = time.strftime("%Y%m%d-%H%M%S"), 1
    while (path := folder / f"{stem}-{number}.json").exists():
        number += 1
    return path


def keep(path: Path, model: str, system: str, messages: Sequence[Message] | Branches) -> None:
    """Write a conversation, with all its branches where it has them; one that was kept there before is replaced."""
    talk = messages if isinstance(messages, Branches) else branches.line(messages)
    document = {"model": model, "system": system, "messages": talk.messages(), "turns": talk.rows(), "tip": talk.tip}
    write_json(path, document)


def stamp(path: Path) -> tuple[int, int] | None:
    """What tells whether a file was written since; None where there is none."""
    try:
        now = path.stat()
    except OSError:
        return None
    return now.st_mtime_ns, now.st_size


@dataclass
class Place:
    """Where a talk that goes on is kept. path: its file, once it has one. seen: the file as it was last read or written here."""

    path: Path | None = None
    seen: tuple[int, int] | None = None

    @classmethod
    def of(cls, talk: Saved) -> "Place":
        """That of a talk that was read just now."""
        return cls(talk.path, talk.seen)

    def keep(self, folder: Path, model: str, system: str, talk: Branches) -> bool:
        """Write it down. Where another program wrote on in the file meanwhile, it gets a new one, so that neither is lost; then True."""
        elsewhere = self.path is not None and stamp(self.path) not in (None, self.seen)
        if self.path is None or elsewhere:
            self.path = new_path(folder)
        keep(self.path, model, system, talk)
        self.seen = stamp(self.path)
        return elsewhere


def listed(folder: Path) -> list[Saved]:
    """All kept conversations, the latest first; files that are none are left out."""
    found = []
    for path in folder.glob("*.json") if folder.is_dir() else []:
        try:
            seen = stamp(path)
            document = json.loads(path.read_text(encoding="utf-8"))
            messages = [{"role": str(one["role"]), "content": str(one["content"])} for one in document["messages"]]
            forked = branches.read(document["turns"], document["tip"]) if "turns" in document else branches.line(messages)
            found.append(Saved(path, str(document.get("model", "")), str(document.get("system", "")), messages, forked, seen))
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            continue
    return sorted(found, key=lambda talk: talk.seen or (0, 0), reverse=True)


def holding(text: str, talks: Sequence[Saved]) -> list[Saved]:
    """Those in which a text was said, in any branch; capitals do not count."""
    return [talk for talk in talks if text.strip().lower() in talk.text.lower()]


def named(folder: Path, name: str) -> Saved:
    """The conversation of a name, or of the beginning of one that no other has. InputError where there is none."""
    talks = listed(folder)
    found = [talk for talk in talks if talk.name == name] or [talk for talk in talks if name and talk.name.startswith(name)]
    if len(found) == 1:
        return found[0]
    why = f"{len(found)} conversations begin so." if found else f"{len(talks)} conversations are kept, none of them called so."
    raise InputError(f"No one conversation is called '{name[:40]}'", why, "'edgetune talks list' lists them.")


def add_example(path: Path, system: str, messages: Sequence[Message]) -> None:
    """Add a conversation to a file of examples, as a line of the messages shape. InputError for a file of another kind."""
    if path.suffix.lower() not in (".jsonl", ".ndjson"):
        raise InputError(
            f"{path.name} cannot take examples", "A conversation is added as a line of JSON.", "Name a file that ends in .jsonl."
        )
    first = [{"role": "system", "content": system}] if system else []
    line = json.dumps({"messages": [*first, *messages]}, ensure_ascii=False) + "\n"
    append_synced(path, (line if _ends_whole(path) else "\n" + line).encode("utf-8", errors="replace"))


def _ends_whole(path: Path) -> bool:
    """Whether a file's last line has its end; so has that of a file that is not there."""
    if not path.is_file() or not path.stat().st_size:
        return True
    with open(path, "rb") as file:
        file.seek(-1, 2)
        return file.read() == b"\n"
