"""What a JSON file of any size looks like at its start, to tell whose export it is; and its parts read one by one."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import orjson

from edgetune.data.readers.errors import FileError
from edgetune.data.readers.json_scanner import Scanner

Outline = Any
OUTLINE_BYTES = 1 << 20
"""Bytes of values after which an outline ends."""
OUTLINE_ITEMS = 3
"""Values of a list that an outline holds."""


def outline(file: IO[bytes], path: Path) -> Outline:
    """The first of a file's JSON values, lists cut to their first values; what comes after OUTLINE_BYTES, or a fault, is missing."""
    reader = _Outliner(Scanner(file, path))  # type: ignore[arg-type]
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


def parse(content: bytes) -> Any:
    """A JSON value; None where it is none."""
    try:
        return orjson.loads(content)
    except orjson.JSONDecodeError:
        return None


def elements(scanner: Scanner) -> Iterator[tuple[int, Any]]:
    """(line, value) of every element of the list that comes next. Raises FileError: not_json, json_truncated, too_large."""
    scanner.take(b"[")
    if scanner.peek() == b"]":
        scanner.take(b"]")
        return
    while True:
        scanner.peek()
        line = scanner.line
        yield line, checked(scanner, scanner.value(), line)
        if scanner.take(b",", b"]") == b"]":
            return


def checked(scanner: Scanner, content: bytes, line: int) -> Any:
    """A value's bytes, parsed. Raises FileError: not_json."""
    try:
        return orjson.loads(content)
    except orjson.JSONDecodeError as error:
        raise scanner.error(f"{error}", line) from error


def members(scanner: Scanner) -> Iterator[str]:
    """The keys of the object that comes next; whoever asks reads each key's value before the next key.

    Raises FileError: not_json, json_truncated.
    """
    scanner.take(b"{")
    if scanner.peek() == b"}":
        scanner.take(b"}")
        return
    while True:
        key = parse(scanner.value())
        scanner.take(b":")
        yield str(key)
        if scanner.take(b",", b"}") == b"}":
            return


def documents(file: IO[bytes], path: Path) -> Iterator[tuple[int, Any]]:
    """(line, value) of a file's list, of its one value, or of every line of JSON lines.

    Raises FileError: not_json, json_truncated, too_large.
    """
    scanner = Scanner(file, path)  # type: ignore[arg-type]
    if scanner.peek() == b"[":
        yield from elements(scanner)
        return
    while scanner.peek():
        line = scanner.line
        yield line, checked(scanner, scanner.value(), line)
