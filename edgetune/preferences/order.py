"""Votes as they are typed: a key for two answers, or the answers' numbers from the best on."""

import re

from edgetune.errors import InputError
from edgetune.preferences.record import Choice

VERDICT_OF_KEY = {"1": "left", "l": "left", "2": "right", "r": "right", "t": "tie", "=": "tie", "b": "bad", "0": "bad"}
"""What a key says of two answers, as the value of a pair's choice."""


def order(text: str, count: int) -> Choice:
    """The choice of keys like "213" or "2=1,3" among `count` answers; those not named are last. InputError for what is no order of them."""
    if text == "0":
        return Choice("pair", "bad") if count == 2 else Choice("ranking", [1] * count)

    # Each answer at most once; "=" joins equal ones.
    plain = re.sub(r"[\s,>]", "", text)
    digits = [int(c) for c in plain if c.isdigit()]
    if not re.fullmatch(r"[1-4](=?[1-4])*", plain) or max(digits) > count or len(set(digits)) != len(digits):
        raise InputError(f"'{text[:20]}' is no order", f"There are {count} answers, each named once at most.", "Write for example 21.")

    # A group of equal answers shares a rank; those that were not named share the last.
    groups = re.findall(r"[1-4](?:=[1-4])*", plain)
    ranks, rank = [0] * count, 1
    for group in groups:
        for digit in group.split("="):
            ranks[int(digit) - 1] = rank
        rank += len(group.split("="))
    ranks = [value or rank for value in ranks]

    if count == 2:
        return Choice("pair", "tie" if ranks[0] == ranks[1] else "left" if ranks[0] < ranks[1] else "right")
    return Choice("ranking", ranks)
