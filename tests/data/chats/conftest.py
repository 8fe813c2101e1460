"""What every test of a chat source does: import a file by the engine, and see that every message is counted."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from edgetune.data import import_chats
from edgetune.data.chat_rows import Choices, Counts


class Imported(NamedTuple):
    """What an import gave: the rows by kind, and the counts."""

    sources: list[str]
    examples: list[Any]
    pairs: list[Any]
    labels: list[Any]
    counts: Counts

    def dialogs(self) -> list[list[tuple[str, str]]]:
        """The examples as lists of (role, content)."""
        return [[(turn["role"], turn["content"]) for turn in row["messages"]] for row in self.examples]


Import = Callable[..., Imported]


@pytest.fixture
def imported(tmp_path: Path) -> Import:
    """Import files given as {name: content}; content that is no text is written as JSON."""

    def run(files: dict[str, Any], **choices: Any) -> Imported:
        folder = tmp_path / "export"
        if files:
            shutil.rmtree(folder, ignore_errors=True)
        for name, content in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(content, bytes):
                path.write_bytes(content)
            else:
                path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8", newline="\n")
        return import_from([folder], **choices)

    return run


def import_from(paths: list[Path], **choices: Any) -> Imported:
    """Import paths; private things stay unless asked for."""
    found = import_chats.survey(paths, date_order=choices.pop("date_order", ""))
    me = import_chats.me_in(found, choices.pop("me", ""))
    counts = Counts()
    kinds: dict[str, list[Any]] = {"example": [], "pair": [], "label": []}
    for kind, row in import_chats.rows(found, Choices(me=me, **choices), counts):
        kinds[kind].append(row)
    assert counts.read == counts.answers + counts.context + counts.left_out.total(), counts
    assert all(count > 0 for count in counts.left_out.values()), counts
    return Imported(list(found.sources), kinds["example"], kinds["pair"], kinds["label"], counts)
