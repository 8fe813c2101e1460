"""Which row comes when: every pass shuffles anew, and a longer run begins like a shorter one."""

import math
import random

from edgetune.recipe import Recipe


def steps(recipe: Recipe, rows: int) -> int:
    """Updates that a recipe asks for with so many rows."""
    if recipe.steps:
        return recipe.steps
    return max(1, math.ceil(recipe.epochs * rows / (recipe.batch * recipe.accumulation)))


def order(rows: int, count: int, seed: int, replay: int = 0, each: int = 0) -> list[int]:
    """`count` row numbers: whole shuffled passes over all rows, the last cut off.

    Behind the `rows` lie `replay` more, of which every pass takes the next `each`, from the start again when all had their turn.
    """
    result: list[int] = []
    epoch = 0
    while len(result) < count:
        one = [*range(rows), *(rows + (epoch * each + i) % replay for i in range(each))]
        random.Random(f"{seed}/{epoch}").shuffle(one)
        result += one
        epoch += 1
    return result[:count]
