"""A base whose weights lie on a grid because they were quantized before, and rounding that keeps a small change of such weights.

Where every weight lies on a type's grid, a change of less than half a step is rounded away in all of them alike: nothing of it stays even
in the mean. On another quantization's grid too much or too little of it stays. Weights without a grid lie everywhere between two steps,
so that rounding to nearest keeps the mean. `grid_figures` tells which it is. `keep_change` rounds the change stochastically (Gupta et al.
2015, arXiv:1502.02551): every weight's own change stays in the mean, whatever it is multiplied by. A share of the whole that is right is
not enough: rounding that brings it back where that costs least moves the columns that training changed most, which are those of the
largest activations, and the answers then show too much. On another quantization's grid `stretch_for` measures what nearest leaves.
"""

import zlib
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from converters.file_types import UNQUANTIZED
from converters.gguf_file import GGML_TYPES
from converters.gguf_model import dequantized
from converters.quantize import quantize_tensor
from converters.quants import quant_range, read_quants, write_quants

SAMPLE_WEIGHTS, SAMPLE_PIECES = 2**14, 4
"""Weights of a tensor that are looked at, in so many pieces of it."""
ERROR_ON_GRID = 0.5
"""A type's own rounding error on weights of its grid, at most, where it is 1 on weights without one. (Seen: 0.36 on Q8_0's grid that was
stored as bfloat16, 0 to 0.1 on the other types'; without a grid 0.8 to 1.)"""
STRETCHES, PART_OF_STEP = 6, 0.6
"""How often a stretch is measured and corrected, and by what power of what is missing: what is left grows faster than the change does."""
SMALL_LOSS, STANDARD_ERRORS = 0.005, 3.0
"""What rounding loses of a change is made up for where it is more than this, and more than so many standard errors."""
MOST_STRETCHED = 1.5
"""The change of a row is made at most so many times larger (or smaller) for what its weights at the end of their range cannot take."""
WEIGHTS_AT_A_TIME = 2**17
"""Weights rounded together, so that what is computed for each of them takes little memory."""
MEASURED_WEIGHTS = 2**20
"""Weights of a tensor on which it is measured how much to stretch its change: as many as a slab has."""
RUN = 16
"""Neighbors in which equal weights are counted: no more than lie in one block of any type."""
DISTINCT_ON_GRID = 0.93
"""Share of distinct weights in a run, at most, where they were quantized to 6 bits or fewer. (Seen: 0.88 at 6 bits, 0.6 at 4; 0.99 and
more of weights in bfloat16 that were never quantized.)"""


class GridFigures(NamedTuple):
    """What tells a grid. error: the type's own rounding error, 1 without a grid. distinct: share of distinct weights among neighbors."""

    error: float
    distinct: float

    @property
    def on_own_grid(self) -> bool:
        """Whether the weights lie on the grid of the type itself."""
        return self.error < ERROR_ON_GRID

    @property
    def on_grid(self) -> bool:
        """Whether they lie on any grid that is not much finer than the type's."""
        return self.on_own_grid or self.distinct < DISTINCT_ON_GRID


