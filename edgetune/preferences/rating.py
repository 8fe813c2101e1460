"""From votes to numbers: win rate with its interval, and Bradley-Terry ratings of several models with theirs."""

import math
from dataclasses import dataclass

from edgetune.wilson import Z95, wilson

ELO = 400 / math.log(10)
"""Points for one unit of log-odds, so that 400 points are odds of ten to one (Elo 1978)."""


@dataclass(frozen=True)
class Share:
    """A share of `total` with its 95 % interval."""

    value: float
    low: float
    high: float
    total: float


def share(successes: float, total: float) -> Share:
    """A share with Wilson's interval. Half a success, a tie, is allowed; the interval is then wider than needed.

    With nothing counted the share is even and the interval everything.
    """
    return Share(successes / total if total > 0 else 0.5, *wilson(successes, total), total)


@dataclass(frozen=True)
class Rating:
    """A model's rating in Elo points around a mean of 0, with its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Ratings:
    """Ratings by model. smoothed: a model won or lost all, so half a tie was added to every compared two to keep its rating finite."""

    by_model: dict[str, Rating]
    smoothed: bool


def bradley_terry(wins: dict[tuple[str, str], float]) -> Ratings:
    """Ratings by maximum likelihood: P(i beats j) = 1 / (1 + exp(b_j - b_i)) (Bradley and Terry, Biometrika 39, 1952).

    wins[(i, j)]: how often i was preferred to j, a tie counting half for each. Newton's method on the concave log-likelihood; intervals
    from the inverse Fisher information under a mean of 0. Where the best split of models never meets a win against it (Ford 1957) no
    finite maximum exists; then it is smoothed. Models never compared, even through others, cannot be placed against each other.
    """
    import numpy as np

    names = list(dict.fromkeys(name for pair in wins for name in pair))
    index = {name: number for number, name in enumerate(names)}
    won = np.zeros((len(names), len(names)))
    for (one, other), count in wins.items():
        won[index[one], index[other]] += count
    smoothed = not _strongly_connected(won > 0)
    if smoothed:
        won += 0.5 * ((won + won.T) > 0)
    games = won + won.T

    def likelihood(b: "np.ndarray") -> float:
        return float(-(won * np.logaddexp(0, b[None, :] - b[:, None])).sum())

    strength = np.zeros(len(names))
    for _ in range(100):
        chance = 1 / (1 + np.exp(strength[None, :] - strength[:, None]))
        gradient = won.sum(1) - (games * chance).sum(1)
        weight = games * chance * (1 - chance)
        information = np.diag(weight.sum(1)) - weight
        step = np.linalg.pinv(information, hermitian=True) @ gradient
        while np.abs(step).max(initial=0) > 1e-12 and likelihood(strength + step) < likelihood(strength) - 1e-9:
            step = step / 2
        strength = strength + step
        if np.abs(step).max(initial=0) < 1e-10:
            break
    strength -= strength.mean() if len(names) else 0.0
    error = np.sqrt(np.clip(np.diag(np.linalg.pinv(information, hermitian=True)), 0, None)) if names else []
    rated = {
        name: Rating(float(b * ELO), float((b - Z95 * e) * ELO), float((b + Z95 * e) * ELO))
        for name, b, e in zip(names, strength, error, strict=True)
    }
    return Ratings(rated, smoothed)


def _strongly_connected(beats: "object") -> bool:
    """Whether every model is reached from every other along wins: then, and only then, a finite maximum exists."""
    import numpy as np

    reach = np.asarray(beats, dtype=bool) | np.eye(len(np.asarray(beats)), dtype=bool)
    for _ in range(len(reach)):
        reach = (reach.astype(int) @ reach.astype(int)) > 0
    return bool(reach.all())


def verdict(one: str, other: str, share: Share) -> str:
    """What a win rate of `one` over `other` lets one say: better only when the interval excludes 50 %."""
    if share.low > 0.5:
        return f"{one} is better than {other}"
    if share.high < 0.5:
        return f"{other} is better than {one}"
    return f"no difference shown between {one} and {other}: the interval covers 50 %"
