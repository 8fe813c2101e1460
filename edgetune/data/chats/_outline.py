"""What a JSON file of any size looks like at its start, to tell whose export it is."""

from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from edgetune.data.chats._json import parse
from edgetune.data.readers.errors import FileError
from edgetune.data.readers.json_scanner import Scanner

Outline = Any
OUTLINE_BYTES = 1 << 20
"""Bytes of values after which an outline ends."""
OUTLINE_ITEMS = 3
"""Values of a list that an outline holds."""


def outline(file: IO[bytes], path: Path) -> Outline:
    """The first of a file's JSON values, lists cut to their first values; what comes after OUTLINE_BYTES, or a fault, is missing."""
    reader = _Outliner(Scanner(file, path))
    with suppress(FileError):  # the fault is named where the file is read
        reader.read(None)
    return reader.result


class _Outliner:
    """Reads one value; every object and list is hung into what holds it before it is filled, so that a stop leaves the part read."""

    def __init__(self, scanner: Scanner) -> None:
        self.scanner = scanner
        self.left = OUTLINE_BYTES
        self.result: Any = None

    def read(self, holder: Any, key: Any = None) -> None:
        scanner = self.scanner
        first = scanner.peek()
        if first not in (b"{", b"["):
            content = scanner.value()
            self.left -= len(content)
            self._hang(holder, key, parse(content))
            return

        closing = b"}" if first == b"{" else b"]"
        container: Any = {} if first == b"{" else []
        self._hang(holder, key, container)
        scanner.take(first)
        if scanner.peek() == closing:
            scanner.take(closing)
            return
        while self.left > 0:
            if first == b"{":
                name = parse(scanner.value())
                scanner.take(b":")
                self.read(container, name)
            elif len(container) < OUTLINE_ITEMS:
                self.read(container)
            else:
                self.left -= len(scanner.value())
            if self.left <= 0 or scanner.take(b",", closing) == closing:
                return

    def _hang(self, holder: Any, key: Any, value: Any) -> None:
        if holder is None:
            self.result = value
        elif isinstance(holder, dict):
            holder[key] = value
        else:
            holder.append(value)
