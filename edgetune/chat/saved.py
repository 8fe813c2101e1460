"""Conversations kept as files, one JSON document each; and as examples to train on."""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgetune.errors import InputError
from edgetune.files import append_line, write_json

Message = dict[str, Any]


@dataclass(frozen=True)
class Saved:
    """A kept conversation. model: the file it was with. system: its system prompt, or empty."""

    path: Path
    model: str
    system: str
    messages: list[Message]

    @property
    def title(self) -> str:
        """Its first question."""
        return next((str(message["content"]) for message in self.messages if message["role"] == "user"), "")

    @property
    def text(self) -> str:
        """All that was said, to search in."""
        return "\n".join(str(message["content"]) for message in self.messages)


def new_path(folder: Path) -> Path:
    """Where a conversation that begins now is kept."""
    stem, number = time.strftime("%Y%m%d-%H%M%S"), 1
    while (path := folder / f"{stem}-{number}.json").exists():
        number += 1
    return path


def keep(path: Path, model: str, system: str, messages: Sequence[Message]) -> None:
    """Write a conversation; one that was kept there before is replaced."""
    write_json(path, {"model": model, "system": system, "messages": list(messages)})


def listed(folder: Path) -> list[Saved]:
    """All kept conversations, the latest first; files that are none are left out."""
    found = []
    for path in sorted(folder.glob("*.json"), key=lambda path: path.stat().st_mtime, reverse=True) if folder.is_dir() else []:
        try:
            document = json.loads(path.read_text(encoding="utf-8"))
            messages = [{"role": str(one["role"]), "content": str(one["content"])} for one in document["messages"]]
            found.append(Saved(path, str(document.get("model", "")), str(document.get("system", "")), messages))
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            continue
    return found


def add_example(path: Path, system: str, messages: Sequence[Message]) -> None:
    """Add a conversation to a file of examples, as a line of the messages shape. InputError for a file of another kind."""
    if path.suffix.lower() not in (".jsonl", ".ndjson"):
        raise InputError(
            f"{path.name} cannot take examples", "A conversation is added as a line of JSON.", "Name a file that ends in .jsonl."
        )
    first = [{"role": "system", "content": system}] if system else []
    append_line(path, (json.dumps({"messages": [*first, *messages]}, ensure_ascii=False) + "\n").encode("utf-8", errors="replace"))
