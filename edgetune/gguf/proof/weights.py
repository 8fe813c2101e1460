"""The weights: the finished file read back, tensor by tensor, against the base with the adapter merged in fp32 by PEFT."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from converters.archs import TensorPlan
from converters.gguf_file import Header
from converters.gguf_model import dequantized
from converters.grid import has_grid, keep_change
from converters.quantize import quantize_tensor
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
"""Where the tolerated standard errors exceed this, a tensor's lost change alone would not be noticed; the proof counts such tensors."""
WEIGHTS_PER_BLOCK = 2**20
"""Weights compared at a time in float64, so that memory does not grow with the largest matrix."""
MAX_NAMED = 3
"""Tensors named in one cause."""
LOST_IN_ROUNDING = "rounding took what was learned"
"""What the cause begins with where the adapter went in right and the type could not hold it."""
ROUNDING_ALIKE = 0.1
"""A tensor is what rounding makes of the right one where it is at most so far from that (squared) as the rounded base is."""

# Mean square of a uniform rounding error is step squared over 12. A block's step: its largest magnitude, or its range, over the levels
# (ggml/src/ggml-quants.c, quantize_row_*_ref; K-quants: blocks inside the super-block).
MAGNITUDE = {"Q8_0": (32, 127), "Q4_0": (32, 8), "Q5_0": (32, 16), "Q6_K": (16, 32), "Q3_K": (16, 4), "IQ4_NL": (32, 7), "IQ4_XS": (32, 7)}
RANGE = {"Q4_1": (32, 15), "Q5_1": (32, 31), "Q4_K": (32, 15), "Q5_K": (32, 31), "Q2_K": (16, 3)}
RELATIVE = {"F32": 2.0**-21, "F16": 2.0**-11, "BF16": 2.0**-8}
"""Floats: half a unit in the last place; F32 also pays for sums computed in another order while merging."""
UNKNOWN_TYPE_LEVELS = 4
"""Levels assumed for a type that is not listed: only gross errors show."""


def expected_square(expected: np.ndarray, type_name: str) -> np.ndarray:
    """Mean square error that a type costs, for each row of `expected` (float32 [..., row length], as the file orders it)."""
    rows = expected.reshape(-1, expected.shape[-1])

    # A float's error grows with the number itself.
    if type_name in RELATIVE:
        floor = 2.0**-25 if type_name == "F16" else 0.0  # F16's smallest numbers keep this absolute precision
        square: np.ndarray = np.mean(np.square(np.abs(rows) * RELATIVE[type_name] + floor, dtype=np.float64), axis=1) / 3
        return square

    # A quantized weight's error depends on its block's step, and so on the block's largest numbers.
    size, levels = MAGNITUDE.get(type_name) or RANGE.get(type_name) or (32, UNKNOWN_TYPE_LEVELS)
    blocks = rows.reshape(len(rows), -1, size)
    span = np.abs(blocks).max(axis=2)
    if type_name in RANGE:
        span = np.maximum(blocks.max(axis=2), 0) - np.minimum(blocks.min(axis=2), 0)
    result: np.ndarray = np.mean(np.square(span / levels, dtype=np.float64), axis=1) / 12
    return result


@dataclass(frozen=True)
class TensorError:
    """How far a tensor of the file is from what it should be.

    ratio, row_ratio: error (root mean square) over what the type costs, in all and in the worst row. strength: share of the learned change
    that the file holds, with its standard error; None where nothing was learned. empty: the file holds zeros where the model does not.
    rounded: it is what rounding to the type makes of the right tensor, so that what it lacks was lost there.
    """

    name: str
    type: str
    ratio: float
    row_ratio: float
    strength: float | None
    standard_error: float
    empty: bool
    rounded: bool = False

    @property
    def far(self) -> bool:
        """Whether it is further off than its type explains."""
        return self.empty or not math.isfinite(self.ratio) or self.ratio > MAX_ERROR or self.row_ratio > MAX_ROW_ERROR

    @property
    def weak(self) -> bool:
        """Whether the learned change is in it at the wrong strength."""
        return self.strength is not None and not abs(self.strength - 1) <= max(STRENGTH_TOLERANCE, STANDARD_ERRORS * self.standard_error)


@dataclass(frozen=True)
class LearnedShare:
    """How much of the learned change a tensor holds. length: squared length of the change. strength: None where nothing was learned.

    gain: how much of all its weights it holds, 1 where the tensor is too far off to tell.
    """

    length: float
    strength: float | None
    gain: float


