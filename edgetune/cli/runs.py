"""`edgetune runs`, `show`, `stop`, `rename`, `delete`, `prune`, `disk`: what happens to runs besides training them."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from edgetune.cli.flags import JsonFlag, WorkspaceFlag, YesFlag, confirm
from edgetune.cli.show import number, say, seconds, table
from edgetune.errors import EdgeTuneError
from edgetune.files import folder_bytes, human
from edgetune.jobs import launch, lineage, manage
from edgetune.jobs.manage import summary
from edgetune.text import one_line, safe_text
from edgetune.workspace import workspace

RunName = Annotated[str, typer.Argument(metavar="RUN", help="Name of the run.", show_default=False)]


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
    own = {"run": run.name, "method": facts["method"], "votes": facts["votes"]}
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
    if facts["accuracy"]:
        before, now = facts["base_accuracy"] or facts["accuracy"], facts["accuracy"]
        low, high = now["interval"]
        typer.echo(
            f"  held-out pairs preferred as voted: {before['accuracy']:.0%} before, {now['accuracy']:.0%} now "
            f"({low:.0%} to {high:.0%}, {now['count']} pairs)"
        )
    typer.echo(f"  {facts['base_name']} → {lineage.words([*facts['lineage'], own])}")
    for text in facts["warnings"]:
        typer.echo(f"  warning: {one_line(text, 500)}")
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


def rename(
    name: RunName, new_name: Annotated[str, typer.Argument(help="Its new name.", show_default=False)], workspace_path: WorkspaceFlag = None
) -> None:
    """Give a run another name.

    Example: edgetune rename mine lighthouse
    """
    manage.rename(workspace(workspace_path), name, new_name)
    say(f"{name} is now {new_name}.")


def delete(name: RunName, yes: YesFlag = False, workspace_path: WorkspaceFlag = None) -> None:
    """Delete a run with its checkpoints, adapter and exports.

    Example: edgetune delete mine --yes
    """
    place = workspace(workspace_path)
    size = manage.idle(place.run(name)).size()
    confirm(f"Delete {name} and all it made ({human(size)})? This cannot be undone.", yes)
    say(f"{name} is deleted; {human(manage.delete(place, name))} are free.")


def prune(yes: YesFlag = False, as_json: JsonFlag = False, workspace_path: WorkspaceFlag = None) -> None:
    """Free space: checkpoints of finished runs but the newest and the best, what can be made again (prepared data, bases as GGUF for
    proofs), models not fetched whole, and leftovers.

    Example: edgetune prune
    """
    sizes = manage.prunable(workspace(workspace_path))
    victims = list(sizes)
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
        manage.prune(victims)
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
    prepared = sum(folder_bytes(folder) for folder in place.caches if folder.is_dir())
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
