"""JSON: lines of objects, a list of them read one by one, an object that holds such a list, columns, one row; whatever the name says."""

from collections.abc import Iterator
from io import BufferedReader
from pathlib import Path
from typing import Any

import orjson

from edgetune.data.readers import json_lines, opened
from edgetune.data.readers.errors import FileError
from edgetune.data.readers.json_scanner import Scanner
from edgetune.data.readers.parse import decode_problem
from edgetune.data.row import RawRow, is_too_deep
from edgetune.text import one_line

SUFFIXES = (".json", ".jsonl", ".ndjson")
LINES_SUFFIXES = (".jsonl", ".ndjson")
MAX_FIRST_LINE_BYTES = 1 << 22
"""Bytes of the first line that are looked at to tell JSON lines."""
NOT_ROWS = ("tools", "functions")
"""Lists of objects that belong to one row."""


def read(path: Path) -> Iterator[RawRow]:
    """The rows, unparsed, each with the line on which it starts (with columns: its number).

    Raises FileError: json_truncated, not_json, too_large, several_lists, columns, and what opened.utf8 raises.
    """
    layout = _layout(path)
    if layout == "lines":
        yield from json_lines.read(path)
        return

    with opened.utf8(path) as file:
        scanner = Scanner(file, path)
        if layout == "list":
            yield from _elements(scanner)
        elif layout == "member":
            yield from _member(scanner, path)
        else:
            yield from _values(scanner, path)
            return

        # A list or object is the whole document; more text is a damaged or joined file.
        if scanner.peek():
            raise scanner.error("more text follows after the end")


def _layout(path: Path) -> str:
    """What the file's start shows: "list", "lines", "member" (an object that holds the list) or "values" (objects, or columns)."""
    if _named_lines(path):
        return _layout_of_lines(path)

    # JSON lines under this name: a first line that is JSON by itself, and more behind it.
    with opened.utf8(path) as file:
        line = _first_line(file)
        if line.startswith(b"{") and line.endswith(b"\n") and _is_json(line) and file.read(opened.READ_CHUNK_BYTES).strip():
            return "lines"

    with opened.utf8(path) as file:
        scanner = Scanner(file, path)
        first = scanner.peek()
        if first == b"[":
            return "list"
        if first != b"{":
            if not first:
                return "values"
            raise scanner.error("expected a list or an object")

        # An object: it holds the rows as a list, or is a row or columns itself.
        for key in scanner.members():
            kind = scanner.peek()
            if kind == b"[" and key not in NOT_ROWS and _holds_rows(scanner):
                return "member"
            if kind != b"[" or key in NOT_ROWS:
                scanner.value()
    return "values"


def layout_note(path: Path) -> str:
    """What to say of a file named as JSON lines that is something else, and read as what it is; "" for all others."""
    layout = _layout(path) if _named_lines(path) else "lines"
    notes = {"list": "the file is one JSON list, not JSON lines", "values": "its objects go over several lines each"}
    return f"{notes[layout]}: it was read as such" if layout in notes else ""


def _named_lines(path: Path) -> bool:
    return path.name.lower().removesuffix(".gz").endswith(LINES_SUFFIXES)


def _layout_of_lines(path: Path) -> str:
    """What a file named as JSON lines holds: "lines", "list" or "values" (objects over several lines).

    Another layout must be plain from its start, so that a first line which is broken costs no more than that line.
    """
    with opened.utf8(path) as file:
        line = _first_line(file)
        whole = _is_json(line)
        if whole and (line.startswith(b"{") or file.read(opened.READ_CHUNK_BYTES).strip()):
            return "lines"

    # A list's first object, or an object that goes on in the next lines.
    try:
        with opened.utf8(path) as file:
            scanner = Scanner(file, path)
            layout = "list" if scanner.take(b"[", b"{") == b"[" else "values"
            if layout == "list" and scanner.peek() == b"{":
                orjson.loads(scanner.value())
                return layout
        with opened.utf8(path) as file:
            first = Scanner(file, path).value()
            if layout == "values" and b"\n" in first.strip():
                orjson.loads(first)
                return layout
    except (FileError, orjson.JSONDecodeError):
        pass
    return "lines"


def _first_line(file: BufferedReader) -> bytes:
    """The first line with something on it, without spaces in front; b"" where there is none."""
    line = file.readline(MAX_FIRST_LINE_BYTES)
    while line.isspace():
        line = file.readline(MAX_FIRST_LINE_BYTES)
    return line.lstrip()


