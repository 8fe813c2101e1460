"""Read files of examples into rows, each with the line it came from."""

import csv
import gzip
import io
import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgetune.errors import InputError

SUFFIXES = (".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".parquet", ".txt", ".md")
LINE_DOCUMENT = 300
"""Mean characters a line from which each line of a text file without blank lines is a document of its own."""


@dataclass(frozen=True)
class Row:
    """One example as it stands in a file. `problem` is set when it could not be read; then `value` is empty."""

    file: str
    line: int
    value: dict[str, Any]
    problem: str = ""


def _text(path: Path) -> str:
    raw = path.read_bytes()
    if path.suffix == ".gz":
        try:
            raw = gzip.decompress(raw)
        except (OSError, EOFError, zlib.error) as error:
            raise InputError(f"{path} cannot be unpacked", str(error), "Copy the file again.") from error
    encoding = "utf-16" if raw[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        return raw.decode(encoding)
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise InputError(f"{path} is not UTF-8 text", f"Line {line}: {error.reason}.", "Save the file as UTF-8.") from error


def _as_row(file: str, line: int, value: Any) -> Row:
    return Row(file, line, value) if isinstance(value, dict) else Row(file, line, {}, f"expected an object, found {type(value).__name__}")


def _jsonl(path: Path, text: str) -> Iterator[Row]:
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            yield _as_row(str(path), number, json.loads(line))
        except (ValueError, RecursionError) as error:
            yield Row(str(path), number, {}, f"not JSON: {error}")


def _json(path: Path, text: str) -> Iterator[Row]:
    """A JSON array of objects, element by element so that every row knows its line; or an object that holds one."""
    decoder = json.JSONDecoder()
    stripped = text.lstrip()
    if not stripped.startswith("["):
        try:
            document = json.loads(text)
        except (ValueError, RecursionError) as error:
            if "\n" in stripped and "Extra data" in str(error):  # JSON lines under the name .json
                yield from _jsonl(path, text)
                return
            raise InputError(f"{path} is not JSON", str(error), "Correct the file.") from error
        rows = next((v for v in document.values() if isinstance(v, list)), None) if isinstance(document, dict) else None
        for number, value in enumerate(rows if rows is not None else [document], 1):
            yield _as_row(str(path), number, value)
        return
    position, line, counted = text.index("[") + 1, 1, 0
    while True:
        while position < len(text) and text[position] in " \t\r\n,":
            position += 1
        if position < len(text) and text[position] == "]":
            return
        line += text.count("\n", counted, position)
        counted = position
        try:
            value, position = decoder.raw_decode(text, position)
        except (ValueError, RecursionError) as error:
            raise InputError(
                f"{path} is not JSON", f"From line {line} on: {error}.", "Correct the file; nothing of it was used."
            ) from error
        yield _as_row(str(path), line, value)


def _table(path: Path, text: str, delimiter: str) -> Iterator[Row]:
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        for value in reader:
            if None in value or None in value.values():
                yield Row(str(path), reader.line_num, {}, "its number of columns differs from the header's")
            else:
                yield Row(str(path), reader.line_num, dict(value))
    except csv.Error as error:
        raise InputError(
            f"{path} is not a {'CSV' if delimiter == ',' else 'TSV'} file", f"Line {reader.line_num}: {error}.", "Correct the file."
        ) from error


def _parquet(path: Path) -> Iterator[Row]:
    import pyarrow
    import pyarrow.parquet

    try:
        number = 0
        for batch in pyarrow.parquet.ParquetFile(path).iter_batches():
            for value in batch.to_pylist():
                number += 1
                yield Row(str(path), number, value)
    except (pyarrow.ArrowException, OSError) as error:
        raise InputError(f"{path} is not a Parquet file", str(error), "Copy the file again.") from error


def _documents(path: Path, text: str) -> Iterator[Row]:
    """A text file is one document; where it has no blank lines and its lines are long, each line is one."""
    lines = text.split("\n")
    filled = [(n, line) for n, line in enumerate(lines, 1) if line.strip()]
    blank_inside = any(not line.strip() for line in lines[: filled[-1][0]]) if filled else False
    if filled and not blank_inside and sum(len(line) for _, line in filled) / len(filled) >= LINE_DOCUMENT:
        for number, line in filled:
            yield Row(str(path), number, {"text": line})
    elif filled:
        yield Row(str(path), 1, {"text": text.strip()})


def rows(path: Path) -> Iterator[Row]:
    """The rows of a file of examples, or of all such files in a folder. Raises InputError when it cannot be read at all."""
    if path.is_dir():
        files = sorted(p for p in path.iterdir() if p.name.removesuffix(".gz").endswith(SUFFIXES) and not p.name.startswith("."))
        if not files:
            raise InputError(f"No examples in {path}", f"No file there ends in {', '.join(SUFFIXES)}.", "Name the file with --data.")
        for file in files:
            yield from rows(file)
        return
    if not path.is_file():
        raise InputError(f"There is no file {path}", "It does not exist.", "Check --data.")
    kind = Path(path.name.removesuffix(".gz")).suffix.lower()
    if kind not in SUFFIXES:
        raise InputError(
            f"{path.name} is of a kind EdgeTune does not read", f"Known are {', '.join(SUFFIXES)}.", "Convert the file to one of these."
        )
    if path.stat().st_size == 0:
        raise InputError(f"{path} is empty", "It has no bytes.", "Check --data.")
    try:
        if kind == ".parquet":
            yield from _parquet(path)
            return
        text = _text(path)
    except PermissionError as error:
        raise InputError(f"{path} may not be read", str(error.strerror), "Change its permissions.") from error
    if kind in (".jsonl", ".ndjson"):
        yield from _jsonl(path, text)
    elif kind == ".json":
        yield from _json(path, text)
    elif kind in (".csv", ".tsv"):
        yield from _table(path, text, "," if kind == ".csv" else "\t")
    else:
        yield from _documents(path, text)
