"""Which row comes when: every pass shuffles anew, and a longer run begins like a shorter one."""

import math
import random

from edgetune import methods
from edgetune.config.recipe import Recipe


def total_steps(recipe: Recipe, rows: int) -> int:
    """Updates that a recipe asks for with so many rows."""
    if recipe.max_steps:
        return recipe.max_steps
    asked = recipe.epochs * rows * methods.get(recipe.method).repeats(recipe)
    return max(1, math.ceil(asked / (recipe.batch_size * recipe.gradient_accumulation)))


def row_order(groups: list[list[int]], count: int, seed: int) -> list[int]:
    """`count` row numbers: whole shuffled passes over all groups, the last cut off.

    groups: [start, count, each]: of the `count` rows from `start` every pass takes the next `each`, from the start again when all had
    their turn; so a file's weight is each / count.
    """
    result: list[int] = []
    epoch = 0
    while len(result) < count:
        number = [start + (epoch * each + i) % size for start, size, each in groups for i in range(each)]
        random.Random(f"{seed}/{epoch}").shuffle(number)
        result += number
        epoch += 1
    return result[:count]
