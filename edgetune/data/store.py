"""Prepared rows on disk, as Arrow streams that are mapped into memory, not loaded: a run holds as many rows as its disk does."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, overload

from edgetune.data.packed import Packed, example_schema, list_array, token_schema
from edgetune.storage.files import create_file

TRAIN_FILE, HELD_OUT_FILE = "train.arrow", "held_out.arrow"
ROWS_FILE, EXAMPLES_FILE = "rows.arrow", "examples.arrow"

LabelledIds = tuple[list[int], list[int]]


def run_schema(kind: str = "conversation") -> Any:
    """Arrow's schema of a run's rows, by the kind of its examples.

    Ids with their labels; of a pair those of the chosen and of the rejected answer, each behind the prompt; of a judged answer whether it
    is a good one.
    """
    import pyarrow as pa

    ids = pa.list_(pa.int32())
    if kind == "preference":
        return pa.schema([("chosen_ids", ids), ("chosen_labels", ids), ("rejected_ids", ids), ("rejected_labels", ids)])
    return pa.schema([("input_ids", ids), ("labels", ids), *([("label", pa.bool_())] if kind == "unpaired" else [])])


def rows_each(kind: str) -> int:
    """How many prepared rows make one row of a run: the two of a pair follow each other."""
    return 2 if kind == "preference" else 1


def run_batch(kind: str, rows: Any, labels: list[bool]) -> Any:
    """A batch of a run's rows from a batch of prepared ones. labels: of judged answers, whether each is good."""
    import pyarrow as pa

    ids, marks = rows.column(0), rows.column(1)
    columns = [ids, marks]
    if kind == "preference":
        columns = [part.take(pa.array(range(side, len(rows), 2), pa.int32())) for side in (0, 1) for part in (ids, marks)]
    elif kind == "unpaired":
        columns.append(pa.array(labels, pa.bool_()))
    return pa.record_batch(columns, schema=run_schema(kind))


@contextmanager
def stream_writer(path: Path, schema: Any) -> Iterator[Any]:
    """An Arrow stream to write record batches into."""
    import pyarrow as pa

    with create_file(path) as file, pa.ipc.new_stream(file, schema) as writer:
        yield writer


def read_batches(path: Path) -> Iterator[Any]:
    """The record batches of an Arrow stream, mapped one after the other."""
    import pyarrow as pa

    with pa.memory_map(str(path)) as file, pa.ipc.open_stream(file) as reader:
        yield from reader


class BatchWriter:
    """Writes batches into a cache folder as they come: rows of tokens with their unit's number, and the examples."""

    def __init__(self, folder: Path) -> None:
        self.stack = ExitStack()
        self.rows = self.stack.enter_context(stream_writer(folder / ROWS_FILE, token_schema()))
        self.examples = self.stack.enter_context(stream_writer(folder / EXAMPLES_FILE, example_schema()))
        self.units = 0

    def add(self, batch: Packed) -> None:
        """Write a batch."""
        import pyarrow as pa
        import pyarrow.compute as compute

        if batch.rows is None or batch.examples is None:
            return
        numbers = compute.add(batch.rows.column("unit"), pa.scalar(self.units, pa.int32()))
        self.rows.write_batch(batch.rows.set_column(2, "unit", numbers))
        self.examples.write_batch(batch.examples)
        self.units += len(batch.examples)

    def close(self) -> None:
        """Finish the files."""
        self.stack.close()


class TokenRows(Sequence[LabelledIds]):
    """A run's rows as (ids, labels), of pairs the chosen side, read from disk when asked for."""

    def __init__(self, path: Path) -> None:
        import pyarrow as pa

        self.path = path
        with pa.ipc.open_stream(pa.memory_map(str(path))) as reader:
            self.table = reader.read_all()

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def whole(self, count: int) -> list[dict[str, Any]]:
        """The first `count` rows with all their columns."""
        values: list[dict[str, Any]] = self.table.slice(0, count).to_pylist()
        return values

    @overload
    def __getitem__(self, index: int) -> LabelledIds: ...
    @overload
    def __getitem__(self, index: slice) -> list[LabelledIds]: ...
    def __getitem__(self, index: int | slice) -> LabelledIds | list[LabelledIds]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        index %= len(self)
        return self.table.column(0)[index].as_py(), self.table.column(1)[index].as_py()


def write_rows(path: Path, rows: list[LabelledIds]) -> None:
    """Write rows that are in memory as a run's file."""
    import pyarrow as pa

    with stream_writer(path, run_schema()) as writer:
        if rows:
            arrays = [list_array([ids for ids, _ in rows]), list_array([labels for _, labels in rows])]
            writer.write_batch(pa.record_batch(arrays, schema=run_schema()))
