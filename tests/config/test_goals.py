"""Goals against what they stand on: the methods' own kinds of examples, and recipes that can be made."""

import pytest

from edgetune import methods
from edgetune.config import goals
from edgetune.config.recipe import build_recipe


@pytest.mark.parametrize("wish", goals.GOALS, ids=lambda wish: wish.name)
def test_a_goals_method_takes_its_examples_and_its_recipe_is_valid(wish: goals.Goal) -> None:
    method = methods.get(wish.method)
    assert set(wish.kinds) <= set(method.row_kinds)
    for rows in (0, 40, 200, 1500):
        recipe, _ = build_recipe({"method": wish.method, **wish.options}, None, goals.goal_preset(wish, rows))
        assert recipe.method == wish.method


def test_the_preset_follows_the_number_of_pairs() -> None:
    wish = goals.goal("prefer")
    assert [goals.goal_preset(wish, rows) for rows in (0, 40, 200, 1500)] == ["pairs-200", "pairs-50", "pairs-200", "pairs-1000"]


def test_what_the_examples_cannot_give_is_said() -> None:
    assert "yours are plain text" in goals.find_goal_problem(goals.goal("prefer"), "text") and not goals.find_goal_problem(
        goals.goal("judge"), "unpaired"
    )
    assert goals.find_goal_problem(goals.goal("prefer"), "unpaired") and not goals.find_goal_problem(goals.goal("prefer"), "")
