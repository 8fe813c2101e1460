"""Which of the prepared rows a run trains on, how often, and which it only measures on."""

import math
import random
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgetune.data import store
from edgetune.data.row import Problem
from edgetune.data.sources import Source
from edgetune.data.xray import Report
from edgetune.errors import InputError

FEW_DOCUMENTS = 20
"""With fewer documents than this, raw text is split into train and held-out by pieces instead of by documents."""


@dataclass(frozen=True)
class RowGroup:
    """Rows of one origin, one after the other: every pass takes the next `each` of them."""

    start: int
    count: int
    each: int


@dataclass
class Prepared:
    """What a run learns from: the X-ray, which of the run's rows are held out, and the groups of those that are not.

    kind: of the run's rows; pairs may be taken apart into judged answers.
    held_rows: bool [rows of the run: a pair is one], held_units: bool [units].
    held_out: rows to measure on; replay: rows of the replay file, the last group.
    """

    report: Report
    kind: str
    folder: Path
    held_rows: Any
    held_units: Any
    groups: list[RowGroup] = field(default_factory=list)
    held_out: int = 0
    replay: list[store.LabelledIds] = field(default_factory=list)

    @property
    def train(self) -> int:
        """Rows to train on, those of the replay file counted."""
        return sum(group.count for group in self.groups)

    @property
    def each_pass(self) -> int:
        """Rows of one pass."""
        return sum(group.each for group in self.groups)

    @property
    def rejected(self) -> list[Problem]:
        """The first rows that were left out."""
        return [problem for problem in self.report.problems if problem.rejected]


def divide(report: Report, folder: Path, files: list[Source], recipe: Any, splits_pairs: bool = False) -> Prepared:
    """Choose the held-out units: those of the files held out if there are any, else a share of all, equal ones together.

    splits_pairs: pairs are taken apart into judged answers.
    """
    import numpy as np

    source, digest, rows = (_column(folder / store.EXAMPLES_FILE, name) for name in ("source", "digest", "rows"))
    kind = "unpaired" if report.kind == "preference" and splits_pairs else report.kind
    rows = rows // store.rows_each(kind)

    # Few documents cannot be shared out; their pieces can.
    row_source = np.repeat(source, rows)
    if report.kind == "text" and len(source) < FEW_DOCUMENTS:
        digest = np.arange(len(row_source))
        row_unit = digest
    else:
        row_unit = np.repeat(np.arange(len(source)), rows)

    # Files held out by name decide alone; else a share of the units.
    named = np.array([s.held_out for s in files], dtype=bool)
    held = named[row_source] if named.any() else held_out_units(digest, recipe.validation_split, recipe.data_seed)[row_unit]
    units = named[source] if named.any() else np.zeros(len(source), dtype=bool)
    if not named.any() and len(held):
        units[np.repeat(np.arange(len(source)), rows)[held]] = True

    # What is left of each file is a group, which a pass draws from by the file's weight.
    prepared = Prepared(report, kind, folder, held, units, held_out=int(held.sum()))
    start = 0
    for number, file in enumerate(files):
        count = int(((row_source == number) & ~held).sum())
        if count:
            prepared.groups.append(RowGroup(start, count, max(1, round(file.weight * count))))
        start += count
    return prepared


def held_out_units(digests: Any, share: float, seed: int) -> Any:
    """Which units are held out, bool [units]: about `share` of them, at least one; equal ones stay together, so that none is trained on
    too."""
    import numpy as np

    _, first, group_of, sizes = np.unique(digests, return_index=True, return_inverse=True, return_counts=True)
    order = np.argsort(first).tolist()  # groups as they come in the files

    # Draw groups of equal units until the share is reached; one too large for the rest is passed over.
    target = max(1, round(share * len(digests))) if share > 0 else 0
    random.Random(seed).shuffle(order)
    chosen = 0
    held = np.zeros(len(sizes), dtype=bool)
    for group in order:
        if chosen == target:
            break
        if chosen + sizes[group] <= target:
            chosen += sizes[group]
            held[group] = True

    # When every group is too large, the smallest is held out, unless nothing would be left to train on.
    smallest = min(order, key=sizes.__getitem__, default=None)
    if target and not chosen and smallest is not None and sizes[smallest] < len(digests):
        held[smallest] = True
    return held[group_of]


def add_replay(prepared: Prepared, folder: Path, report: Report, recipe: Any) -> None:
    """Add rows of the replay file, prepared in `folder`, behind the run's own: enough that every pass can draw others."""
    import numpy as np

    usable = ~np.isin(
        _column(folder / store.EXAMPLES_FILE, "digest"), _column(prepared.folder / store.EXAMPLES_FILE, "digest")[prepared.held_units]
    )
    pool = np.flatnonzero(usable[_column(folder / store.ROWS_FILE, "unit")]).tolist()
    if not pool:
        raise InputError("No replay row fits", f"All {report.read} rows of {recipe.replay} were left out.", "Choose another --replay file.")

    # Enough rows that every pass can draw others, as many as the run takes at most.
    own = prepared.train
    each_pass = prepared.each_pass
    each = round(each_pass * recipe.replay_ratio / (1 - recipe.replay_ratio))
    rows_asked = (
        recipe.max_steps * recipe.batch_size * recipe.gradient_accumulation if recipe.max_steps else recipe.epochs * (each_pass + each)
    )
    passes = 1 if recipe.packing else math.ceil(rows_asked / (each_pass + each))
    chosen = random.Random(recipe.data_seed).sample(pool, min(each * passes, len(pool)))

    # One way through the file collects the chosen rows, in the order in which they were drawn.
    position_of = {number: position for position, number in enumerate(chosen)}
    rows: dict[int, store.LabelledIds] = {}
    start = 0
    for batch in store.read_batches(folder / store.ROWS_FILE):
        for number in range(start, start + len(batch)):
            if number in position_of:
                at = number - start
                rows[position_of[number]] = (batch.column("input_ids")[at].as_py(), batch.column("labels")[at].as_py())
        start += len(batch)

    prepared.replay = [rows[i] for i in range(len(chosen))]
    prepared.groups.append(RowGroup(own, len(chosen), min(each, len(chosen))))


def _column(path: Path, name: str) -> Any:
    """A column of numbers of a stored stream, as one array."""
    import numpy as np

    parts = [batch.column(name).to_numpy(zero_copy_only=False).copy() for batch in store.read_batches(path)]
    return np.concatenate(parts) if parts else np.zeros(0, dtype=np.int64)
