"""What happens to runs besides training them: described, renamed, deleted, resumed, and cleared of what can be made again."""

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from edgetune import methods
from edgetune.errors import EdgeTuneError, InputError
from edgetune.runs import launch
from edgetune.runs.events import State
from edgetune.storage.files import folder_bytes, safe_name, write_json
from edgetune.storage.workspace import FAILED_SUFFIX, Run, Workspace, remove


def summarize_run(run: Run) -> dict[str, Any]:
    """One run in plain values."""
    # The keys are the --json interface of 'edgetune runs' and 'show': scripts rely on them.
    request, state = run.request(), launch.state(run)
    return {
        "name": run.name,
        "status": state.status,
        "base": request["base"],
        "base_name": request["base_name"],
        "data": request["data"],
        "votes": request.get("votes", []),
        "method": request.get("method", methods.DEFAULT),
        "lineage": request.get("lineage", []),
        "accuracy": state.accuracy,
        "base_accuracy": state.base_accuracy,
        "warnings": state.warnings,
        "step": state.step,
        "steps": request["steps"],
        "loss": state.loss,
        "base_loss": state.base_loss,
        "eval_loss": state.eval_loss,
        "best_loss": state.best_loss,
        "best_step": state.best_step,
        "tokens_per_second": state.tokens_per_second,
        "eta": state.eta,
        "seconds": round(state.seconds, 1),
        "read": request["read"],
        "kept": request["kept"],
        "rejected": request["rejected"],
        "held_out": request["held_out"],
        "device": request["device"],
        "dtype": request["dtype"],
        "bytes": run.size(),
        "folder": str(run.folder),
        "exports": [str(path) for path in exports(run)],
        "error": state.error,
    }


def exports(run: Run) -> list[Path]:
    """A run's finished GGUF files, without those that failed their proof."""
    return sorted(path for path in run.exports.glob("*.gguf") if not path.name.endswith(FAILED_SUFFIX)) if run.exports.is_dir() else []


def adapters(run: Run) -> list[Path]:
    """A run's adapter as GGUF LoRA files, of any type: those of its GGUF files that hold no model."""
    return [path for path in exports(run) if path.name.startswith(f"{run.name}-lora-") and not path.with_suffix(".json").is_file()]


def export_records(run: Run) -> list[dict[str, Any]]:
    """What was noted of a run's GGUF files when they were written: type, bytes, and whether they were proven."""
    records = []
    for path in exports(run):
        with suppress(OSError, ValueError):
            note = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
            if isinstance(note, dict) and {"type", "bytes"} <= note.keys():
                records.append(note)
    return records


def idle(run: Run) -> Run:
    """The run itself; an EdgeTuneError while a worker uses its folder."""
    if launch.alive(run.folder):
        raise EdgeTuneError(f"{run.name} is running", "A worker uses its folder.", f"Stop it first: edgetune stop {run.name}")
    return run


def rename_run(workspace: Workspace, name: str, new_name: str) -> Run:
    """Give a run that no worker uses another name; its exports, which are named after it, go with it."""
    run = idle(workspace.run(name))
    target = workspace.runs_folder / workspace.new_name(safe_name(new_name), "")
    run.folder.rename(target)
    renamed = Run(target)
    for path in sorted(renamed.exports.glob(f"{run.name}-*")) if renamed.exports.is_dir() else []:
        if path.is_file():
            path.rename(path.with_name(renamed.name + path.name.removeprefix(run.name)))
    for path in exports(renamed):
        with suppress(OSError, ValueError):
            note = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
            write_json(path.with_suffix(".json"), {**note, "path": str(path)})
    return renamed


def delete_run(workspace: Workspace, name: str) -> int:
    """Delete a run that no worker uses, with all it made; the bytes that are free now."""
    run = idle(workspace.run(name))
    size = run.size()
    remove(run.folder)
    return size


def _quiet(_: str) -> None:
    """For whom no note matters."""


def readable(workspace: Workspace, note: Callable[[str], None] = _quiet) -> Iterator[tuple[Run, dict[str, Any], State]]:
    """Every run with its request and its state, oldest first; a damaged one is left out, and `note` is told its name and the reason."""
    for run in workspace.runs():
        try:
            entry = run, run.request(), launch.state(run)
        except (EdgeTuneError, OSError) as error:
            cause = error.cause if isinstance(error, EdgeTuneError) else str(error)
            note(f"{run.name} is damaged and left out: {cause}")
        else:
            yield entry


def prunable(workspace: Workspace, note: Callable[[str], None] = _quiet) -> dict[Path, int]:
    """What can go, with its bytes: old checkpoints of finished runs (the newest and the best stay), files that failed their proof, caches,
    leftovers of interruptions. note: told of each damaged run, of which nothing goes."""
    from edgetune.bases import fetch
    from edgetune.runs.checkpoints import list_checkpoints

    caches = [folder for folder in workspace.caches if folder.is_dir()]
    cached = sorted(p for folder in caches for p in folder.iterdir() if not p.name.startswith("."))
    victims = workspace.leftovers() + [p for p in cached if p.parent != workspace.fetch_cache or not fetch.is_being_fetched(p)]
    for run, _, state in readable(workspace, note):
        if state.status == "finished" and not launch.alive(run.folder):
            victims += [c.folder for c in list_checkpoints(run.checkpoints)[:-1] if c.step != state.best_step]
            victims += sorted(run.exports.glob(f"*{FAILED_SUFFIX.removesuffix('.gguf')}.*"))
    return {path: folder_bytes(path) for path in victims}


def remove_paths(paths: Iterable[Path]) -> None:
    """Remove what `prunable` found."""
    for path in paths:
        remove(path)


def prepare_resume(run: Run, steps: int | None = None) -> None:
    """Check that a run can go on, and set its new total of steps. Raises EdgeTuneError or InputError with the reason why not."""
    # Two workers on one run would overwrite each other's checkpoints.
    if launch.alive(run.folder):
        raise EdgeTuneError(f"{run.name} is running already", "A worker owns it.", f"Stop it first: edgetune stop {run.name}")

    # Imported late: listing runs should not load what checks them.
    from edgetune.runs.integrity import has_result, recipe_of

    request, state = run.request(), launch.state(run)

    # Fewer steps than are done would leave nothing to train, and a result that no one asked for.
    if steps is not None:
        if steps <= state.step and steps < request["steps"]:
            raise InputError(
                f"--max-steps {steps} is fewer than the run has already done",
                f"{run.name} is at step {state.step} of {request['steps']}.",
                "Give a larger total.",
            )
        stored = json.loads(run.request_file.read_text(encoding="utf-8"))  # not `request`, in which a moved base has its new folder
        write_json(run.request_file, {**stored, "steps": steps})
    elif state.status == "finished" and has_result(run, recipe_of(run)):
        raise InputError(
            f"{run.name} is finished",
            f"It did all {state.total} steps.",
            f"Extend it with --max-steps, for example --max-steps {2 * state.total}.",
        )
