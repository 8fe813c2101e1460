"""One file per program that chats come from; the file name is the source's name. What sources share begins with an underscore.

Each has
  TITLE: str                              what people call it ("WhatsApp")
  HOW_TO_EXPORT: str                             how its export is had, in a sentence
  ASSISTANT: bool                         whether one side is an assistant already; else the person says who answers (`--me`)
  recognise(file) -> bool                 whether a file's content is of this source, whatever its name
  read(files) -> Iterator[Chat]           the chats of all its files, one after the other; raises FileError with file and line

A source knows nothing of training: which messages become answers is decided in edgetune/data/chat_rows.py.
"""

import pkgutil
from collections.abc import Iterable
from functools import cache
from importlib import import_module
from typing import Any

from edgetune.data.chats._files import ExportFile
from edgetune.data.readers.errors import FileError

__all__ = ["ExportFile", "names", "recognise", "source", "sources_of"]


@cache
def names() -> list[str]:
    """The names of all sources."""
    return sorted(entry.name for entry in pkgutil.iter_modules(__path__) if not entry.name.startswith("_"))


@cache
def source(name: str) -> Any:
    """The module of a source."""
    return import_module(f"{__name__}.{name}")


def recognise(file: ExportFile) -> str:
    """The name of the source that a file is an export of; "" when it is of none."""
    return next((name for name in names() if source(name).recognise(file)), "")


def sources_of(files: Iterable[ExportFile]) -> tuple[dict[str, list[ExportFile]], list[ExportFile]]:
    """The files of each source, and those that belong to none. Raises FileError for a file that cannot be opened."""
    known: dict[str, list[ExportFile]] = {}
    other: list[ExportFile] = []
    for file in files:
        try:
            name = recognise(file)
        except FileError:
            if file.named:
                raise
            name = ""  # beside an export lies much that is none of it
        known.setdefault(name, []).append(file) if name else other.append(file)
    return known, other