def _is_json(line: bytes) -> bool:
    try:
        orjson.loads(line)
    except orjson.JSONDecodeError as error:
        return decode_problem(line, error)[0] != "not_json"  # a separate row that cannot be used
    return True


def _holds_rows(scanner: Scanner) -> bool:
    """Whether the list that starts here holds objects that are rows and not turns of one row. Takes the whole list if not."""
    scanner.take(b"[")
    rows = False
    first = True

    # Only the first element decides; the rest is skipped, up to the end of the list.
    while scanner.peek() != b"]":
        if first and scanner.peek() == b"{":
            value = scanner.value()
            try:
                turn = orjson.loads(value)
            except orjson.JSONDecodeError:
                return True
            rows = not ({"role", "from"} & turn.keys())
            if rows:
                return True
        else:
            scanner.value()
        first = False
        if scanner.peek() != b"]":
            scanner.take(b",")

    scanner.take(b"]")
    return rows


def _elements(scanner: Scanner) -> Iterator[RawRow]:
    """The elements of the list that starts here. One that is not JSON ends the reading; one that is but cannot be used is a row."""
    for _ in scanner.elements():
        yield _checked(scanner)


def _checked(scanner: Scanner) -> RawRow:
    scanner.peek()
    line = scanner.line
    value = scanner.value()
    try:
        orjson.loads(value)
    except orjson.JSONDecodeError as error:
        kind, problem = decode_problem(value, error)
        if kind == "not_json":
            raise scanner.error(problem.removeprefix("not JSON: "), line + error.lineno - 1) from error
    return RawRow(line, value)


def _member(scanner: Scanner, path: Path) -> Iterator[RawRow]:
    """The rows in the one list of objects that the object holds."""
    member = ""
    for key in scanner.members():
        kind = scanner.peek()
        line = scanner.line
        if kind != b"[" or key in NOT_ROWS:
            scanner.value()
            continue

        # A list whose first element is no object holds no rows, and is read to its end.
        rows = _elements(scanner)
        first = next(rows, None)
        if first is None or not isinstance(first.content, bytes) or not first.content.startswith(b"{"):
            for _ in rows:
                pass
            continue

        # Two lists of rows: no telling which one is meant.
        if member:
            names = f"'{one_line(member, 40)}' and '{one_line(key, 40)}'"
            raise FileError(
                path, "several_lists", "holds several lists", f"{names} are both lists of objects.", "Save each in a separate file.", line
            )
        member = key
        yield first
        yield from rows


def _values(scanner: Scanner, path: Path) -> Iterator[RawRow]:
    """Objects one after the other; one alone may hold columns."""
    number = 0
    while scanner.peek():
        row = _checked(scanner)
        number = number + 1
        content = row.content
        if number == 1 and isinstance(content, bytes) and not scanner.peek() and (columns := _columns(content)):
            yield from _from_columns(columns, path)
        else:
            yield row


def _columns(content: bytes) -> dict[str, list[Any]]:
    """The columns of an object of lists, or of pandas' objects of numbered values; {} when it has another form."""
    try:
        value = orjson.loads(content)
    except orjson.JSONDecodeError:
        return {}
    if not isinstance(value, dict) or not value:
        return {}
    if is_too_deep(value):
        return {}

    # pandas writes columns as objects of numbered values, other programs as lists.
    if all(isinstance(v, dict) and v and all(k.isdigit() for k in v) for v in value.values()):
        return {name: list(column.values()) for name, column in value.items()}
    if all(isinstance(v, list) for v in value.values()) and not any(_is_turn(v) for v in value.values()):
        return value
    return {}


def _is_turn(column: list[Any]) -> bool:
    return bool(column) and isinstance(column[0], dict) and bool({"role", "from"} & column[0].keys())


def _from_columns(columns: dict[str, list[Any]], path: Path) -> Iterator[RawRow]:
    lengths = {name: len(column) for name, column in columns.items()}
    if len(set(lengths.values())) > 1:
        counts = one_line(", ".join(f"{name}: {length}" for name, length in lengths.items()), 200)
        raise FileError(
            path, "columns", "has columns of different lengths", f"Their values number {counts}.", "Save the rows as JSON lines (.jsonl)."
        )
    for number in range(max(lengths.values())):
        yield RawRow(number + 1, {name: column[number] for name, column in columns.items()})
