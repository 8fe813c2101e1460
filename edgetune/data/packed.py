"""A batch as flat arrays: what one process hands to another, and what is stored."""

import json
from collections import Counter
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any

from edgetune.data.examine import Batch, Rejected, Unit, as_row
from edgetune.data.row import Problem

if TYPE_CHECKING:
    import numpy as np
    import pyarrow

SAMPLES_PER_BATCH = 2
"""Units of every batch that are handed over whole, to be shown."""


@dataclass(slots=True)
class Packed:
    """A batch's units as arrays of one entry a unit, and their rows of tokens.

    lines, trained, rows_each: int32 [units]; digests: uint64 [units]; shortened: bool [units]; signatures: [units, k].
    lengths: tokens before any cut, of every row that could be rendered.
    rows: input_ids and labels, one entry a row of tokens, with its unit's number within the batch; examples: JSON, one entry a unit.
    """

    source: int
    file: str
    read: int
    rejected: list[Rejected]
    problems: list[Problem]
    counts: Counter[str]
    samples: list[Unit]
    lengths: list[int]
    lines: "np.ndarray"
    trained: "np.ndarray"
    digests: "np.ndarray"
    shortened: "np.ndarray"
    signatures: "np.ndarray | None"
    rows: "pyarrow.RecordBatch | None" = None
    examples: "pyarrow.RecordBatch | None" = None


def token_schema() -> Any:
    """Arrow's schema of rows of tokens."""
    import pyarrow as pa

    return pa.schema([("input_ids", pa.list_(pa.int32())), ("labels", pa.list_(pa.int32())), ("unit", pa.int32())])


def example_schema() -> Any:
    """Arrow's schema of kept examples: the file's number, the line, the text's digest, the example as JSON, how many rows it became."""
    import pyarrow as pa

    return pa.schema(
        [("source", pa.int16()), ("line", pa.int32()), ("digest", pa.uint64()), ("rows", pa.int32()), ("example", pa.large_string())]
    )


def list_array(values: list[list[int]]) -> Any:
    """An Arrow array of integer lists."""
    import numpy as np
    import pyarrow as pa

    offsets = np.zeros(len(values) + 1, dtype=np.int32)
    np.cumsum([len(v) for v in values], out=offsets[1:])
    flat = np.fromiter(chain.from_iterable(values), dtype=np.int32, count=int(offsets[-1]))
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(flat))


def pack(batch: Batch, keep: bool) -> Packed:
    """A batch as arrays; with `keep` its rows of tokens and its examples too."""
    import numpy as np

    units = batch.units
    packed = Packed(
        batch.source,
        batch.file,
        batch.read,
        batch.rejected,
        batch.problems,
        batch.counts,
        units[:SAMPLES_PER_BATCH],
        batch.lengths,
        np.array([u.line for u in units], dtype=np.int32),
        np.array([u.trained for u in units], dtype=np.int32),
        np.array([u.digest for u in units], dtype=np.uint64),
        np.array([u.shortened for u in units], dtype=bool),
        batch.signatures,
    )

    # Only what is stored needs the rows and examples themselves.
    if keep:
        import pyarrow as pa

        rows = [(row, number) for number, unit in enumerate(units) for row in unit.rows]
        packed.rows = pa.record_batch(
            [list_array([r.ids for r, _ in rows]), list_array([r.labels for r, _ in rows]), pa.array([n for _, n in rows], pa.int32())],
            schema=token_schema(),
        )
        packed.examples = pa.record_batch(
            [
                pa.array([batch.source] * len(units), pa.int16()),
                pa.array(packed.lines),
                pa.array(packed.digests),
                pa.array([len(u.rows) for u in units], pa.int32()),
                pa.array([json.dumps(as_row(u.example), ensure_ascii=False) for u in units], pa.large_string()),
            ],
            schema=example_schema(),
        )
    return packed
