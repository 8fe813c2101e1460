"""Where the answers of a row stand, by its labels."""

import pytest

from edgetune.data.labels import IGNORE_INDEX, first_answer_start, last_answer_start

NO = IGNORE_INDEX


@pytest.mark.parametrize(
    ("labels", "first", "last"),
    [
        ([NO, NO, 5, 6], 2, 2),
        ([NO, 5, NO, NO, 6, 7], 1, 4),
        ([NO, 5, NO, 6, NO, NO], 1, 3),
        ([5, 6], 0, 0),
        ([NO, NO], None, None),
        ([], None, None),
    ],
)
def test_where_answers_begin(labels: list[int], first: int | None, last: int | None) -> None:
    assert (first_answer_start(labels), last_answer_start(labels)) == (first, last)
