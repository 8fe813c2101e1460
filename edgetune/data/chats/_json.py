"""JSON of exports, value by value, so that a file may be larger than memory."""

from collections.abc import Iterator
from typing import Any

import orjson

from edgetune.data.readers.json_scanner import Scanner


def parse(content: bytes) -> Any:
    """A JSON value; None where it is none."""
    try:
        return orjson.loads(content)
    except orjson.JSONDecodeError:
        return None


def next_value(scanner: Scanner) -> Any:
    """The value that comes next, parsed. Raises FileError: not_json, json_truncated, too_large."""
    scanner.peek()
    line = scanner.line
    return checked(scanner, scanner.value(), line)


def checked(scanner: Scanner, content: bytes, line: int) -> Any:
    """The bytes of a value that began on a line, parsed. Raises FileError: not_json."""
    try:
        return orjson.loads(content)
    except orjson.JSONDecodeError as error:
        raise scanner.error(f"{error}", line) from error


def values_in_a_row(scanner: Scanner) -> Iterator[Any]:
    """Every value from here to the file's end, parsed: JSON lines, or a single document. Raises FileError as `next_value` does."""
    while scanner.peek():
        yield next_value(scanner)
