"""Which tokens of a row are trained on: the label that says no, and where the answers stand."""

from collections.abc import Sequence

IGNORE_INDEX = -100
"""The label of a token that is not trained on (torch's cross-entropy)."""


def first_answer_start(labels: Sequence[int]) -> int | None:
    """Index of the first token that is trained on; None where there is none."""
    return next((index for index, label in enumerate(labels) if label != IGNORE_INDEX), None)


def last_answer_start(labels: Sequence[int]) -> int | None:
    """Where the last stretch of tokens begins that are trained on, whatever follows it; None where there is none."""
    start = len(labels)
    while start > 0 and labels[start - 1] == IGNORE_INDEX:
        start -= 1
    if not start:
        return None
    while start > 0 and labels[start - 1] != IGNORE_INDEX:
        start -= 1
    return start
