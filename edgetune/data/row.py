"""A row of a file of examples, before anything is known of its shape, and the one way to say that it cannot be used."""

from dataclasses import dataclass
from typing import Any


class RowError(ValueError):
    """A row that cannot be used. kind: one word for counting and filtering (`empty`, `not_json` …); the message is for people."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind

    def __reduce__(self) -> tuple[Any, ...]:
        return RowError, (self.kind, str(self))


MAX_DEPTH = 200
"""Lists and objects that may lie inside each other in a row: more than people write, fewer than Python can walk through."""


EMPTY_CELL_WORDS = ("nan", "NaN", "null", "None")
"""What programs write into a table of text for a cell without a value."""


def is_too_deep(value: Any) -> bool:
    """Whether more than MAX_DEPTH lists and objects lie inside each other."""
    level = [value] if isinstance(value, (dict, list)) else []
    for _ in range(MAX_DEPTH):
        level = [v for held in level for v in (held.values() if isinstance(held, dict) else held) if isinstance(v, (dict, list))]
        if not level:
            return False
    return True


@dataclass(frozen=True, slots=True)
class RawRow:
    """A row as a reader found it.

    line: its line in the file (text) or its number (Parquet, Arrow), from 1. content: an object, or the bytes of JSON text that is
    still to be parsed (a worker process does that), or None when the reader itself could not read it; then kind and problem say why.
    """

    line: int
    content: dict[str, Any] | bytes | None
    kind: str = ""
    problem: str = ""


@dataclass(frozen=True, slots=True)
class ParsedRow:
    """One example as the file has it. `problem` is set when it could not be read; then `value` is empty and `raw` holds its text."""

    file: str
    line: int
    value: dict[str, Any]
    problem: str = ""
    kind: str = ""
    raw: str = ""


@dataclass(frozen=True, slots=True)
class Problem:
    """Something to tell about a row. rejected: the row is left out for it; else it is a warning about a row that is kept."""

    file: str
    line: int
    kind: str
    message: str
    rejected: bool = False
