"""CSV and TSV: a header, then a row for each record."""

import csv
import io
import math
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from edgetune.data.readers import opened
from edgetune.data.readers.errors import FileError
from edgetune.data.row import EMPTY_CELL_WORDS, RawRow
from edgetune.text import one_line

SUFFIXES = (".csv", ".tsv")
MAX_FIELD_CHARACTERS = 1 << 24
"""Characters of the longest field and line; the csv module holds a field with four bytes a character."""
_QUOTED = re.compile(r'"[^"]*"')
_ESCAPED = re.compile("[\udc80-\udcff]")


def read(path: Path) -> Iterator[RawRow]:
    """Every record, with the line on which it starts. Problems of one row: columns, encoding.

    Raises FileError: duplicate_column, empty_column, unclosed_quote, csv, too_large, and what opened.utf8 raises.
    """
    with opened.utf8(path) as file:
        text = io.TextIOWrapper(file, encoding="utf-8", errors="surrogateescape", newline="")
        try:
            yield from _records(text, path)
        finally:
            text.detach()


def _records(text: io.TextIOWrapper, path: Path) -> Iterator[RawRow]:
    csv.field_size_limit(MAX_FIELD_CHARACTERS)
    lines = _lines(text, path)
    first = next((line for line in lines if line[0].strip()), None)
    if first is None:
        return

    # csv counts lines from where it starts, so blank lines in front are added.
    delimiter = _delimiter(first[0], path)
    before = first[1] - 1
    reader = csv.reader(_chained(first[0], lines), delimiter=delimiter, strict=True)
    header: list[str] = []
    start = before + 1

    try:
        for fields in reader:
            if not header:
                header = _header(fields, path, start)
            elif fields:
                yield _row(header, fields, start)
            start = before + reader.line_num + 1
    except csv.Error as error:
        raise _wrong(path, error, start, before + reader.line_num) from error


def _lines(text: io.TextIOWrapper, path: Path) -> Iterator[tuple[str, int]]:
    number = 0
    while line := text.readline(MAX_FIELD_CHARACTERS):
        number += 1
        if len(line) >= MAX_FIELD_CHARACTERS and line[-1] not in "\r\n":
            raise _too_large(path, number, "this line")
        yield line, number


def _chained(first: str, lines: Iterator[tuple[str, int]]) -> Iterator[str]:
    yield first
    for line, _ in lines:
        yield line


def _delimiter(line: str, path: Path) -> str:
    """A tab in .tsv files; in .csv files a comma, or the semicolon or tab that the header has instead."""
    if ".tsv" in [suffix.lower() for suffix in path.suffixes[-2:]]:
        return "\t"
    bare = _QUOTED.sub("", line)
    return next((mark for mark in ",;\t" if mark in bare), ",")


def _header(fields: list[str], path: Path, line: int) -> list[str]:
    for number, name in enumerate(fields, 1):
        if not name.strip():
            raise FileError(
                path,
                "empty_column",
                "has a column without a name",
                f"column {number} of {len(fields)} in the header is empty.",
                "Give it a name or leave it out (with pandas: index=False).",
                line,
            )
        if _ESCAPED.search(name):
            raise FileError(
                path, "encoding", "is not UTF-8 text", "the header holds bytes that are not UTF-8.", "Save the file as UTF-8.", line
            )

    # Two columns of one name would silently lose one of them.
    twice = next((name for name, count in Counter(fields).items() if count > 1), None)
    if twice is not None:
        raise FileError(
            path,
            "duplicate_column",
            "names a column twice",
            f"two columns are called '{one_line(twice, 40)}'.",
            "Rename one of them.",
            line,
        )
    return fields


def _row(header: list[str], fields: list[str], line: int) -> RawRow:
    if len(fields) != len(header):
        listed = one_line(" | ".join(fields), 80)
        return RawRow(line, None, "columns", f"{len(fields)} columns, while the header has {len(header)}: {listed}")

    # One look at the whole row: only a row with odd characters is searched column by column.
    joined = "".join(fields)
    if not joined.isascii() and (bad := _ESCAPED.search(joined)):
        column = next(name for name, field in zip(header, fields, strict=True) if _ESCAPED.search(field))
        byte = ord(bad[0]) - 0xDC00
        return RawRow(line, None, "encoding", f"byte 0x{byte:02x} in column '{one_line(column, 40)}' is not UTF-8; save the file as UTF-8")

    # A word for a cell without a value becomes what such a cell is in every other table.
    cells: list[Any] = [math.nan if len(field) < 5 and field in EMPTY_CELL_WORDS else field for field in fields]
    return RawRow(line, dict(zip(header, cells, strict=True)))


def _wrong(path: Path, error: csv.Error, start: int, end: int) -> FileError:
    if "field larger" in str(error):
        return _too_large(path, start, "a field of the row that starts here")
    if "unexpected end" in str(error):
        line = _open_quote(path, start)
        return FileError(
            path, "unclosed_quote", "is not a table: a quote is not closed", "a quote opens here.", "Close it, or write it twice.", line
        )
    where = f" (up to line {end})" if end > start else ""
    cause = f"the row that starts here{where} is wrongly quoted: {error}."
    return FileError(
        path, "csv", "is not a CSV or TSV file", cause, "Put fields that hold quotes in quotes, and write theirs twice.", start
    )


def _too_large(path: Path, line: int, what: str) -> FileError:
    cause = f"{what} has more than {MAX_FIELD_CHARACTERS:,} characters; perhaps a quote is missing."
    return FileError(path, "too_large", "holds a field that is too large", cause, "Close the quote, or shorten the field.", line)


def _open_quote(path: Path, start: int) -> int:
    """The line of the quote that is never closed, at or after the start of its row: the last at which the count of quotes turns odd."""
    inside = False
    opened_at = start
    with opened.utf8(path) as file:
        text = io.TextIOWrapper(file, encoding="utf-8", errors="surrogateescape", newline="")
        for number, line in enumerate(text, 1):
            if number >= start and line.count('"') % 2:
                inside = not inside
                opened_at = number if inside else opened_at
        text.detach()
    return opened_at
