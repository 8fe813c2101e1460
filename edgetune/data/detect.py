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

    def __init__(self, size: int = SAMPLE_ROWS) -> None:
        self.size = size
        self.seen = 0
        self._every = 1
        self.held: list[Item] = []

    def add(self, item: Item) -> None:
        """Look at the stream's next item."""
        if self.seen % self._every == 0:
            if len(self.held) == 2 * self.size:
                del self.held[1::2]
                self._every *= 2
            if self.seen % self._every == 0:
                self.held.append(item)
        self.seen += 1

    @property
    def items(self) -> list[Item]:
        """The items held, at most `size`, in the stream's order."""
        count = len(self.held)
        return self.held[:] if count <= self.size else [self.held[i * count // self.size] for i in range(self.size)]


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
        self.kind = kind
        self.file = row.file
        self.line = row.line


def _position(row: ParsedRow) -> str:
    return f"line {row.line} of {one_line(row.file)}"


def detect_format(sample: list[ParsedRow], requested: str = "auto") -> DetectedFormat:
    """The format of rows: the first in `formats.format_order()` whose shape nearly all readable ones have, or the one asked for.

    Raises InputError for a format that there is not; ShapeError: no_row_readable, unknown_shape, mixed_formats, wrong_format.
    """
    rows = [row for row in sample if not row.problem]
    if requested not in ("auto", *formats.format_order()):
        near = get_close_matches(requested, formats.format_order(), 1)
        raise InputError(
            f"There is no format {requested!r}",
            f"Did you mean {near[0]}?" if near else "",
            f"Formats are auto, {', '.join(formats.format_order())}.",
        )

    # Without one readable row nothing can be told, so the first one's problem is the best remedy.
    if not rows:
        if not sample:
            raise InputError("No row can be read", "There are no rows.", "Check that the file was saved whole.")
        first = f"The first: {_position(sample[0])}, {sample[0].problem}."
        raise ShapeError("no_row_readable", sample[0], "No row can be read", first, "Correct that row, or name another file.")

    # A named format needs only to fit; a detected one must be the shape of nearly all rows.
    if requested != "auto":
        return _requested_format(rows, requested)
    match = matching_format(rows)
    if match is None:
        raise _unknown(rows)
    return match


def matching_format(rows: list[ParsedRow]) -> DetectedFormat | None:
    """The format of readable rows, or None."""
    for name in formats.format_order():
        has_shape = formats.module(name).detect
        matching = sum(has_shape(row.value) for row in rows)
        if matching >= NEARLY_ALL * len(rows):
            return DetectedFormat(name, _reason(name, matching, len(rows)), matching, len(rows))
    return None


def converts(name: str, value: dict[str, Any]) -> bool:
    """Whether a row means something in a format."""
    try:
        return bool(formats.module(name).convert(value))
    except RowError:
        return False


def _reason(name: str, matching: int, sampled: int) -> str:
    form = formats.module(name)
    return f"{form.TITLE}: {matching:,} of {sampled:,} sampled rows have {form.SHAPE}"


def _requested_format(rows: list[ParsedRow], requested: str) -> DetectedFormat:
    """The format asked for, if it fits any row: one that only another format claims may still be convertible."""
    form = formats.module(requested)
    matching = sum(bool(form.detect(row.value)) or converts(requested, row.value) for row in rows)
    if matching:
        return DetectedFormat(requested, f"asked for; {matching:,} of {len(rows):,} sampled rows fit {form.TITLE}", matching, len(rows))

    # Nothing fits: the format that would is the quickest way out.
    match = matching_format(rows)
    raise ShapeError(
        "wrong_format",
        rows[0],
        f"No row fits the format {requested}",
        f"None of the {len(rows):,} sampled rows, the first at {_position(rows[0])}, has {form.SHAPE}. "
        + (f"Found instead: {match.reason}." if match else columns.describe_columns([row.value for row in rows])),
        f"Leave --format out, or use --format {match.format}." if match else _remedy(rows),
    )


def _unknown(rows: list[ParsedRow]) -> ShapeError:
    """Why no format was chosen: mixed shapes, too many broken rows, or columns that nobody knows."""
    firsts: dict[str, ParsedRow] = {}
    counts: Counter[str] = Counter()
    for row in rows:
        name = next((name for name in formats.format_order() if formats.module(name).detect(row.value)), "")
        counts[name] += 1
        firsts.setdefault(name, row)

    # No row of a known shape: the columns may be renamed into one.
    known = [(name, count) for name, count in counts.most_common() if name]
    if not known:
        cause = f"The first row is at {_position(rows[0])}. {columns.describe_columns([row.value for row in rows])}"
        return ShapeError("unknown_shape", rows[0], "The shape of the examples is not known", cause, _remedy(rows))

    def group(name: str, count: int) -> str:
        row = firsts[name]
        what = f"the shape of {formats.module(name).TITLE}" if name else "no known shape"
        return f"{count:,} of {len(rows):,} sampled rows have {what}, the first at {_position(row)}"

    groups = known + ([("", counts[""])] if counts[""] else [])
    cause = "; ".join(group(*item) for item in groups) + "."

    # Several shapes: one of them must be chosen. One shape: the other rows are the fault.
    if len(known) > 1:
        return ShapeError(
            "mixed_formats",
            firsts[known[1][0]],
            "The file mixes several formats",
            cause,
            f"Put each format into a separate file, or choose one with --format {known[0][0]}; other rows are then left out and listed.",
        )
    return ShapeError(
        "unknown_shape",
        firsts[""],
        "Too many rows have no known shape",
        cause + " " + columns.describe_columns([firsts[""].value]),
        f"Correct those rows, or use --format {known[0][0]}, which leaves them out and lists them.",
    )


def _remedy(rows: list[ParsedRow]) -> str:
    """What to do about unknown columns: a mapping that was tried on the rows, or how to write one."""
    for mapping in columns.propose_mappings([row.value for row in rows]):
        mapped = [replace(row, value=apply_map(row.value, mapping)) for row in rows]
        match = matching_format(mapped)
        kept = sum(converts(match.format, row.value) for row in mapped) if match else 0
        if match and kept >= NEARLY_ALL * match.sampled:
            written = one_line(",".join(f"{target}={source}" for target, source in mapping.items()), 200)
            quoted = f'"{written}"' if re.search(r"[^\w.,=-]", written) else written
            return f"Try --column-map {quoted}: {formats.module(match.format).TITLE} then fits {kept:,} of {match.sampled:,} rows."
    return (
        "Name the columns, as in --column-map instruction=COLUMN,output=COLUMN, or name a format with --format "
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
                f"--column-map cannot read {piece.strip()!r}",
                "It should name a column EdgeTune knows, an equals sign, and your column.",
                "Write it as in --column-map instruction=question,output=answer.",
            )

        # Two names for one column would make the result depend on their order.
        if target in mapping or source in mapping.values():
            twice = target if target in mapping else source
            raise InputError(f"--column-map names {twice!r} twice", "Each column can stand for one other.", "Remove one of them.")
        mapping[target] = source
    return mapping


def check_map(rows: list[ParsedRow], mapping: dict[str, str]) -> None:
    """Raise ShapeError (no_column) when a source column is in none of the sampled rows (as they stood before the mapping)."""
    readable = [row for row in rows if not row.problem]
    values = [row.value for row in readable]
    lacking = [source for source in mapping.values() if values and not any(_cell(value, source)[0] for value in values)]

    # A near name is most often the one that was meant.
    if lacking:
        names = list(dict.fromkeys(name for value in values for name in columns.flat_columns(value)))
        near = [match for source in lacking for match in get_close_matches(source, names, 1, 0.5)]
        raise ShapeError(
            "no_column",
            readable[0],
            f"No row has {' or '.join(map(repr, lacking))}, which --column-map names",
            f"The first row is at {_position(readable[0])}. {columns.describe_columns(values)}",
            f"Did you mean {' and '.join(near)}?" if near else "Name columns that the rows have.",
        )


def apply_map(value: dict[str, Any], mapping: dict[str, str]) -> dict[str, Any]:
    """A row with its columns renamed. A source may be a path into objects and lists (`data.text`, `answers.0`), which stay as they are.

    What a row lacks is left out, for the format to say so.
    """
    mapped = set(mapping.values())
    result = {key: cell for key, cell in value.items() if key not in mapped and key not in mapping}

    for target, source in mapping.items():
        present, cell = _cell(value, source)
        if present:
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
