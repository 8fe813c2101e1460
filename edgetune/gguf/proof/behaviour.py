"""The behaviour: the merged model in torch against the file in llama.cpp, as the user will feel it, on held-out rows."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgetune.data.labels import IGNORE_INDEX
from edgetune.gguf.proof.check import Check
from edgetune.gguf.proof.distance import distance
from edgetune.gguf.proof.rows import ProofRow

SLOPE_RANGE = (0.90, 1.10)
"""How much of the learned change of log p the file may show."""
NOISE_FACTOR, NOISE_MARGIN = 1.5, 1e-3
"""Divergence and residual variance may be so many times those of the base quantized the same way, and so much more."""
STANDARD_ERRORS = 5.0
"""A limit counts as exceeded only by so many standard errors: a sound file, measured on few answers, must not fail by chance."""
MIN_ANSWER_TOKENS = 16
"""With fewer answer tokens a slope says nothing."""


@dataclass(frozen=True)
class QuantizationNoise:
    """What quantizing does to the base: mean KL, and the variance of the change of log p of the answer tokens, with standard errors."""

    kl: float
    kl_error: float
    variance: float
    variance_error: float


def answer_log_probs(rows: list[ProofRow], predicted: list[np.ndarray]) -> np.ndarray:
    """Log p of every trained token of every row (its very first token has none)."""
    parts = []
    for row, table in zip(rows, predicted, strict=True):
        # The prediction for a token is the table's line of the token before.
        positions = [at for at in range(1, len(row.ids)) if row.labels[at] != IGNORE_INDEX]
        parts.append(table[[at - 1 for at in positions], [row.ids[at] for at in positions]].astype(np.float64))
    return np.concatenate(parts) if parts else np.zeros(0)


def measure_noise(rows: list[ProofRow], base: list[np.ndarray], base_file: list[np.ndarray]) -> QuantizationNoise:
    """Measure what quantizing does to the base, on the same rows."""
    change = answer_log_probs(rows, base_file) - answer_log_probs(rows, base)
    kl = distance(base, base_file).kl
    return QuantizationNoise(float(kl.mean()), _mean_error(kl), *_variance(change))


def _mean_error(values: np.ndarray) -> float:
    return float(values.std() / math.sqrt(len(values))) if len(values) else 0.0


def _variance(values: np.ndarray) -> tuple[float, float]:
    """Variance of values and its standard error (from their fourth moment)."""
    squares = np.square(values - values.mean()) if len(values) else np.zeros(1)
    return float(squares.mean()), float(squares.std() / math.sqrt(len(squares)))


def check_behaviour(
    rows: list[ProofRow], merged: list[np.ndarray], file: list[np.ndarray], base: list[np.ndarray] | None, cost: QuantizationNoise | None
) -> Check:
    """Hold the file's predictions against the merged model's.

    base: the model before training, None where it is not known. cost: what quantizing does to the base, None where it was not measured.
    """
    result = Check("behaviour")
    difference = distance(merged, file)
    ours = answer_log_probs(rows, merged)
    theirs = answer_log_probs(rows, file)
    result.figures = difference.figures() | {
        "answer_tokens": len(ours),
        "perplexity": _perplexity(ours),
        "perplexity_file": _perplexity(theirs),
    }
    if not math.isfinite(result.figures["kl_mean"]):
        result.causes.append("the file's predictions are not finite numbers")
        return result

    # The base quantized the same way shows what the type alone does on these rows.
    if cost is not None:
        limit = NOISE_FACTOR * cost.kl + NOISE_MARGIN
        result.limits["kl_mean"] = limit
        result.figures["kl_base"] = cost.kl
        mean = difference.kl.mean()
        if mean > limit + STANDARD_ERRORS * math.hypot(_mean_error(difference.kl), NOISE_FACTOR * cost.kl_error):
            result.causes.append(
                f"the file's answers are further from the trained model's than quantizing explains (mean KL {mean:.2g}; "
                f"the base loses {cost.kl:.2g} the same way)"
            )
    if base is not None:
        learned = float(distance(merged, base).kl.mean())
        mean_kl = difference.figures()["kl_mean"]  # of equal predictions it is zero but for rounding, and may be below it
        if learned > 0:  # distances grow with the square root of the divergence
            result.figures["noise"] = math.sqrt(max(0.0, float(mean_kl)) / learned)
        _survival(result, ours, theirs, answer_log_probs(rows, base), cost)
    return result


def distance_as_trained(trained: list[np.ndarray], merged: list[np.ndarray], file: list[np.ndarray]) -> dict[str, Any]:
    """Mean KL from the model on its 4-bit base to the file, and to the merged model: what training against 4 bits costs. No limit binds."""
    return {"kl_trained": float(distance(trained, file).kl.mean()), "kl_four_bit": float(distance(trained, merged).kl.mean())}


def _perplexity(logs: np.ndarray) -> float | None:
    return float(math.exp(min(-logs.mean(), 50))) if len(logs) else None


def _survival(result: Check, merged: np.ndarray, file: np.ndarray, base: np.ndarray, cost: QuantizationNoise | None) -> None:
    """How much of the learned change of log p shows in the file: least squares of (file - base) over (merged - base)."""
    if len(base) < MIN_ANSWER_TOKENS or not np.square(merged - base).sum() > 0:
        result.notes.append("too few answer tokens to measure how much of the learned change shows")
        return

    # The slope is the share of the learned change; one that is uncertain may lie further from 1.
    fitted = _line(merged - base, file - base)
    result.figures |= fitted
    result.limits["slope"] = list(SLOPE_RANGE)
    tolerance = STANDARD_ERRORS * fitted["slope_error"]
    if not SLOPE_RANGE[0] - tolerance <= fitted["slope"] <= SLOPE_RANGE[1] + tolerance:
        result.causes.append(f"the file shows {fitted['slope']:.2f} of the learned change in its answers")

    # What the line leaves over is noise, and may be as large as quantizing makes it.
    if cost is not None:
        limit = NOISE_FACTOR * cost.variance + NOISE_MARGIN
        result.limits["residual"] = limit
        result.figures["residual_base"] = cost.variance
        if fitted["residual"] > limit + STANDARD_ERRORS * math.hypot(fitted["residual_error"], NOISE_FACTOR * cost.variance_error):
            result.causes.append(
                f"the file's answers stray from the trained model's more than quantizing explains (residual variance "
                f"{fitted['residual']:.2g}, at most {limit:.2g})"
            )


def _line(x: np.ndarray, y: np.ndarray) -> dict[str, Any]:
    """Least-squares line of y over x: slope, its standard error, R² and the variance of the residuals."""
    dx = x - x.mean()
    dy = y - y.mean()
    spread = float(np.square(dx).sum()) or 1e-30
    slope = float((dx * dy).sum()) / spread
    residual, error = _variance(dy - slope * dx)
    return {
        "slope": slope,
        "slope_error": math.sqrt(residual / spread),
        "r2": 1 - residual / (float(dy.var()) or 1e-30),
        "residual": residual,
        "residual_error": error,
    }
