"""What a run that goes on from an earlier one takes from it: base, adapter, date, and the line of runs before it."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgetune import methods
from edgetune.bases import find
from edgetune.config.recipe import Recipe
from edgetune.errors import InputError
from edgetune.runs import checkpoints
from edgetune.runs.integrity import base_of, recipe_of, result_folder
from edgetune.storage.files import sha256
from edgetune.storage.workspace import Workspace
from edgetune.training import stacked_adapter


@dataclass(frozen=True)
class Earlier:
    """An earlier run's result. adapter: None where it trained every weight; its model is then the base. date: the day its template tells.

    lineage: the runs before, oldest first: name, method, votes it learned from in words, hash of the result's manifest.
    """

    base: Path
    adapter: Path | None
    date: str
    lineage: list[dict[str, Any]] = field(default_factory=list)


def find_earlier(recipe: Recipe, workspace: Workspace) -> Earlier:
    """The run that a recipe goes on from. Raises InputError or EdgeTuneError where it has no sound result, or another base."""
    run = workspace.run(recipe.from_run)
    request = run.request()
    result = result_folder(run, recipe_of(run))

    # After full fine-tuning the result is itself a base; otherwise it is an adapter on the earlier run's base.
    base = base_of(run, request) if result == run.adapter else run.model
    if recipe.base and find.resolve_base(recipe.base) != base.resolve():
        raise InputError(
            "--base and --from do not go together", f"{run.name} was trained on {request['base']}.", "Leave --base out: it is that run's."
        )

    # Both adapters must end in one: only plain LoRA updates can be added up.
    if result == run.adapter:
        stacked_adapter.check_stackable(run.adapter)
        if recipe.dora:
            raise InputError("--dora and --from do not go together", "A DoRA adapter cannot be added to another.", "Leave --dora out.")

    if not recipe.lora:
        raise InputError("--no-lora and --from do not go together", "What is added to a run is an adapter.", "Leave --no-lora out.")
    if not methods.get(recipe.method).continues_runs:
        raise InputError("A reward model is built on a base", "It gives scores, not answers.", "Leave --from out and name --base.")

    # A score head is of no use to a method that trains answers.
    method = methods.of(request)
    if not method.writes_answers:
        raise InputError(f"{run.name} is a reward model", "It gives scores, not answers.", "Name a run that writes answers with --from.")

    # The hash keeps apart results of one name: a run may be extended, and built on again.
    own = {"run": run.name, "method": method.name, "votes": request.get("votes", []), "result": sha256(result / checkpoints.MANIFEST)}
    line = [*request.get("lineage", []), own]
    return Earlier(base, run.adapter if result == run.adapter else None, request["template_date"], line)
