"""`edgetune runs`, `show`, `stop`, `rename`, `delete`, `prune`, `disk`: what happens to runs besides training them."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from edgetune.cli.flags import JsonFlag, WorkspaceFlag, YesFlag, confirm
from edgetune.cli.show import number, say, seconds, table
from edgetune.errors import EdgeTuneError
from edgetune.files import folder_bytes, human, safe_name
from edgetune.jobs import launch
from edgetune.text import one_line, safe_text
from edgetune.workspace import Run, remove, workspace

RunName = Annotated[str, typer.Argument(metavar="RUN", help="Name of the run.", show_default=False)]


def summary(run: Run) -> dict[str, Any]:
    """One run in plain values."""
    request, state = run.request(), launch.state(run)
    exports = sorted(str(p) for p in run.exports.glob("*.gguf")) if run.exports.is_dir() else []
    return {
        "name": run.name,
        "status": state.status,
        "base": request["base"],
        "base_name": request["base_name"],
        "data": request["data"],
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
        "exports": exports,
        "error": state.error,
    }


def runs(as_json: JsonFlag = False, workspace_path: WorkspaceFlag = None) -> None:
    """List all runs with their state.

    Example: edgetune runs
    """
    found = []
    for run in workspace(workspace_path).runs():
        try:
            found.append(summary(run))
        except EdgeTuneError as error:
            say(f"{error.title}. {error.cause} {error.remedy}")
    if as_json:
        typer.echo(json.dumps(found, ensure_ascii=False))
    elif not found:
        typer.echo("There are no runs yet. Begin with: edgetune demo")
    else:
        typer.echo(
            table(
                [
                    [
                        r["name"],
                        r["status"],
                        f"{r['step']}/{r['steps']}",
                        number(r["base_loss"]),
                        number(r["best_loss"]),
                        r["base_name"],
                        human(r["bytes"]),
                    ]
                    for r in found
                ],
                ["run", "state", "step", "loss before", "best", "base", "size"],
            )
        )


def show(name: RunName, as_json: JsonFlag = False, workspace_path: WorkspaceFlag = None) -> None:
    """Show one run: recipe with the source of every value, results, sample answers.

    Example: edgetune show mine
    """
    run = workspace(workspace_path).run(name)
    facts, state = summary(run), launch.state(run)
    recipe = (run.folder / "recipe.toml").read_text(encoding="utf-8")
    if as_json:
        typer.echo(json.dumps({**facts, "recipe": recipe, "samples": state.samples}, ensure_ascii=False))
        return
    typer.echo(
        f"{name}: {facts['status']}, step {facts['step']} of {facts['steps']}, "
        f"{seconds(facts['seconds'])} of training, {human(facts['bytes'])} on disk"
    )
    if facts["eta"] is not None and facts["status"] == "running":
        typer.echo(f"  {seconds(facts['eta'])} left at {facts['tokens_per_second']} tokens/s")
    typer.echo(
        f"  base {one_line(facts['base'], 300)}\n"
        f"  rows {facts['read']} read, {facts['kept']} kept, {facts['rejected']} left out, {facts['held_out']} held out"
    )
    typer.echo(f"  held-out loss {number(facts['base_loss'])} before, {number(facts['best_loss'])} at best (step {facts['best_step']})")
    for path in facts["exports"]:
        typer.echo(f"  export {path}")
    if facts["error"]:
        typer.echo(f"  failed: {one_line(facts['error']['title'])}: {one_line(facts['error']['cause'], 300)}")
    last = state.samples[-1]["step"] if state.samples else 0
    for sample in state.samples:
        if sample["step"] in (0, last):
            typer.echo(f"  at step {sample['step']}: {one_line(sample['prompt'], 60)} → {one_line(sample['answer'], 100)}")
    typer.echo("\n" + safe_text(recipe), nl=False)


def stop(name: RunName, workspace_path: WorkspaceFlag = None) -> None:
    """Ask a running run to stop after a checkpoint.

    Example: edgetune stop mine
    """
    launch.request_stop(workspace(workspace_path).run(name))
    say(f"{name} stops at the end of this step, after a checkpoint.")


def _idle(run: Run) -> Run:
    if launch.alive(run.folder):
        raise EdgeTuneError(f"{run.name} is running", "A worker uses its folder.", f"Stop it first: edgetune stop {run.name}")
    return run


def rename(
    name: RunName, new_name: Annotated[str, typer.Argument(help="Its new name.", show_default=False)], workspace_path: WorkspaceFlag = None
) -> None:
    """Give a run another name.

    Example: edgetune rename mine lighthouse
    """
    place = workspace(workspace_path)
    run = _idle(place.run(name))
    run.folder.rename(place.runs_folder / place.new_name(safe_name(new_name), ""))
    say(f"{name} is now {new_name}.")


def delete(name: RunName, yes: YesFlag = False, workspace_path: WorkspaceFlag = None) -> None:
    """Delete a run with its checkpoints, adapter and exports.

    Example: edgetune delete mine --yes
    """
    run = _idle(workspace(workspace_path).run(name))
    size = run.size()
    confirm(f"Delete {name} and all it made ({human(size)})? This cannot be undone.", yes)
    remove(run.folder)
    say(f"{name} is deleted; {human(size)} are free.")


def prune(yes: YesFlag = False, as_json: JsonFlag = False, workspace_path: WorkspaceFlag = None) -> None:
    """Free space: checkpoints of finished runs but the newest and the best, what can be made again (prepared data, bases as GGUF for
    proofs), models not fetched whole, and leftovers.

    Example: edgetune prune
    """
    from edgetune.training.checkpoints import found

    place = workspace(workspace_path)
    caches = [folder for folder in (place.data_cache, place.proof_cache, place.fetch_cache) if folder.is_dir()]
    cached = sorted(p for folder in caches for p in folder.iterdir() if not p.name.startswith("."))
    victims = place.leftovers() + cached
    for run in place.runs():
        state = launch.state(run)
        if state.status == "finished" and not launch.alive(run.folder):
            victims += [c.folder for c in found(run.checkpoints)[:-1] if c.step != state.best_step]
    sizes = {path: folder_bytes(path) for path in victims}
    freed = sum(sizes.values())
    if as_json and not yes:
        typer.echo(json.dumps({"would_free": freed, "paths": [str(p) for p in victims]}))
        return
    for path, size in sizes.items():
        say(f"{human(size):>10}  {path}")
    if not victims:
        say("Nothing to free.")
    else:
        confirm(f"Remove these and free {human(freed)}?", yes)
        for path in victims:
            remove(path)
    if as_json:
        typer.echo(json.dumps({"freed": freed, "paths": [str(p) for p in victims]}))
    elif victims:
        typer.echo(f"{human(freed)} freed")


def disk(as_json: JsonFlag = False, workspace_path: WorkspaceFlag = None) -> None:
    """Show what takes space in the workspace.

    Example: edgetune disk
    """
    from edgetune.files import free_bytes

    place = workspace(workspace_path)
    rows: list[dict[str, Any]] = []
    for run in place.runs():
        parts = {
            part: folder_bytes(run.folder / part) if (run.folder / part).is_dir() else 0
            for part in ("checkpoints", "exports", "adapter", "model")
        }
        rows.append({"run": run.name, **parts, "all": run.size()})
    leftovers = sum(folder_bytes(p) for p in place.leftovers())
    prepared = sum(folder_bytes(folder) for folder in (place.data_cache, place.proof_cache, place.fetch_cache) if folder.is_dir())
    free = free_bytes(Path(place.path))
    if as_json:
        typer.echo(json.dumps({"workspace": str(place.path), "runs": rows, "prepared": prepared, "leftovers": leftovers, "free": free}))
        return
    typer.echo(
        f"{place.path}: {human(sum(r['all'] for r in rows))} used, {human(free)} free, {human(leftovers)} left over from interruptions, "
        f"{human(prepared)} of prepared data and references that can be made again"
    )
    if rows:
        typer.echo(
            table(
                [[r["run"], human(r["checkpoints"]), human(r["exports"]), human(r["adapter"] + r["model"]), human(r["all"])] for r in rows],
                ["run", "checkpoints", "exports", "result", "all"],
            )
        )


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    for command in (runs, show, stop, rename, delete, prune, disk):
        app.command(command.__name__)(command)
