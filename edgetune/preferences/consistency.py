"""How consistent a person's votes are, and how many votes are worth having."""

from collections.abc import Iterable
from dataclasses import dataclass

from edgetune.preferences.rating import Share, share
from edgetune.preferences.record import Vote

WORTH = (
    (30, "too few to train on"),
    (50, "a first taste: enough to see whether tuning moves anything"),
    (200, "a clear direction: what most people need"),
    (1000, "steady results, also for finer tastes; beyond this, more votes add little"),
)
"""Pairs, and what so many are worth."""


@dataclass(frozen=True)
class Consistency:
    """Of `compared` preferences that were asked again with the answers swapped, `same` came out the same. share: with a 95 % interval."""

    same: int
    compared: int
    share: Share


def consistency(votes: Iterable[Vote]) -> Consistency:
    """Compare repeated votes with those they repeat, pair by pair; a preference that became a tie is not the same."""
    by_id = {vote.id: vote for vote in votes}
    same = compared = 0
    for again in by_id.values():
        first = by_id.get(again.about.get("repeats", ""))
        if first is None or again.choice.type == "skip":
            continue
        repeated = [(good.completion, bad.completion) for good, bad in again.pairs()]
        original = [(good.completion, bad.completion) for good, bad in first.pairs()]
        compared += len(original)
        same += sum(pair in repeated for pair in original)
    return Consistency(same, compared, share(same, compared))


def worth(pairs: int) -> str:
    """What so many pairs are worth, and how many to the next mark."""
    marks = [mark for mark, _ in WORTH]
    reached = [text for mark, text in WORTH if pairs >= mark]
    few = WORTH[0][1] if pairs < marks[0] else "few: expect little"
    rating = reached[-1] if pairs >= marks[1] else few
    next_mark = next((mark for mark in marks[1:] if pairs < mark), None)
    return f"{pairs} pairs: {rating}" + (f"; {next_mark - pairs} more to {next_mark:,}" if next_mark else "")
