"""Two runs beside each other: what was asked for differently, and what came of it."""

from typing import Any

from edgetune.runs.history import History
from edgetune.runs.integrity import recipe_values
from edgetune.storage.workspace import Run


def recipe_differences(first_run: Run, second_run: Run) -> list[tuple[str, Any, Any]]:
    """Options of the recipe in which two runs differ, in the recipe's order; None where one is not set."""
    first_values, second_values = recipe_values(first_run), recipe_values(second_run)
    names = dict.fromkeys([*first_values, *second_values])
    return [(name, first_values.get(name), second_values.get(name)) for name in names if first_values.get(name) != second_values.get(name)]


def run_results(history: History) -> dict[str, Any]:
    """What came of a run."""
    state = history.state
    return {
        "status": history.status,
        "steps": state.step,
        "held-out loss before": state.base_loss,
        "best held-out loss": state.best_loss,
        "at step": state.best_step or None,
        "last loss": state.loss,
        "seconds of training": round(state.seconds, 1),
    }
