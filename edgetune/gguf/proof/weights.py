"""The weights: the finished file read back, tensor by tensor, against the base with the adapter merged in fp32 by PEFT."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from converters.archs import TensorPlan
from converters.gguf_file import Header
from edgetune.gguf.proof.check import Check
from edgetune.gguf.proof.readback import tensor_values

MAX_ERROR, MAX_ROW_ERROR = 1.5, 2.5
"""An error of this many times what the type costs is too much, for a whole tensor and for its worst row. (The worst of 36 correct exports,
six types: 1.03, and 1.26 for a row.)"""
STRENGTH_TOLERANCE, STANDARD_ERRORS = 0.02, 5.0
"""How far from 1 the share of the learned change may be: this much, or so many standard errors where the type's rounding hides more."""
GAIN_RANGE = (0.85, 1.15)
"""By how much a type may shrink or stretch all weights of a tensor alike, before that counts against what was learned."""
TOO_COARSE = 0.5
"""Where so many standard errors exceed this, a lost change of that tensor alone would not be noticed; the proof counts such tensors."""
WEIGHTS_PER_BLOCK = 2**20
"""Weights compared at a time in float64, so that memory does not grow with the largest matrix."""
MAX_NAMED = 3
"""Tensors named in one cause."""

# Mean square of a uniform rounding error is step squared over 12. A block's step: its largest magnitude, or its range, over the levels
# (ggml/src/ggml-quants.c, quantize_row_*_ref; K-quants: blocks inside the super-block).
MAGNITUDE = {"Q8_0": (32, 127), "Q4_0": (32, 8), "Q5_0": (32, 16), "Q6_K": (16, 32), "Q3_K": (16, 4), "IQ4_NL": (32, 7), "IQ4_XS": (32, 7)}
RANGE = {"Q4_1": (32, 15), "Q5_1": (32, 31), "Q4_K": (32, 15), "Q5_K": (32, 31), "Q2_K": (16, 3)}
RELATIVE = {"F32": 2.0**-21, "F16": 2.0**-11, "BF16": 2.0**-8}
"""Floats: half a unit in the last place; F32 also pays for sums made in another order while merging."""
UNKNOWN_TYPE_LEVELS = 4
"""Levels assumed for a type that is not listed: only gross errors show."""


def expected_square(wanted: np.ndarray, type_name: str) -> np.ndarray:
    """Mean square error that a type costs, for each row of `wanted` (float32 [..., row length], as the file orders it)."""
    rows = wanted.reshape(-1, wanted.shape[-1])
    if type_name in RELATIVE:
        floor = 2.0**-25 if type_name == "F16" else 0.0  # F16's smallest numbers keep this absolute precision
        square: np.ndarray = np.mean(np.square(np.abs(rows) * RELATIVE[type_name] + floor, dtype=np.float64), axis=1) / 3
        return square
    size, levels = MAGNITUDE.get(type_name) or RANGE.get(type_name) or (32, UNKNOWN_TYPE_LEVELS)
    blocks = rows.reshape(len(rows), -1, size)
    span = np.abs(blocks).max(axis=2)
    if type_name in RANGE:
        span = np.maximum(blocks.max(axis=2), 0) - np.minimum(blocks.min(axis=2), 0)
    result: np.ndarray = np.mean(np.square(span / levels, dtype=np.float64), axis=1) / 12
    return result


@dataclass(frozen=True)
class TensorError:
    """One tensor.

    ratio, row_ratio: error (root mean square) over what the type costs, in all and in the worst row. strength: share of the learned change
    that the file holds, with its standard error; None where nothing was learned. empty: the file holds zeros where the model does not.
    """

    name: str
    type: str
    ratio: float
    row_ratio: float
    strength: float | None
    error: float
    empty: bool

    @property
    def far(self) -> bool:
        """Whether it is further off than its type explains."""
        return self.empty or not math.isfinite(self.ratio) or self.ratio > MAX_ERROR or self.row_ratio > MAX_ROW_ERROR

    @property
    def weak(self) -> bool:
        """Whether the learned change is in it at the wrong strength."""
        return self.strength is not None and not abs(self.strength - 1) <= max(STRENGTH_TOLERANCE, STANDARD_ERRORS * self.error)


