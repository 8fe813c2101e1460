"""Parquet, Arrow and Feather: tables in columns, read some rows at a time."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from edgetune.data.readers import opened, recognise
from edgetune.data.readers.errors import FileError
from edgetune.data.row import RawRow
from edgetune.text import one_line

SUFFIXES = (".parquet", ".arrow", ".feather")
MAX_OBJECT_ROWS = 512
"""The most rows turned into objects at once."""
MAX_OBJECT_BYTES = 1 << 22
"""About the most bytes turned into objects at once."""


def read(path: Path) -> Iterator[RawRow]:
    """Every row, with its number. A column's null stays None and NaN stays NaN. Problems of a row: encoding, unreadable.

    Inside a column, null members of objects are left out: a column's objects all have the same members, so that storing rows gives each
    those of all others, as nulls.

    Raises FileError: wrong_content, damaged, duplicate_column.
    """
    head = opened.head_of(path)
    parquet = path.suffix.lower() == ".parquet"
    if parquet and not head.startswith(b"PAR1"):
        raise recognise.wrong_content(path, head, "a Parquet file")
    if not parquet and (recognise.identify_head(head)[0] or head.startswith(recognise.LFS_HEADER)) and not head.startswith(b"ARROW1"):
        raise recognise.wrong_content(path, head, "an Arrow file")

    with _as_file_error(path, "a Parquet file" if parquet else "an Arrow file"):
        number = 0
        for batch in _parquet(path) if parquet else _ipc(path, head):
            for content in _objects(batch):
                number += 1
                if isinstance(content, dict):
                    yield RawRow(number, content)
                else:
                    yield RawRow(number, None, *content)


@contextmanager
def _as_file_error(path: Path, what: str) -> Iterator[None]:
    import pyarrow

    try:
        yield
    except (pyarrow.ArrowException, OSError, OverflowError, ValueError) as error:
        if isinstance(error, PermissionError):
            raise
        cause = one_line(str(error), 300)
        raise FileError(path, "damaged", f"is not {what} that can be read", f"{cause}.", "Download or copy it again.") from error


def _parquet(path: Path) -> Iterator[Any]:
    import pyarrow.parquet

    with pyarrow.parquet.ParquetFile(path, memory_map=False, buffer_size=MAX_OBJECT_BYTES, pre_buffer=False) as file:
        _check_names(path, file.schema_arrow.names)
        total = sum(file.metadata.row_group(i).total_byte_size for i in range(file.num_row_groups))
        each = max(1, total // max(1, file.metadata.num_rows))
        yield from file.iter_batches(batch_size=max(1, min(MAX_OBJECT_ROWS, MAX_OBJECT_BYTES // each)), use_threads=False)


def _ipc(path: Path, head: bytes) -> Iterator[Any]:
    import pyarrow.ipc

    with pyarrow.OSFile(str(path)) as source:
        if head.startswith(b"ARROW1"):
            file = pyarrow.ipc.open_file(source)
            _check_names(path, file.schema.names)
            batches = (file.get_batch(i) for i in range(file.num_record_batches))
        else:
            stream = pyarrow.ipc.open_stream(source)
            _check_names(path, stream.schema.names)
            batches = iter(stream)

        # A batch may hold the whole file: it is handed on in slices of bounded size.
        for batch in batches:
            _check_layout(batch)
            rows = max(1, min(MAX_OBJECT_ROWS, MAX_OBJECT_BYTES * batch.num_rows // max(1, batch.nbytes)))
            for start in range(0, batch.num_rows, rows):
                yield batch.slice(start, rows)


def _check_layout(batch: Any) -> None:
    """Raise ArrowInvalid for offsets that lead outside of the file, which would crash; text that is not UTF-8 is left to its row."""
    import pyarrow

    as_bytes = {pyarrow.string(): pyarrow.binary(), pyarrow.large_string(): pyarrow.large_binary()}
    batch.validate()
    for column in batch.columns:
        column = column.view(as_bytes[column.type]) if column.type in as_bytes else column
        column.validate(full=True)


def _check_names(path: Path, names: list[str]) -> None:
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        cause = f"Two columns are called '{one_line(twice, 40)}'."
        raise FileError(path, "duplicate_column", "names a column twice", cause, "Rename one of them.")


def _objects(batch: Any) -> Iterator[dict[str, Any] | tuple[str, str]]:
    """A batch's rows; (kind, problem) for one whose values Python cannot hold."""
    try:
        rows: list[dict[str, Any]] = batch.to_pylist(maps_as_pydicts="strict")
    except (ValueError, OverflowError, ArithmeticError):
        for number in range(batch.num_rows):
            yield _object(batch.slice(number, 1))
    else:
        yield from map(_without_nulls, rows)


def _object(row: Any) -> dict[str, Any] | tuple[str, str]:
    try:
        content: dict[str, Any] = row.to_pylist(maps_as_pydicts="strict")[0]
    except UnicodeDecodeError as error:
        return "encoding", f"byte 0x{error.object[error.start]:02x} in its text is not UTF-8"
    except (ValueError, OverflowError, ArithmeticError) as error:
        return "unreadable", f"a value cannot be read: {one_line(str(error), 100)}"
    return _without_nulls(content)


def _without_nulls(row: dict[str, Any]) -> dict[str, Any]:
    return {name: _members(cell) if isinstance(cell, (dict, list)) else cell for name, cell in row.items()}


def _members(value: Any) -> Any:
    """A nested value without the null members of its objects."""
    if isinstance(value, dict):
        return {name: _members(member) for name, member in value.items() if member is not None}
    return [_members(element) for element in value] if isinstance(value, list) else value
