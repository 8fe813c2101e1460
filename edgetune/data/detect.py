"""Which format a file's rows have, told from rows spread over all of it, and what to say when none fits."""

import re
from collections import Counter
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Any, Generic, TypeVar

from edgetune.data import formats
from edgetune.data.formats import _columns as columns
from edgetune.data.row import ParsedRow, RowError
from edgetune.errors import InputError
from edgetune.text import one_line

Item = TypeVar("Item")

SAMPLE_ROWS = 1000
"""Rows looked at to tell the format."""
NEARLY_ALL = 0.8
"""Share of the readable sampled rows that must have a format's shape; the others are refused one by one, with their reasons."""


class EvenSample(Generic[Item]):
    """About SAMPLE_ROWS items spread evenly over a stream of unknown length; the same stream always gives the same ones.

    Every k-th item is kept, beginning with the first; when twice as many as wanted are held, every second goes and k doubles.
    """

    def __init__(self, wanted: int = SAMPLE_ROWS) -> None:
        self.wanted, self.seen, self._every = wanted, 0, 1
        self._held: list[Item] = []

    def add(self, item: Item) -> None:
        """Look at the stream's next item."""
        if self.seen % self._every == 0:
            if len(self._held) == 2 * self.wanted:
                del self._held[1::2]
                self._every *= 2
            if self.seen % self._every == 0:
                self._held.append(item)
        self.seen += 1

    @property
    def items(self) -> list[Item]:
        """The items held, at most `wanted`, in the stream's order."""
        count = len(self._held)
        return self._held[:] if count <= self.wanted else [self._held[i * count // self.wanted] for i in range(self.wanted)]


@dataclass(frozen=True)
class DetectedFormat:
    """A format and why it was chosen. matching of the sampled readable rows have its shape."""

    format: str
    reason: str
    matching: int
    sampled: int


class ShapeError(InputError):
    """Rows that have no shape EdgeTune can use. kind: one word; file and line: where the first of them stands."""

    def __init__(self, kind: str, row: ParsedRow, title: str, cause: str, remedy: str) -> None:
        super().__init__(title, cause, remedy)
        self.kind, self.file, self.line = kind, row.file, row.line


def _place(row: ParsedRow) -> str:
    return f"line {row.line} of {one_line(row.file)}"


def detect_format(sample: list[ParsedRow], asked: str = "auto") -> DetectedFormat:
    """The format of rows: the first in `formats.format_order()` whose shape nearly all readable ones have, or the one asked for.

    Raises InputError for a format that there is not; ShapeError: no_row_readable, unknown_shape, mixed_formats, wrong_format.
    """
    rows = [row for row in sample if not row.problem]
    if asked not in ("auto", *formats.format_order()):
        near = get_close_matches(asked, formats.format_order(), 1)
        raise InputError(
            f"There is no format {asked!r}",
            f"Did you mean {near[0]}?" if near else "",
            f"Formats are auto, {', '.join(formats.format_order())}.",
        )
    if not rows:
        if not sample:
            raise InputError("No row can be read", "There are no rows.", "Correct the file.")
        first = f"The first: {_place(sample[0])}, {sample[0].problem}."
        raise ShapeError("no_row_readable", sample[0], "No row can be read", first, "Correct the file.")
    if asked != "auto":
        return _asked(rows, asked)
    found = matching_format(rows)
    if found is None:
        raise _unknown(rows)
    return found


def matching_format(rows: list[ParsedRow]) -> DetectedFormat | None:
    """The format of readable rows, or None."""
    for name in formats.format_order():
        has_shape = formats.module(name).detect
        matching = sum(has_shape(row.value) for row in rows)
        if matching >= NEARLY_ALL * len(rows):
            return DetectedFormat(name, _said(name, matching, len(rows)), matching, len(rows))
    return None


def _said(name: str, matching: int, sampled: int) -> str:
    form = formats.module(name)
    return f"{form.TITLE}: {matching:,} of {sampled:,} sampled rows have {form.SHAPE}"


def _asked(rows: list[ParsedRow], asked: str) -> DetectedFormat:
    """The format asked for, if it fits any row: one that only another format claims may still be convertible."""
    form = formats.module(asked)

    def fits(row: ParsedRow) -> bool:
        try:
            return bool(form.detect(row.value) or form.convert(row.value))
        except RowError:
            return False

    matching = sum(map(fits, rows))
    if matching:
        return DetectedFormat(asked, f"asked for; {matching:,} of {len(rows):,} sampled rows fit {form.TITLE}", matching, len(rows))
    found = matching_format(rows)
    raise ShapeError(
        "wrong_format",
        rows[0],
        f"No row fits the format {asked}",
        f"None of the {len(rows):,} sampled rows, the first at {_place(rows[0])}, has {form.SHAPE}. "
        + (f"Found instead: {found.reason}." if found else columns.describe_columns([row.value for row in rows])),
        f"Leave --format out, or say --format {found.format}." if found else _remedy(rows),
    )


def _unknown(rows: list[ParsedRow]) -> ShapeError:
    """Why no format was chosen: mixed shapes, too many broken rows, or columns that nobody knows."""
    firsts: dict[str, ParsedRow] = {}
    counts: Counter[str] = Counter()
    for row in rows:
        name = next((name for name in formats.format_order() if formats.module(name).detect(row.value)), "")
        counts[name] += 1
        firsts.setdefault(name, row)
    known = [(name, count) for name, count in counts.most_common() if name]
    if not known:
        cause = f"The first row is at {_place(rows[0])}. {columns.describe_columns([row.value for row in rows])}"
        return ShapeError("unknown_shape", rows[0], "The shape of the examples is not known", cause, _remedy(rows))

    def group(name: str, count: int) -> str:
        row = firsts[name]
        what = f"the shape of {formats.module(name).TITLE}" if name else "no known shape"
        return f"{count:,} of {len(rows):,} sampled rows have {what}, the first at {_place(row)}"

    groups = known + ([("", counts[""])] if counts[""] else [])
    cause = "; ".join(group(*item) for item in groups) + "."
    if len(known) > 1:
        return ShapeError(
            "mixed_formats",
            firsts[known[1][0]],
            "The file mixes several formats",
            cause,
            f"Put each into a file of its own, or name one, as in --format {known[0][0]}; rows of the others are then left out and listed.",
        )
    return ShapeError(
        "unknown_shape",
        firsts[""],
        "Too many rows have no known shape",
        cause + " " + columns.describe_columns([firsts[""].value]),
        f"Correct them, or say --format {known[0][0]}; they are then left out and listed.",
    )


def _remedy(rows: list[ParsedRow]) -> str:
    """What to do about unknown columns: a mapping that was tried on the rows, or how to write one."""
    for mapping in columns.propose_mappings([row.value for row in rows]):
        found = matching_format([replace(row, value=apply_map(row.value, mapping)) for row in rows])
        if found:
            written = one_line(",".join(f"{target}={source}" for target, source in mapping.items()), 200)
            word = f'"{written}"' if re.search(r"[^\w.,=-]", written) else written
            return f"Try --column-map {word}: {formats.module(found.format).TITLE} then fits {found.matching:,} of {found.sampled:,} rows."
    return (
        "Say which column is which, as in --column-map instruction=COLUMN,output=COLUMN, or name a format with --format "
        f"({', '.join(formats.format_order())})."
    )


def parse_map(text: list[str]) -> dict[str, str]:
    """What `--column-map` says, as {known column: the rows' column}; each text is one or several TARGET=SOURCE joined by commas.

    Raises InputError for what is not of that form, and for a column named twice on the same side.
    """
    mapping: dict[str, str] = {}
    for piece in (piece for item in text for piece in item.split(",")):
        target, equals, source = (part.strip() for part in piece.partition("="))
        if not (target and equals and source):
            raise InputError(
                f"--column-map does not understand {piece.strip()!r}",
                "It should name a column EdgeTune knows, an equals sign, and your column.",
                "Write it as in --column-map instruction=question,output=answer.",
            )
        if target in mapping or source in mapping.values():
            twice = target if target in mapping else source
            raise InputError(f"--column-map names {twice!r} twice", "Each column can stand for one other.", "Leave one of them out.")
        mapping[target] = source
    return mapping


def check_map(rows: list[ParsedRow], mapping: dict[str, str]) -> None:
    """Raise ShapeError (no_column) when a source column is in none of the sampled rows (as they stood before the mapping)."""
    readable = [row for row in rows if not row.problem]
    values = [row.value for row in readable]
    lacking = [source for source in mapping.values() if values and not any(_cell(value, source)[0] for value in values)]
    if lacking:
        names = list(dict.fromkeys(name for value in values for name in columns.flat_columns(value)))
        near = [match for source in lacking for match in get_close_matches(source, names, 1, 0.5)]
        raise ShapeError(
            "no_column",
            readable[0],
            f"No row has {' or '.join(map(repr, lacking))}, which --column-map names",
            f"The first row is at {_place(readable[0])}. {columns.describe_columns(values)}",
            f"Did you mean {' and '.join(near)}?" if near else "Name columns that are there.",
        )


def apply_map(value: dict[str, Any], mapping: dict[str, str]) -> dict[str, Any]:
    """A row with its columns renamed. A source may be a path into objects and lists (`data.text`, `answers.0`), which stay as they are.

    What a row lacks is left out, for the format to say so.
    """
    taken = set(mapping.values())
    result = {key: cell for key, cell in value.items() if key not in taken and key not in mapping}
    for target, source in mapping.items():
        there, cell = _cell(value, source)
        if there:
            result[target] = cell
    return result


def _cell(value: dict[str, Any], path: str) -> tuple[bool, Any]:
    """Whether a row has a column, and what is in it."""
    if path in value:
        return True, value[path]
    cell: Any = value
    for step in path.split("."):
        if isinstance(cell, dict) and step in cell:
            cell = cell[step]
        elif isinstance(cell, list) and step.isdecimal() and int(step) < len(cell):
            cell = cell[int(step)]
        else:
            return False, None
    return True, cell
