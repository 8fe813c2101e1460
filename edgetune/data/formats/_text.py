"""Text fields of a row: one look at each value, and the reason when it is no text that can be trained on."""

import json
from typing import Any

from edgetune.data.row import EMPTY_CELL_WORDS, MAX_DEPTH, RowError, is_too_deep

MEDIA_COLUMNS = frozenset(("image", "images", "audio", "audios", "video", "videos"))
"""Columns that hold what is not text."""


def _not_text(value: Any, name: str) -> RowError:
    if value is None:
        return RowError("missing", f"'{name}' should be text and is missing")
    if value != value:
        return RowError(
            "nan",
            f"'{name}' should be text and is an empty cell of a table (NaN, or in CSV one of the words {', '.join(EMPTY_CELL_WORDS)}); "
            "where the word itself is meant, save the rows as .jsonl",
        )
    hint = "; put it in quotes" if isinstance(value, (bool, int, float)) else ""
    return RowError("wrong_type", f"'{name}' should be text and is {type(value).__name__}{hint}")


def valid_text(value: str, name: str) -> str:
    """Text without NUL and without half surrogate pairs. Raises RowError: nul, surrogate."""
    if "\x00" in value:
        raise RowError("nul", f"'{name}' holds NUL characters")
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise RowError("surrogate", f"'{name}' holds half a surrogate pair, which is no text") from None
    return value


def text_field(row: dict[str, Any], key: str, required: bool = True) -> str:
    """A row's text field; null counts as missing, and what is not required may be missing, empty or NaN.

    Raises RowError: missing, wrong_type, nan, nul, surrogate, empty.
    """
    value = row.get(key)
    if not isinstance(value, str):
        if not required and (value is None or value != value):
            return ""
        raise _not_text(value, key)
    if required and (not value or value.isspace()):
        raise RowError("empty", f"'{key}' is empty")
    return valid_text(value, key)


def parse_json(value: str, name: str, kind: str) -> Any:
    """What JSON text says. Raises RowError of the kind."""
    try:
        result = json.loads(value)
    except (ValueError, RecursionError) as error:
        raise RowError(kind, f"'{name}' is not JSON: {error}") from None
    if is_too_deep(result):
        raise RowError(kind, f"in '{name}' more than {MAX_DEPTH} lists or objects lie inside each other")
    return result


def writable(value: Any, name: str, kind: str) -> Any:
    """A nested value whose text can be written anywhere. Raises RowError: nul, surrogate, and the kind for what JSON does not have."""
    try:
        written = json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise RowError(kind, f"'{name}' holds what JSON cannot hold: {error}") from None
    valid_text(written.replace("\\u0000", "\x00"), name)
    return value


def refuse_media(row: dict[str, Any]) -> None:
    """Refuse rows that come with pictures, sound or video. Raises RowError: not_text."""
    if not MEDIA_COLUMNS.isdisjoint(row):
        for key in sorted(MEDIA_COLUMNS.intersection(row)):
            if row[key]:
                raise RowError("not_text", f"the row comes with '{key}', and only text can be trained on")


def column_pair(row: dict[str, Any], pairs: tuple[tuple[str, str], ...]) -> tuple[str, str] | None:
    """The first two columns that the row has with a value in both, else in one of them (a table's other rows leave both empty)."""
    half = None
    for pair in pairs:
        if pair[0] in row and pair[1] in row:
            values = (row[pair[0]] is not None) + (row[pair[1]] is not None)
            if values == 2:
                return pair
            if values and half is None:
                half = pair
    return half


def first_filled(row: dict[str, Any], *keys: str) -> str | None:
    """The first of these columns in which the row has a value."""
    for key in keys:
        if row.get(key) is not None:
            return key
    return None
