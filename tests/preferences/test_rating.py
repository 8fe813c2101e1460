"""Intervals and ratings against published figures, and what they let one say."""

import math

import pytest

from edgetune.preferences.rating import ELO, bradley_terry, share, verdict
from edgetune.wilson import Z95

BASEBALL = {
    # Wins of the American League's East in 1987, each pair 13 games (Agresti, Categorical Data Analysis, section 10.6).
    "Milwaukee": {"Detroit": 7, "Toronto": 9, "New York": 7, "Boston": 7, "Cleveland": 9, "Baltimore": 11},
    "Detroit": {"Milwaukee": 6, "Toronto": 7, "New York": 5, "Boston": 11, "Cleveland": 9, "Baltimore": 9},
    "Toronto": {"Milwaukee": 4, "Detroit": 6, "New York": 7, "Boston": 7, "Cleveland": 8, "Baltimore": 12},
    "New York": {"Milwaukee": 6, "Detroit": 8, "Toronto": 6, "Boston": 6, "Cleveland": 7, "Baltimore": 10},
    "Boston": {"Milwaukee": 6, "Detroit": 2, "Toronto": 6, "New York": 7, "Cleveland": 7, "Baltimore": 12},
    "Cleveland": {"Milwaukee": 4, "Detroit": 4, "Toronto": 5, "New York": 6, "Boston": 6, "Baltimore": 6},
    "Baltimore": {"Milwaukee": 2, "Detroit": 4, "Toronto": 1, "New York": 3, "Boston": 1, "Cleveland": 7},
}
PUBLISHED = {
    # Abilities over Baltimore's without home advantage (Turner and Firth, BradleyTerry2, J. Stat. Software 48(9), 2012).
    "Boston": 1.1077,
    "Cleveland": 0.6839,
    "Detroit": 1.4364,
    "Milwaukee": 1.5814,
    "New York": 1.2476,
    "Toronto": 1.2945,
}


@pytest.mark.parametrize(
    ("successes", "total", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_gives_the_published_intervals(successes: int, total: int, low: float, high: float) -> None:
    """Newcombe, Statistics in Medicine 17, 1998, table I, method 3."""
    found = share(successes, total)
    assert (round(found.low, 4), round(found.high, 4)) == (low, high)
    assert found.value == successes / total


def test_nothing_counted_says_nothing() -> None:
    found = share(0, 0)
    assert (found.value, found.low, found.high) == (0.5, 0, 1)


def test_bradley_terry_gives_the_published_abilities() -> None:
    found = bradley_terry({(one, other): wins for one, row in BASEBALL.items() for other, wins in row.items()})
    assert not found.smoothed
    base = found.by_model["Baltimore"].value
    for team, ability in PUBLISHED.items():
        assert (found.by_model[team].value - base) / ELO == pytest.approx(ability, abs=5e-4), team
    assert sum(rating.value for rating in found.by_model.values()) == pytest.approx(0, abs=1e-9)


def test_two_models_have_the_interval_of_their_log_odds() -> None:
    """Two ratings differ by the logit of the win rate, whose variance is 1 / (n p (1 - p)); each has half of the difference."""
    found = bradley_terry({("a", "b"): 30, ("b", "a"): 10}).by_model
    assert found["a"].value - found["b"].value == pytest.approx(ELO * math.log(3))
    error = math.sqrt(1 / 30 + 1 / 10) / 2
    assert found["a"].high - found["a"].value == pytest.approx(ELO * Z95 * error)


def test_a_model_that_won_all_gets_a_finite_rating_and_it_is_said() -> None:
    found = bradley_terry({("a", "b"): 10, ("b", "a"): 0, ("b", "c"): 5, ("c", "b"): 5})
    assert found.smoothed and all(math.isfinite(r.value + r.low + r.high) for r in found.by_model.values())
    assert found.by_model["a"].value > found.by_model["b"].value == pytest.approx(found.by_model["c"].value)


@pytest.mark.parametrize(("wins", "word"), [(10, "no difference"), (14, "no difference"), (16, "a is better"), (4, "b is better")])
def test_better_is_said_only_when_the_interval_leaves_out_even(wins: int, word: str) -> None:
    found = share(wins, 20)
    assert word in verdict("a", "b", found)
    assert ("better" in verdict("a", "b", found)) == (not found.low <= 0.5 <= found.high)