def measure_tensor(name: str, type_name: str, found: np.ndarray, wanted: np.ndarray, before: np.ndarray | None) -> TensorError:
    """Hold a tensor of the file against the merged one, and against the base's where the adapter touches it (float32, same shape)."""
    many, step = wanted.ndim > 1, max(1, WEIGHTS_PER_BLOCK // wanted.shape[-1])
    wanted, found = wanted.reshape(-1, wanted.shape[-1]), found.reshape(-1, found.shape[-1])
    base = None if before is None else before.reshape(wanted.shape)
    parts = [slice(start, start + step) for start in range(0, len(wanted), step)]
    strength, gain, length = None, 1.0, 0.0
    if base is not None:
        length, strength, gain = _share(found, wanted, base, parts)
    squares, sums, costs = (np.empty(len(wanted)) for _ in range(3))
    for part in parts:
        error = np.subtract(found[part], wanted[part], dtype=np.float64)
        if strength is not None and base is not None:
            error -= (strength - 1) * np.subtract(wanted[part], base[part], dtype=np.float64)
        squares[part], sums[part], costs[part] = np.square(error).mean(axis=1), error.mean(axis=1), expected_square(wanted[part], type_name)
    deviation = math.sqrt(max(0.0, float(squares.mean() - sums.mean() ** 2)) / length) if strength is not None else 0.0
    ratio = math.sqrt(float(squares.mean()) / (float(costs.mean()) + 1e-30))
    worst = math.sqrt(float((squares / (costs + 1e-30 + 1e-9 * float(costs.mean()))).max()))
    empty = not found.any() and bool(wanted.any())
    share = None if strength is None else strength / gain
    return TensorError(name, type_name, ratio, worst if many else ratio, share, deviation, empty)


def _share(found: np.ndarray, wanted: np.ndarray, base: np.ndarray, parts: list[slice]) -> tuple[float, float | None, float]:
    """How much of the learned change a tensor holds, and of all its weights: found = strength * learned + gain * base, by least squares.

    Types of few bits draw all weights towards zero, most of all under an importance matrix (seen: gain 0.955 at Q2_K, 0.983 without
    one), and what was learned with them: it is lost only where it shrinks more than the base does. Gives the squared length of the change,
    the strength (None: nothing was learned) and the gain (1 where the tensor is too far off to tell).
    """
    length, across, whole, on_learned, on_base = (0.0 for _ in range(5))
    for part in parts:
        before = base[part].astype(np.float64)
        learned, error = wanted[part] - before, np.subtract(found[part], wanted[part], dtype=np.float64)
        length += float(np.square(learned).sum())
        across, whole = across + float((learned * before).sum()), whole + float(np.square(before).sum())
        on_learned, on_base = on_learned + float((error * learned).sum()), on_base + float((error * before).sum())
    if length <= 0:
        return length, None, 1.0
    left = length * whole - across * across
    if left > 1e-6 * length * whole:
        gain = 1 + (length * on_base - across * on_learned) / left
        if GAIN_RANGE[0] <= gain <= GAIN_RANGE[1]:
            return length, 1 + (whole * on_learned - across * on_base) / left, gain
    return length, 1 + on_learned / length, 1.0


def check_weights(
    header: Header,
    tensors: tuple[TensorPlan, ...],
    merged: Callable[[str], np.ndarray],
    base: Callable[[str], np.ndarray | None],
) -> Check:
    """Read every tensor of the file and hold it against what it should be.

    tensors: what the architecture's file holds. merged, base: a tensor of the model as it should be, and as it was before training (None:
    not known, or not changed), by the model's own name.
    """
    result = Check(
        "weights",
        limits={"error": MAX_ERROR, "error_row": MAX_ROW_ERROR, "strength": STRENGTH_TOLERANCE, "standard_errors": STANDARD_ERRORS},
    )
    measured = []
    names = {tensor.name for tensor in tensors}
    missing, more = sorted(names - header.tensors.keys()), sorted(header.tensors.keys() - names)
    result.causes += [f"the tensor {name} is missing from the file" for name in missing[:MAX_NAMED]]
    result.causes += [f"the file holds a tensor that the model does not have: {name}" for name in more[:MAX_NAMED]]
    for tensor in tensors:
        info = header.tensors.get(tensor.name)
        if info is None or not tensor.sources:
            continue
        if info.shape[::-1] != tensor.shape:
            result.causes.append(f"the tensor {tensor.name} has the shape {info.shape[::-1]} instead of {tensor.shape}")
            continue
        found = tensor_values(header, tensor.name)
        wanted = tensor.build(*(merged(name) for name, _ in tensor.sources))
        before = _before(tensor, base, merged)
        measured.append(measure_tensor(tensor.name, info.type, found, wanted, before))
    result.causes += find_causes(measured)
    result.figures = _figures(measured)
    return result


def _before(tensor: TensorPlan, base: Callable[[str], np.ndarray | None], merged: Callable[[str], np.ndarray]) -> np.ndarray | None:
    """A tensor of the file as it would be without the training; None where that changed nothing of it."""
    parts = [base(name) for name, _ in tensor.sources]
    if all(part is None for part in parts):
        return None
    return tensor.build(*(merged(name) if part is None else part for part, (name, _) in zip(parts, tensor.sources, strict=True)))


def pooled_strength(measured: list[TensorError]) -> tuple[float, float] | None:
    """The share of the learned change over all tensors, each weighing as much as it says, with its standard error."""
    known = [(one.strength, max(one.error, 1e-9)) for one in measured if one.strength is not None and not one.far]
    if not known:
        return None
    weights = [1 / error**2 for _, error in known]
    total = sum(weights)
    return sum(w * s for w, (s, _) in zip(weights, known, strict=True)) / total, total**-0.5


def find_causes(measured: list[TensorError]) -> list[str]:
    """What is wrong with the tensors, in words."""
    causes = []
    empty = [one for one in measured if one.empty]
    far = [one for one in measured if one.far and not one.empty]
    if empty:
        causes.append(f"{_names(empty)}: all zeros in the file")
    if far:
        worst = max(far, key=lambda one: max(one.ratio, one.row_ratio))
        many = max(worst.ratio, worst.row_ratio / (MAX_ROW_ERROR / MAX_ERROR))
        causes.append(f"{_names(far)}: far off, the error of {worst.name} is {many:.1f} times what {worst.type} costs")
    touched = [one for one in measured if one.strength is not None and not one.far]
    weak = [one for one in touched if one.weak]
    together = pooled_strength(measured)
    off = together is not None and not abs(together[0] - 1) <= max(STRENGTH_TOLERANCE, STANDARD_ERRORS * together[1])
    if together and (len(weak) > len(touched) / 2 or (off and not weak)):
        if abs(together[0]) <= max(STRENGTH_TOLERANCE, STANDARD_ERRORS * together[1]):
            causes.append("the file holds nothing of what was learned: the adapter was left out")
        else:
            causes.append(f"the file holds {together[0]:.2f} of what was learned: the adapter went in at the wrong strength")
    else:
        causes += [f"the tensor {one.name} holds {one.strength:.2f} of what was learned" for one in weak[:MAX_NAMED]]
        if len(weak) > MAX_NAMED:
            causes.append(f"{len(weak) - MAX_NAMED} more tensors hold less or more than was learned")
    return causes


def _names(measured: list[TensorError]) -> str:
    more = f" and {len(measured) - MAX_NAMED} more" if len(measured) > MAX_NAMED else ""
    return f"the tensor{'s' if len(measured) > 1 else ''} {', '.join(one.name for one in measured[:MAX_NAMED])}{more}"


def _figures(measured: list[TensorError]) -> dict[str, Any]:
    together = pooled_strength(measured)
    touched = [one for one in measured if one.strength is not None]
    figures: dict[str, Any] = {
        "tensors": len(measured),
        "error_worst": max((one.ratio for one in measured), default=0.0),
        "error_row_worst": max((one.row_ratio for one in measured), default=0.0),
    }
    if touched:
        figures |= {
            "tensors_learned": len(touched),
            "strength": together[0] if together else None,
            "strength_error": together[1] if together else None,
            "strength_least": min(one.strength or 0.0 for one in touched),
            "strength_most": max(one.strength or 0.0 for one in touched),
            "tensors_too_coarse": sum(STANDARD_ERRORS * one.error > TOO_COARSE for one in touched),
        }
    return figures
