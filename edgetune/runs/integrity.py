"""Whether a run is still what it was made as: its recipe, its base and its rows; and what it ended in."""

import tomllib
from pathlib import Path
from typing import Any

from edgetune import methods
from edgetune.bases.fingerprint import is_base
from edgetune.config.recipe import Recipe, current_names
from edgetune.data.run_data import data_hash
from edgetune.errors import EdgeTuneError, InputError
from edgetune.runs import checkpoints
from edgetune.runs.launch import state
from edgetune.storage.files import sha256
from edgetune.storage.workspace import Run


def recipe_values(run: Run) -> dict[str, Any]:
    """A run's frozen recipe, under the names that options have now. EdgeTuneError: it cannot be read."""
    try:
        return current_names(tomllib.loads(run.recipe_file.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise EdgeTuneError(f"The run {run.name} is damaged", f"recipe.toml: {error}", f"Delete it: edgetune delete {run.name}") from error


def recipe_of(run: Run) -> Recipe:
    """The recipe a run was made with. EdgeTuneError: it cannot be read, or is none."""
    try:
        return Recipe(**recipe_values(run))
    except ValueError as error:
        raise EdgeTuneError(f"The run {run.name} is damaged", f"recipe.toml: {error}", f"Delete it: edgetune delete {run.name}") from error


def base_of(run: Run, request: dict[str, Any]) -> Path:
    """The folder of a run's base. EdgeTuneError where it is not there any more."""
    base = Path(request["base"])
    if not base.is_dir():
        raise EdgeTuneError(
            f"The base of {run.name} is gone",
            f"{base} does not exist any more.",
            f"If the model was moved, name its folder: edgetune rebase {run.name} --base NEW. Otherwise restore it there.",
        )
    return base


def require_unchanged(run: Run, request: dict[str, Any]) -> None:
    """Refuse to go on when the base or the prepared rows are not those the run began with."""
    # Any of these would change what the remaining steps learn without a trace in the run.
    if sha256(run.recipe_file) != request["recipe_hash"]:
        raise EdgeTuneError(
            f"The recipe of {run.name} has changed", "recipe.toml is not as the run began.", "Restore that file, or start a new run."
        )

    # A base that was moved and one that was replaced need different remedies.
    base = base_of(run, request)
    if not is_base(base, request["base_hash"]):
        raise EdgeTuneError(
            f"The base of {run.name} has changed",
            f"{base} is not the model this run began with.",
            f"Restore the earlier model, or name its folder if it was moved: edgetune rebase {run.name} --base NEW. Or start a new run.",
        )

    # Runs of the version before, and those on a plain base, have no parent.
    parent_hash = request.get("parent_hash")
    if parent_hash and (checkpoints.find_damage(run.parent) or sha256(run.parent / checkpoints.MANIFEST) != parent_hash):
        raise EdgeTuneError(
            f"What {run.name} is built on has changed", f"{run.parent} is damaged.", "Start a new run with --from the earlier one."
        )

    # The rows are the run's own copy, so only damage can have changed them.
    if data_hash(run.data) != request["data_hash"]:
        raise EdgeTuneError(f"The rows of {run.name} have changed", f"{run.data} is damaged.", "Start a new run from the data file.")


def require_writer(run: Run, recipe: Recipe) -> None:
    """Refuse a run whose model writes no answers. Raises InputError."""
    if not methods.get(recipe.method).writes_answers:
        raise InputError(
            f"{run.name} is a reward model", "It gives scores, not answers.", f"Rank answers with it: edgetune score {run.name} --data FILE"
        )


def has_result(run: Run, recipe: Recipe) -> bool:
    """Whether a run has a finished, undamaged result."""
    try:
        result_folder(run, recipe)
    except EdgeTuneError:
        return False
    return True


def result_folder(run: Run, recipe: Recipe, instead: str = "") -> Path:
    """The folder of a run's finished, undamaged result: its adapter, or its model where every weight was trained.

    instead: what else can be done where it has none yet, in words. Raises InputError then, and EdgeTuneError where it is damaged.
    """
    folder = run.adapter if recipe.lora else run.model
    if not folder.is_dir():
        raise InputError(
            f"The run {run.name} has no result yet",
            f"Its state is '{state(run).status}'.",
            f"Let it finish: edgetune resume {run.name}{instead}",
        )
    if reason := checkpoints.find_damage(folder):
        raise EdgeTuneError(f"The result of {run.name} is damaged", reason, f"Make it again: edgetune resume {run.name}")
    return folder
