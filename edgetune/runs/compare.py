"""Two runs beside each other: what was asked for differently, and what came of it."""

import tomllib
from typing import Any

from edgetune.config.recipe import current_names
from edgetune.errors import EdgeTuneError
from edgetune.runs.history import History
from edgetune.storage.workspace import Run


def recipe(run: Run) -> dict[str, Any]:
    """A run's frozen recipe, under the names that options have now. EdgeTuneError: it cannot be read."""
    try:
        return current_names(tomllib.loads(run.recipe_file.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise EdgeTuneError(f"The run {run.name} is damaged", f"recipe.toml: {error}", f"Delete it: edgetune delete {run.name}") from error


def differences(one: Run, other: Run) -> list[tuple[str, Any, Any]]:
    """Options of the recipe in which two runs differ, in the recipe's order; None where one is not set."""
    first, second = recipe(one), recipe(other)
    names = dict.fromkeys([*first, *second])
    return [(name, first.get(name), second.get(name)) for name in names if first.get(name) != second.get(name)]


def results(history: History) -> dict[str, Any]:
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