def measure_tensor(name: str, type_name: str, actual: np.ndarray, expected: np.ndarray, before: np.ndarray | None) -> TensorError:
    """Hold a tensor of the file against the merged one, and against the base's where the adapter touches it (float32, same shape)."""
    is_matrix = expected.ndim > 1
    expected = expected.reshape(-1, expected.shape[-1])
    actual = actual.reshape(expected.shape)
    base = None if before is None else before.reshape(expected.shape)
    step = max(1, WEIGHTS_PER_BLOCK // expected.shape[-1])
    parts = [slice(start, start + step) for start in range(0, len(expected), step)]

    share = LearnedShare(0.0, None, 1.0) if base is None else _learned_share(actual, expected, base, parts)

    # What is learned too strongly or too weakly is judged by its share, so that it does not count as the type's error too.
    squares, sums, costs = (np.empty(len(expected)) for _ in range(3))
    for part in parts:
        error = np.subtract(actual[part], expected[part], dtype=np.float64)
        if share.strength is not None and base is not None:
            error -= (share.strength - 1) * np.subtract(expected[part], base[part], dtype=np.float64)
        squares[part] = np.square(error).mean(axis=1)
        sums[part] = error.mean(axis=1)
        costs[part] = expected_square(expected[part], type_name)

    # The standard error of the share: how far rounding alone would move the projection.
    standard_error = 0.0
    if share.strength is not None:
        standard_error = math.sqrt(max(0.0, float(squares.mean() - sums.mean() ** 2)) / share.length)

    # Rows of zeros cost nothing: the small summands keep the ratios finite.
    ratio = math.sqrt(float(squares.mean()) / (float(costs.mean()) + 1e-30))
    worst = math.sqrt(float((squares / (costs + 1e-30 + 1e-9 * float(costs.mean()))).max()))
    return TensorError(
        name,
        type_name,
        ratio,
        row_ratio=worst if is_matrix else ratio,
        strength=None if share.strength is None else share.strength / share.gain,
        standard_error=standard_error,
        empty=not actual.any() and bool(expected.any()),
    )


def _learned_share(actual: np.ndarray, expected: np.ndarray, base: np.ndarray, parts: list[slice]) -> LearnedShare:
    """How much of the learned change a tensor holds, and of all its weights: actual = strength * learned + gain * base, by least squares.

    Types of few bits draw all weights towards zero, most of all under an importance matrix (seen: gain 0.955 at Q2_K, 0.983 without
    one), and what was learned with them: it is lost only where it shrinks more than the base does.
    """
    # The sums of the normal equations, some rows at a time.
    learned_square, learned_base, base_square, error_learned, error_base = (0.0 for _ in range(5))
    for part in parts:
        before = base[part].astype(np.float64)
        learned = expected[part] - before
        error = np.subtract(actual[part], expected[part], dtype=np.float64)
        learned_square += float(np.square(learned).sum())
        learned_base += float((learned * before).sum())
        base_square += float(np.square(before).sum())
        error_learned += float((error * learned).sum())
        error_base += float((error * before).sum())
    if learned_square <= 0:
        return LearnedShare(learned_square, None, 1.0)

    # Where the learned change is not just a multiple of the base, both factors can be told apart.
    determinant = learned_square * base_square - learned_base * learned_base
    if determinant > 1e-6 * learned_square * base_square:
        gain = 1 + (learned_square * error_base - learned_base * error_learned) / determinant
        if GAIN_RANGE[0] <= gain <= GAIN_RANGE[1]:
            strength = 1 + (base_square * error_learned - learned_base * error_base) / determinant
            return LearnedShare(learned_square, strength, gain)
    return LearnedShare(learned_square, 1 + error_learned / learned_square, 1.0)


def made_by_rounding(actual: np.ndarray, expected: np.ndarray, before: np.ndarray, type_name: str, name: str) -> bool:
    """Whether a tensor is the right one after rounding to its type (to nearest, or with the change kept), and not after another change.

    That is more than an equal share of the learned change: another change, or none, moves other weights.
    """
    rows = [np.ascontiguousarray(values.reshape(-1, values.shape[-1]), np.float32) for values in (actual, expected, before)]
    actual, expected, before = rows
    blocks = quantize_tensor(expected, type_name)
    packed = [blocks, keep_change(blocks, type_name, expected, before, name)] if has_grid(type_name) else [blocks]
    base, *candidates = (
        dequantized(raw.reshape(len(expected), -1), type_name).astype(np.float32) for raw in (quantize_tensor(before, type_name), *packed)
    )
    learned = expected - before
    for rounded_right in candidates:
        difference = actual - rounded_right
        alike = np.square(difference).sum() <= ROUNDING_ALIKE * np.square(base - rounded_right).sum()

        # Rounding explains the share that the file holds only where it leaves the same share: a wrong strength is close to it, too.
        if alike and abs((difference * learned).sum()) <= STRENGTH_TOLERANCE * np.square(learned).sum():
            return True
    return False


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
    limits = {"error": MAX_ERROR, "error_row": MAX_ROW_ERROR, "strength": STRENGTH_TOLERANCE, "standard_errors": STANDARD_ERRORS}
    result = Check("weights", limits=limits)

    names = {tensor.name for tensor in tensors}
    missing = sorted(names - header.tensors.keys())
    unexpected = sorted(header.tensors.keys() - names)
    result.causes += [f"the tensor {name} is missing from the file" for name in missing[:MAX_NAMED]]
    result.causes += [f"the file holds a tensor that the model does not have: {name}" for name in unexpected[:MAX_NAMED]]

    errors = []
    for tensor in tensors:
        info = header.tensors.get(tensor.name)
        if info is None or not tensor.sources:
            continue
        if info.shape[::-1] != tensor.shape:
            result.causes.append(f"the tensor {tensor.name} has the shape {info.shape[::-1]} instead of {tensor.shape}")
            continue
        actual = tensor_values(header, tensor.name)
        expected = tensor.build(*(merged(name) for name, _ in tensor.sources))
        before = _before(tensor, base, merged)
        error = measure_tensor(tensor.name, info.type, actual, expected, before)
        if before is not None and error.strength is not None and abs(error.strength - 1) > STRENGTH_TOLERANCE / 2:
            error = replace(error, rounded=made_by_rounding(actual, expected, before, info.type, tensor.name))
        errors.append(error)
    result.causes += find_causes(errors)
    result.figures = _figures(errors)
    return result


def _before(tensor: TensorPlan, base: Callable[[str], np.ndarray | None], merged: Callable[[str], np.ndarray]) -> np.ndarray | None:
    """A tensor of the file as it would be without the training; None where that changed nothing of it."""
    parts = [base(name) for name, _ in tensor.sources]
    if all(part is None for part in parts):
        return None
    return tensor.build(*(merged(name) if part is None else part for part, (name, _) in zip(parts, tensor.sources, strict=True)))


def pooled_strength(errors: list[TensorError]) -> tuple[float, float] | None:
    """The share of the learned change over all tensors, each weighing as much as it says, with its standard error."""
    shares = [(error.strength, max(error.standard_error, 1e-9)) for error in errors if error.strength is not None and not error.far]
    if not shares:
        return None
    weights = [1 / standard_error**2 for _, standard_error in shares]
    total = sum(weights)
    mean = sum(weight * strength for weight, (strength, _) in zip(weights, shares, strict=True)) / total
    return mean, total**-0.5


def find_causes(errors: list[TensorError]) -> list[str]:
    """What is wrong with the tensors, in words."""
    causes = []

    # Tensors that are not what they should be, whatever was learned.
    empty = [error for error in errors if error.empty]
    far = [error for error in errors if error.far and not error.empty]
    if empty:
        causes.append(f"{_names(empty)}: all zeros in the file")
    if far:
        worst = max(far, key=lambda error: max(error.ratio, error.row_ratio))
        times = max(worst.ratio, worst.row_ratio / (MAX_ROW_ERROR / MAX_ERROR))
        causes.append(f"{_names(far)}: far off, the error of {worst.name} is {times:.1f} times what {worst.type} costs")

    # What was learned: one cause where most tensors agree, which names the adapter; else each tensor.
    touched = [error for error in errors if error.strength is not None and not error.far]
    weak = [error for error in touched if error.weak]
    pooled = pooled_strength(errors)
    pooled_off = pooled is not None and not abs(pooled[0] - 1) <= max(STRENGTH_TOLERANCE, STANDARD_ERRORS * pooled[1])
    lost = [error for error in weak or touched if error.rounded]
    if pooled and (weak or pooled_off) and len(lost) > len(weak or touched) / 2:
        worst = min(lost, key=lambda error: error.strength or 0.0)
        causes.append(
            f"{LOST_IN_ROUNDING}: the file holds {pooled[0]:.2f} of it, {worst.name} {worst.strength:.2f}, and that is all that "
            f"{worst.type} leaves of it; the adapter went in as it should"
        )
    elif pooled and (len(weak) > len(touched) / 2 or (pooled_off and not weak)):
        if abs(pooled[0]) <= max(STRENGTH_TOLERANCE, STANDARD_ERRORS * pooled[1]):
            causes.append("the file holds nothing of what was learned: the adapter was left out")
        else:
            causes.append(f"the file holds {pooled[0]:.2f} of what was learned: the adapter went in at the wrong strength")
    else:
        causes += [f"the tensor {error.name} holds {error.strength:.2f} of what was learned" for error in weak[:MAX_NAMED]]
        if len(weak) > MAX_NAMED:
            causes.append(f"{len(weak) - MAX_NAMED} more tensors hold less or more than was learned")
    return causes


def _names(errors: list[TensorError]) -> str:
    more = f" and {len(errors) - MAX_NAMED} more" if len(errors) > MAX_NAMED else ""
    return f"the tensor{'s' if len(errors) > 1 else ''} {', '.join(error.name for error in errors[:MAX_NAMED])}{more}"


def _figures(errors: list[TensorError]) -> dict[str, Any]:
    pooled = pooled_strength(errors)
    strengths = [error.strength for error in errors if error.strength is not None]
    coarse = sum(error.strength is not None and STANDARD_ERRORS * error.standard_error > TOO_COARSE for error in errors)
    figures: dict[str, Any] = {
        "tensors": len(errors),
        "error_worst": max((error.ratio for error in errors), default=0.0),
        "error_row_worst": max((error.row_ratio for error in errors), default=0.0),
    }
    if strengths:
        figures |= {
            "tensors_learned": len(strengths),
            "strength": pooled[0] if pooled else None,
            "strength_error": pooled[1] if pooled else None,
            "strength_least": min(strengths),
            "strength_most": max(strengths),
            "tensors_too_coarse": coarse,
        }
    return figures
