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
        places = [i for i in range(1, len(row.ids)) if row.labels[i] != IGNORE_INDEX]
        parts.append(table[[i - 1 for i in places], [row.ids[i] for i in places]].astype(np.float64))
    return np.concatenate(parts) if parts else np.zeros(0)


def measure_noise(rows: list[ProofRow], base: list[np.ndarray], base_file: list[np.ndarray]) -> QuantizationNoise:
    """Measure what quantizing does to the base, on the same rows."""
    change, kl = answer_log_probs(rows, base_file) - answer_log_probs(rows, base), distance(base, base_file).kl
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
    found = distance(merged, file)
    ours, theirs = answer_log_probs(rows, merged), answer_log_probs(rows, file)
    result.figures = found.figures() | {
        "answer_tokens": len(ours),
        "perplexity": _perplexity(ours),
        "perplexity_file": _perplexity(theirs),
    }
    if not math.isfinite(result.figures["kl_mean"]):
        result.causes.append("the file's predictions are not finite numbers")
        return result
    if cost is not None:
        limit = NOISE_FACTOR * cost.kl + NOISE_MARGIN
        result.limits["kl_mean"] = limit
        result.figures["kl_base"] = cost.kl
        if found.kl.mean() > limit + STANDARD_ERRORS * math.hypot(_mean_error(found.kl), NOISE_FACTOR * cost.kl_error):
            result.causes.append(
                f"the file's answers are further from the trained model's than quantizing explains (mean KL {found.kl.mean():.2g}; "
                f"the base loses {cost.kl:.2g} the same way)"
            )
    if base is not None:
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
    fitted = _line(merged - base, file - base)
    result.figures |= fitted
    result.limits["slope"] = list(SLOPE_RANGE)
    blur = STANDARD_ERRORS * fitted["slope_error"]
    if not SLOPE_RANGE[0] - blur <= fitted["slope"] <= SLOPE_RANGE[1] + blur:
        result.causes.append(f"the file shows {fitted['slope']:.2f} of the learned change in its answers")
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
    dx, dy = x - x.mean(), y - y.mean()
    spread = float(np.square(dx).sum()) or 1e-30
    slope = float((dx * dy).sum()) / spread
    left = dy - slope * dx
    residual, error = _variance(left)
    return {
        "slope": slope,
        "slope_error": math.sqrt(residual / spread),
        "r2": 1 - residual / (float(dy.var()) or 1e-30),
        "residual": residual,
        "residual_error": error,
    }
