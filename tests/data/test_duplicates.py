"""Duplicates against exact sets of word pairs and a brute-force comparison of all rows."""

import random
import re
import subprocess
import sys
from itertools import combinations, pairwise

import numpy as np
import pytest

from edgetune.data import duplicates

POOL = [a + b + c for a in ("ba", "ko", "li", "mu", "ne", "ro", "si", "ta") for b in ("bar", "kol", "lim", "mun") for c in "aeioumnstr"]


def pairs(text: str) -> set[tuple[str, str]]:
    """Pairs of neighbouring words, the plain way."""
    words = re.findall(r"[a-z0-9]+", text.lower())
    return set(pairwise(words))


def jaccard(left: str, right: str) -> float:
    """The exact overlap of two texts' word pairs."""
    a, b = pairs(left), pairs(right)
    return len(a & b) / len(a | b)


def changed(text: str, share: float, chance: random.Random) -> str:
    """A copy with a share of its words substituted."""
    words = text.split()
    for position in chance.sample(range(len(words)), round(share * len(words))):
        words[position] = f"new{chance.randrange(10**6)}"
    return " ".join(words)


def search(texts: list[str]) -> tuple[list[list[int]], list[list[int]]]:
    """Both kinds of groups of some texts."""
    return duplicates.groups([duplicates.digest(t) for t in texts], duplicates.signatures(texts))


@pytest.fixture(scope="module")
def family() -> list[str]:
    """300 rows and a copy of each, with 0 to 60 % of its words substituted."""
    chance = random.Random(3)
    rows = [" ".join(chance.choices(POOL, k=chance.randint(40, 150))) for _ in range(300)]
    return rows + [changed(row, 0.6 * number / 300, chance) for number, row in enumerate(rows)]


def test_signatures_estimate_the_exact_overlap(family: list[str]) -> None:
    signed = duplicates.signatures(family)
    estimated = duplicates.overlap(signed[:300], signed[300:])
    exact = np.array([jaccard(a, b) for a, b in zip(family[:300], family[300:], strict=True)])
    error = estimated - exact
    assert abs(error.mean()) < 0.01
    assert error.std() < 0.065  # sqrt(J(1 - J) / 64) is at most 0.0625
    assert np.abs(duplicates.overlap(signed[:150], signed[150:300]).mean()) < 0.01


def test_near_groups_agree_with_a_comparison_of_all_rows(family: list[str]) -> None:
    exact, near = search(family)
    group = {row: number for number, rows in enumerate(exact + near) for row in rows}
    for left, right in combinations(range(len(family)), 2):
        together = group.get(left, -1) == group.get(right, -2)
        if together:
            assert jaccard(family[left], family[right]) > 0.5
        elif right == left + 300:
            assert jaccard(family[left], family[right]) < 0.87


def test_planted_copies_are_found() -> None:
    chance = random.Random(5)
    rows = [" ".join(chance.choices(POOL, k=chance.randint(20, 200))) for _ in range(2000)]
    copies = [changed(row, 0.05, chance) for row in rows[:200]]
    exact, near = search(rows + copies)
    groups_ = {tuple(rows_) for rows_ in exact + near}
    assert sum((number, 2000 + number) in groups_ for number in range(200)) >= 190
    assert all(row < 200 or row >= 2000 for rows_ in groups_ for row in rows_)


def test_exact_ones_ignore_case_and_white_space_and_count_once() -> None:
    text = "The quick brown fox jumps over the lazy dog again and again today"
    texts = [text, "something else entirely", text.upper(), text.replace(" ", "\n  "), text + "."]
    exact, near = search(texts)
    assert exact == [[0, 2, 3]]
    assert near == [[0, 4]], "a near group holds a text's first row only"


@pytest.mark.parametrize(
    "left, right",
    [
        ("What is 2+3?", "What is 2+4?"),
        ("What is 2+3? 5", "What is 2+4? 6"),
        ("What is the capital of France? The capital of France is Paris.", "What is the capital of Spain? The capital of Spain is Madrid."),
        ("Tom has 3 apples and buys 14 more at the market. How many?", "Tom has 5 apples and buys 14 more at the market. How many?"),
        ("", ""),
        ("???", "!!!"),
    ],
)
def test_short_rows_are_not_called_near(left: str, right: str) -> None:
    assert search([left, right])[1] == []


def test_short_rows_that_differ_where_it_matters() -> None:
    """Each differs from the next in one place of seven, or in its numbers alone: by words in common, half of them would be near."""
    texts = [f"Please give me a synonym of {word}" for word in POOL[:60]]
    numbers = [f"Tom has {n} apples and buys a few more of them at the market on his way home." for n in range(60)]
    assert search(texts + numbers)[1] == []


def test_scripts_without_spaces() -> None:
    text = "今天天气很好，我们一起去公园散步吧。公园里有很多花，孩子们在草地上玩耍，老人们在树下聊天。"  # noqa: RUF001
    other = "人工智能是计算机科学的一个分支，它企图了解智能的实质，并生产出一种新的机器。"  # noqa: RUF001
    assert search([text, text.replace("公园里", "花园里"), other])[1] == [[0, 1]]


def test_a_template_filled_in_thousands_of_times_stays_cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    chance = random.Random(7)
    body = chance.choices(POOL, k=80)
    rows = [" ".join([*body, f"name{number}", *body[::-1]]) for number in range(3000)]
    compared = 0
    inner = duplicates.close_enough

    def count(signed: np.ndarray, rows: np.ndarray, other_signed: np.ndarray, other_rows: np.ndarray) -> np.ndarray:
        nonlocal compared
        compared += len(rows)
        return inner(signed, rows, other_signed, other_rows)

    monkeypatch.setattr(duplicates, "close_enough", count)
    exact, near = search(rows)
    assert (exact, near) == ([], [list(range(3000))])
    assert compared < 20 * 3000, "not all with all, which would be four and a half million"


def test_one_row_thousands_of_times() -> None:
    exact, near = search(["all the same words over and over again in every row"] * 3000)
    assert (exact, near) == ([list(range(3000))], [])


def test_shared_between_training_and_validation(family: list[str]) -> None:
    train, held = family[:300], [*family[310:320], family[5].upper(), family[300 + 299], "What is 2+3?"]
    exact, near = duplicates.shared(*print_of([*train, "What is 2+4?"]), *print_of(held))
    assert exact == {10: 5}
    assert near == {number: 10 + number for number in range(10)}
    assert duplicates.shared(*print_of([]), *print_of(held)) == ({}, {})
    assert duplicates.shared(*print_of(train), *print_of([])) == ({}, {})


def print_of(texts: list[str]) -> tuple[list[int], np.ndarray]:
    """Digests and signatures."""
    return [duplicates.digest(t) for t in texts], duplicates.signatures(texts)


def test_same_in_every_process_and_small() -> None:
    text = "one two three four five six seven eight nine ten élève 学校 \ud800"
    code = f"from edgetune.data import duplicates as d; t = {text!r}; print(d.digest(t), d.signatures([t]).tobytes().hex())"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"PYTHONHASHSEED": "9"}).stdout
    signed = duplicates.signatures([text])
    assert out.split() == [str(duplicates.digest(text)), signed.tobytes().hex()]
    assert signed[0].nbytes + 8 <= 100


def test_no_rows() -> None:
    assert duplicates.signatures([]).shape == (0, duplicates.SIGNATURE_BYTES)
    assert search([]) == ([], [])