def _neighbors(blocks: np.ndarray, type_name: str, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What the blocks (uint8, flat) hold, and what they would hold with every quant one higher, and one lower: float32 of a shape."""
    blocks = blocks.reshape(-1, GGML_TYPES[type_name].size)
    quants = read_quants(blocks, type_name)
    low, high = quant_range(type_name)
    above = write_quants(blocks, type_name, np.minimum(quants + 1, high))
    below = write_quants(blocks, type_name, np.maximum(quants - 1, low))

    # As one row: gguf-py goes through rows in small groups.
    values, up, down = (dequantized(part.reshape(1, -1), type_name).reshape(shape) for part in (blocks, above, below))
    return values, up, down


def grid_figures(values: np.ndarray, type_name: str) -> GridFigures:
    """Look at weights (float32 [rows, row length]) that a type is about to round."""
    held, up, down = _neighbors(quantize_tensor(values, type_name, threads=1), type_name, values.shape)
    gap = np.maximum(np.abs(up - held), np.abs(down - held))
    parts = np.abs(values - held)[gap > 0] / gap[gap > 0]

    # A rounding error that is spread evenly over a step has a mean square of 1/12. Zeros may have been pruned: they tell of no grid.
    error = float(np.sqrt(12 * np.square(parts, dtype=np.float64).mean())) if parts.size else 0.0
    runs = np.sort(values.reshape(-1, RUN), axis=1)
    real = runs != 0
    new = real & np.concatenate([np.ones((len(runs), 1), bool), runs[:, 1:] != runs[:, :-1]], axis=1)
    return GridFigures(error, float(new.sum() / real.sum()) if real.any() else 1.0)


def has_grid(type_name: str) -> bool:
    """Whether a type has the blocks this module knows: floats do not."""
    return type_name not in UNQUANTIZED


def sample_slices(rows: int, row_weights: int, weights: int = SAMPLE_WEIGHTS) -> Iterator[slice]:
    """Pieces of a tensor's rows to look at, about so many weights, spread over it."""
    count = min(SAMPLE_PIECES, rows)
    each = max(1, weights // row_weights // count)
    for index in range(count):
        start = index * rows // count
        yield slice(start, min(start + each, (index + 1) * rows // count))


def stretch_for(base: np.ndarray, merged: np.ndarray, type_name: str) -> float:
    """How many times larger a change must be made for rounding to nearest to leave the right one; 1 where it does of itself, or where that
    cannot be told. base, merged: float32 [rows, row length], before and after training."""
    change = merged - base
    length = float(np.square(change, dtype=np.float64).sum())
    if not length:
        return 1.0
    factor = 1.0
    for number in range(STRETCHES):
        held = dequantized(quantize_tensor(base + np.float32(factor) * change, type_name, threads=1).reshape(len(base), -1), type_name)
        parts = np.multiply(held - base, change, dtype=np.float64)
        share = float(parts.sum()) / length
        doubt = float(np.sqrt(np.square(parts - share * np.square(change)).sum())) / length
        if abs(share - 1) <= max(SMALL_LOSS, 0 if number else STANDARD_ERRORS * doubt):
            break
        factor = float(np.clip(factor / max(share, 0.1) ** PART_OF_STEP, 1 / MOST_STRETCHED, MOST_STRETCHED))
    return factor


def keep_change(blocks: np.ndarray, type_name: str, merged: np.ndarray, base: np.ndarray, name: str = "", first: int = 0) -> np.ndarray:
    """Blocks that hold the change in the mean, with the scales that they have: every weight is the base's nearest quant, and the change on
    top of it, rounded up or down with the probability of how far it is to the next quant.

    blocks: the merged weights quantized to nearest (uint8, flat). merged, base: float32 [rows, row length], after and before training.
    name, first: the tensor's name and the number of its first row here, by which chance is drawn: the same on every machine.
    """
    rows = blocks.reshape(len(merged), -1)
    step = max(1, WEIGHTS_AT_A_TIME // merged.shape[1])
    kept = [
        _kept(rows[start : start + step], type_name, merged[start : start + step], base[start : start + step], name, first + start)
        for start in range(0, len(rows), step)
    ]
    return np.concatenate(kept).reshape(-1)


def _kept(rows: np.ndarray, type_name: str, merged: np.ndarray, base: np.ndarray, name: str, first: int) -> np.ndarray:
    by_block = rows.reshape(-1, GGML_TYPES[type_name].size)
    held, up, down = _neighbors(rows, type_name, merged.shape)
    quants = read_quants(by_block, type_name).reshape(merged.shape)
    low, high = quant_range(type_name)

    # A quant's step, upward where there is one; types whose levels are not evenly spread have another one downward.
    change = merged - base
    rising = np.where(quants < high, up - held, held - down)
    falling = np.where(quants > low, held - down, up - held)
    upward = np.where(change * rising > 0, rising, falling)
    steps = np.divide(change, upward, out=np.zeros_like(change), where=upward != 0)
    from_held = base - held
    gap = np.where(from_held * rising > 0, rising, falling)
    place = np.divide(from_held, gap, out=np.zeros_like(change), where=gap != 0)
    before = np.clip(quants + np.rint(place), low, high)

    # Weights at the end of their range cannot take their change, unless the new scale carries it: what is missing or too much, the others
    # of the row make up for.
    carried = held + (before - quants) * upward - base
    possible = (np.clip(before + steps, low, high) - before) * upward
    wanted, there, taken = ((values * change).sum(axis=1, dtype=np.float64) for values in (change, carried, possible))
    factor = np.divide(wanted - there, taken, out=np.ones_like(wanted), where=taken > 0)
    steps *= np.clip(factor, 1 / MOST_STRETCHED, MOST_STRETCHED).astype(np.float32)[:, None]
    moved = before + np.floor(steps + _chance(name, first, merged.shape))
    result = np.clip(moved, low, high).astype(np.int16)
    return write_quants(by_block, type_name, result.reshape(len(by_block), -1)).reshape(rows.shape)


def _chance(name: str, first: int, shape: tuple[int, ...]) -> np.ndarray:
    """Numbers from 0 to below 1 (float32) that look random and depend on the tensor's name, the row and the column alone.

    A hash of the three by the finalizer of MurmurHash3 (Appleby, public domain).
    """
    row = np.arange(first, first + shape[0], dtype=np.uint32)[:, None] * np.uint32(0x9E3779B1)
    column = np.arange(shape[1], dtype=np.uint32) * np.uint32(0x85EBCA77)
    bits = (row + np.uint32(zlib.crc32(name.encode()))) ^ column
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35), (16, 0x27D4EB2F), (15, 1)):
        bits ^= bits >> np.uint32(shift)
        bits *= np.uint32(factor)
    return (bits >> np.uint32(8)).astype(np.float32) * np.float32(2.0**-24)
