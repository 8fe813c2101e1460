"""Conversations saved as files, one JSON document each; and as examples to train on."""

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
class SavedConversation:
    """A conversation read from its file.

    model: the file it was with. system: its system prompt, or empty. messages: the branch that was open. seen: its file's stamp.
    """

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
        questions = [str(message["content"]) for message in self.messages if message["role"] == "user"]
        return next(iter([*questions, *(turn.content for turn in self.branches.turns if turn.role == "user")]), "")

    @property
    def text(self) -> str:
        """The text of all branches, to search in."""
        return "\n".join(turn.content for turn in self.branches.turns)


def new_path(folder: Path) -> Path:
    """The file of a conversation that begins now."""
    stem, number = time.strftime("%Y%m%d-%H%M%S"), 1
    while (path := folder / f"{stem}-{number}.json").exists():
        number += 1
    return path


def save(path: Path, model: str, system: str, messages: Sequence[Message] | Branches) -> None:
    """Write a conversation, with all its branches where it has them; what the file held before is replaced."""
    tree = messages if isinstance(messages, Branches) else branches.unbranched(messages)
    document = {"model": model, "system": system, "messages": tree.messages(), "turns": tree.rows(), "tip": tree.tip}
    write_json(path, document)


def stamp(path: Path) -> tuple[int, int] | None:
    """What tells whether a file was written since; None where there is none."""
    try:
        now = path.stat()
    except OSError:
        return None
    return now.st_mtime_ns, now.st_size


@dataclass
class ConversationFile:
    """The file of a conversation that continues. path: None until it is saved. seen: the file as it was last read or written here."""

    path: Path | None = None
    seen: tuple[int, int] | None = None

    @classmethod
    def of(cls, conversation: SavedConversation) -> "ConversationFile":
        """That of a conversation that was read just now."""
        return cls(conversation.path, conversation.seen)

    def save(self, folder: Path, model: str, system: str, tree: Branches) -> bool:
        """Write the conversation. True where another program had changed the file: it then gets a new one, so that neither is lost."""
        changed = self.path is not None and stamp(self.path) not in (None, self.seen)
        if self.path is None or changed:
            self.path = new_path(folder)
        save(self.path, model, system, tree)
        self.seen = stamp(self.path)
        return changed


def list_conversations(folder: Path) -> list[SavedConversation]:
    """All saved conversations, the latest first; files that are none are left out."""
    conversations = []
    for path in folder.glob("*.json") if folder.is_dir() else []:
        try:
            seen = stamp(path)
            document = json.loads(path.read_text(encoding="utf-8"))
            messages = [{"role": str(message["role"]), "content": str(message["content"])} for message in document["messages"]]
            forked = branches.read(document["turns"], document["tip"]) if "turns" in document else branches.unbranched(messages)
            model, system = str(document.get("model", "")), str(document.get("system", ""))
            conversations.append(SavedConversation(path, model, system, messages, forked, seen))
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            continue
    return sorted(conversations, key=lambda conversation: conversation.seen or (0, 0), reverse=True)


def search(text: str, conversations: Sequence[SavedConversation]) -> list[SavedConversation]:
    """Those that hold a text, in any branch; capitals do not count."""
    return [conversation for conversation in conversations if text.strip().lower() in conversation.text.lower()]


def find_conversation(folder: Path, name: str) -> SavedConversation:
    """The conversation of a name, or of the beginning of one that no other has. InputError otherwise."""
    conversations = list_conversations(folder)
    exact = [c for c in conversations if c.name == name]
    matching = exact or [c for c in conversations if name and c.name.startswith(name)]
    if len(matching) == 1:
        return matching[0]

    if matching:
        cause = f"The names of {len(matching)} conversations begin with it; it must be one."
    else:
        cause = f"{len(conversations)} conversations are saved, none of them with this name."
    raise InputError(f"There is no conversation '{name[:40]}'", cause, "'edgetune conversations list' lists them.")


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
