"""Text and Markdown: documents for continued pretraining."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from edgetune.data.readers import opened
from edgetune.data.readers.pieces import PIECE_CHARACTERS, join_paragraphs, linked_rows
from edgetune.data.row import RawRow

SUFFIXES = (".txt", ".md")
DOCUMENT_LINE_CHARACTERS = 300
"""Mean characters a line from which each line of a text file without blank lines is a separate document."""
MAX_LINE_CHARACTERS = 1 << 20
"""Characters after which a line without end is cut, so that memory is bounded."""


def read(path: Path) -> Iterator[RawRow]:
    """Documents of several whole paragraphs, each with the line on which it starts; a short file is one document. Where a file has no
    blank lines and long lines, each line is a document. Problem of a row: encoding. Raises FileError: see opened.utf8."""
    by_line = _lines_are_documents(path)
    with _lines(path) as lines:
        if by_line:
            for number, line in lines:
                if line.strip():
                    yield _row(number, {"text": line.rstrip("\n")})
        else:
            for number, row in linked_rows(join_paragraphs(_paragraphs(lines))):
                yield _row(number, row)


@contextmanager
def _lines(path: Path) -> Iterator[Iterator[tuple[int, str]]]:
    """Numbered lines, ending in a newline; bytes that are not UTF-8 are lone surrogates in them."""
    with opened.utf8(path) as file:
        text = io.TextIOWrapper(file, encoding="utf-8", errors="surrogateescape")
        try:
            yield _numbered(text)
        finally:
            text.detach()


def _numbered(text: io.TextIOWrapper) -> Iterator[tuple[int, str]]:
    number = 1
    while line := text.readline(MAX_LINE_CHARACTERS):
        yield number, line
        number += line.endswith("\n")


def _lines_are_documents(path: Path) -> bool:
    characters = filled = 0
    blank = False
    with _lines(path) as lines:
        for _, line in lines:
            if not line.strip():
                blank = True
            elif blank:
                return False
            else:
                filled, characters = filled + 1, characters + len(line.rstrip("\n"))

    return bool(filled) and characters / filled >= DOCUMENT_LINE_CHARACTERS


def _paragraphs(lines: Iterator[tuple[int, str]]) -> Iterator[tuple[int, str]]:
    """Lines up to and with the blank ones behind them; a paragraph too long for one document continues in pieces of whole lines."""
    start = 0
    parts = [""]
    length = 0
    ended = False
    for number, line in lines:
        blank = not line.strip()
        if parts and not blank and (ended or length + len(line) > PIECE_CHARACTERS):
            yield start, "".join(parts)
            parts, length, ended = [], 0, False

        # The line that is reported is the first with words on it.
        if not length and not blank:
            start = number
        parts.append(line)
        length += len(line)
        ended = blank and length > 0
    yield start, "".join(parts)


def _row(number: int, row: dict[str, Any]) -> RawRow:
    text = row["text"]
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError as error:
            byte = ord(text[error.start]) - 0xDC00
            line = number + text.count("\n", 0, error.start)
            return RawRow(number, None, "encoding", f"byte 0x{byte:02x} on line {line} is not UTF-8; save the file as UTF-8")
    return RawRow(number, row)
