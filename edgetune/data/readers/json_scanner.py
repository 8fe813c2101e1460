"""Walk through JSON text of any size: find where each value ends without building it, holding one value at a time."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from edgetune.data.readers.errors import FileError
from edgetune.data.readers.json_lines import MAX_ROW_BYTES

SCAN_CHUNK_BYTES = 1 << 18
_SPACE = re.compile(rb"[ \t\r\n]*")
_STRING = rb'"(?:[^"\\]++|\\.)*+"'
_TOKEN = re.compile(_STRING + rb'|[\[\]{}]|"', re.DOTALL)
"""What decides where a value ends: a whole string, a bracket; a lone quote is a string that continues behind the buffer."""
_FLAT = 5
_inner = _STRING
for _ in range(_FLAT):
    _inner = rb'[\[{](?:[^"\[\]{}]++|' + _STRING + rb"|" + _inner + rb")*+[\]}]"
_SHALLOW = re.compile(_inner, re.DOTALL)
"""A whole list or object with at most _FLAT levels of them: what nearly every row is, found in one step."""
_SCALAR = re.compile(rb'[^ \t\r\n,:\[\]{}"]*')
_OPENING, _CLOSING = frozenset(b"[{"), frozenset(b"]}")
CORRECT_FILE = "Correct the JSON there; nothing of the file was used."


class Scanner:
    """A place in JSON text. `line` is that of the next byte, after `peek`."""

    def __init__(self, file: IO[bytes], path: Path, limit: int = MAX_ROW_BYTES) -> None:
        self._file = file
        self._path = path
        self._limit = limit
        self._buffer = b""
        self._at = 0
        self.line = 1

    def _grow(self, keep: int) -> bool:
        """Drop what lies before `keep` and read on, more each time, so that a long value is not looked at too often; False at the end."""
        if keep:
            self._buffer, self._at = self._buffer[keep:], self._at - keep
        more = self._file.read(max(SCAN_CHUNK_BYTES, len(self._buffer)))
        self._buffer += more
        return bool(more)

    def peek(self) -> bytes:
        """The next byte that is no space; b"" at the end of the file."""
        byte = self._buffer[self._at : self._at + 1]
        if byte > b" ":
            return byte

        # The line is counted here, where white space is passed.
        while True:
            end = _SPACE.match(self._buffer, self._at).end()  # type: ignore[union-attr]
            self.line += self._buffer.count(b"\n", self._at, end)
            self._at = end
            if end < len(self._buffer):
                return self._buffer[end : end + 1]
            if not self._grow(end):
                return b""

    def take(self, *expected: bytes) -> bytes:
        """The next byte, which must be one of those wanted. Raises FileError: json_truncated, not_json."""
        byte = self.peek()
        if byte not in expected:
            raise self.error(f"expected {' or '.join(w.decode() for w in expected)}, found {byte.decode('ascii', 'replace')}")
        self._at += 1
        return byte

    def value(self) -> bytes:
        """The bytes of the next value; only its brackets and quotes are known to be right. Raises FileError: json_truncated, too_large."""
        first = self.peek()
        if first in (b"{", b"[", b'"'):
            end = self._bracketed()
        else:
            end = self._scalar()
            if end == self._at:
                raise self.error(f"expected a value, found {first.decode('ascii', 'replace')}")
        self._room(end - self._at)
        content = self._buffer[self._at : end]
        self.line += content.count(b"\n")
        self._at = end
        return content

    def members(self) -> Iterator[str]:
        """Stand before the value of each member of the object that comes next, and give its key; the caller reads the value.

        Keys and values are taken one by one, so that a long list inside is never held whole. Raises FileError: json_truncated, not_json.
        """
        self.take(b"{")
        if self.peek() == b"}":
            self.take(b"}")
            return
        while True:
            line = self.line
            key = self.value()
            if not key.startswith(b'"'):
                raise self.error("expected a name in double quotes", line)
            self.take(b":")
            yield key[1:-1].decode("utf-8", "replace")
            if self.take(b",", b"}") == b"}":
                return

    def elements(self) -> Iterator[int]:
        """Stand before each element of the list that comes next, and give its line; the caller reads the element.

        Raises FileError: json_truncated, not_json.
        """
        self.take(b"[")
        if self.peek() == b"]":
            self.take(b"]")
            return
        while True:
            self.peek()
            yield self.line
            if self.take(b",", b"]") == b"]":
                return
            if self.peek() == b"]":
                raise self.error("there is a comma before the end of the list")

    def _scalar(self) -> int:
        """Where the number or word that starts here ends."""
        while True:
            end = _SCALAR.match(self._buffer, self._at).end()  # type: ignore[union-attr]
            if end < len(self._buffer):
                return end
            self._room(len(self._buffer) - self._at)
            if not self._grow(self._at):
                return len(self._buffer)

    def _bracketed(self) -> int:
        """Where the string, list or object that starts here ends."""
        if whole := _SHALLOW.match(self._buffer, self._at):
            return whole.end()

        # A deep or unfinished value: count brackets, reading on wherever the buffer ends.
        depth = 0
        position = self._at
        while True:
            for token in _TOKEN.finditer(self._buffer, position):
                byte = self._buffer[token.start()]
                if byte in _OPENING:
                    depth += 1
                elif byte in _CLOSING:
                    depth -= 1
                elif token.end() - token.start() == 1:
                    position = token.start()
                    break
                if depth == 0:
                    return token.end()
            else:
                position = len(self._buffer)
            self._room(len(self._buffer) - self._at)

            start = self._at
            if not self._grow(start):
                raise self.error("")
            position -= start

    def _room(self, size: int) -> None:
        """Raise FileError too_large when a value has that many bytes, or so many without an end."""
        if size > self._limit:
            raise FileError(
                self._path,
                "too_large",
                "holds a value that is too large",
                f"what starts here is longer than {self._limit >> 20} MiB; perhaps a quote or bracket is missing.",
                "Close the quote or bracket, or save the rows as JSON lines (.jsonl).",
                self.line,
            )

    def error(self, cause: str, line: int = 0) -> FileError:
        """What is wrong at a line; or here, where it may be that there is nothing more. No cause: a value that starts here has no end."""
        if not cause or (not line and not self.peek()):
            return FileError(
                self._path,
                "json_truncated",
                "is not JSON: it is cut off",
                "what starts here has no end." if not cause else "the file ends here, within a list or object.",
                "Save or download the file again; nothing of it was used.",
                self.line,
            )
        return FileError(self._path, "not_json", "is not JSON", f"{cause}.", CORRECT_FILE, line or self.line)
