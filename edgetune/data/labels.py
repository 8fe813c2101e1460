"""Which tokens of a row are trained on: the label that says no, and where the answers stand."""

from collections.abc import Sequence

IGNORE_INDEX = -100
"""The label of a token that is not trained on (torch's cross-entropy)."""


def first_answer_start(labels: Sequence[int]) -> int | None:
    """Where the first token stands that is trained on; None where there is none."""
    return next((place for place, label in enumerate(labels) if label != IGNORE_INDEX), None)


def last_answer_start(labels: Sequence[int]) -> int | None:
    """Where the last stretch of tokens begins that are trained on, whatever follows it; None where there is none."""
    place = len(labels)
    while place > 0 and labels[place - 1] == IGNORE_INDEX:
        place -= 1
    if not place:
        return None
    while place > 0 and labels[place - 1] != IGNORE_INDEX:
        place -= 1
    return place
