"""`edgetune runs`, `stop`, `rename`, `rebase`, `delete`, `prune`, `disk`: what happens to runs besides training them."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from edgetune.cli.flags import JsonFlag, RunName, WorkspaceFlag, YesFlag, confirm
from edgetune.cli.show import say, table
from edgetune.errors import EdgeTuneError
from edgetune.formatting import format_number, format_size
from edgetune.runs import launch, manage
from edgetune.runs import rebase as moving
from edgetune.runs.manage import summarize_run
from edgetune.storage.files import folder_bytes, system_error
from edgetune.storage.workspace import open_workspace


def runs(as_json: JsonFlag = False, workspace_path: WorkspaceFlag = None) -> None:
    """List all runs with their state.

    Example: edgetune runs
    """
    # One damaged run must not hide the others.
    summaries = []
    for run in open_workspace(workspace_path).runs():
        try:
            summaries.append(summarize_run(run))
        except (EdgeTuneError, OSError) as problem:
            error = system_error(problem) if isinstance(problem, OSError) else problem
            say(f"{error.title}. {error.cause} {error.remedy}")

    if as_json:
        typer.echo(json.dumps(summaries, ensure_ascii=False))
    elif not summaries:
        typer.echo("There are no runs yet. Begin with: edgetune demo")
    else:
        typer.echo(
            table(
                [
                    [
                        r["name"],
                        r["status"],
                        f"{r['step']}/{r['steps']}",
                        format_number(r["base_loss"]),
                        format_number(r["best_loss"]),
                        r["base_name"],
                        format_size(r["bytes"]),
                    ]
                    for r in summaries
                ],
                ["run", "state", "step", "loss before", "best", "base", "size"],
            )
        )


def stop(name: RunName, workspace_path: WorkspaceFlag = None) -> None:
    """Ask a running run to stop after a checkpoint.

    Example: edgetune stop mine
    """
    launch.request_stop(open_workspace(workspace_path).run(name))
    say(f"{name} stops at the end of this step, after a checkpoint.")


def rename(
    name: RunName, new_name: Annotated[str, typer.Argument(help="Its new name.", show_default=False)], workspace_path: WorkspaceFlag = None
) -> None:
    """Give a run another name.

    Example: edgetune rename mine lighthouse
    """
    manage.rename_run(open_workspace(workspace_path), name, new_name)
    say(f"{name} is now {new_name}.")


def rebase(
    names: Annotated[list[str], typer.Argument(metavar="RUN...", help="Names of runs.", show_default=False)],
    base: Annotated[str, typer.Option("--base", metavar="DIR", help="The folder where the base is now.", show_default=False)],
    workspace_path: WorkspaceFlag = None,
) -> None:
    """Name the folder where the base of a run is now, after it was moved.

    Its files must be those that the run began with. The recipe stays as it is.

    Example: edgetune rebase mine --base ~/models/SmolLM2-135M
    """
    workspace = open_workspace(workspace_path)
    for name in names:
        run = workspace.run(name)
        before = Path(run.request()["base"])
        say(f"{name}: the base is in {moving.rebase(run, base)}.")
        others = [other for other in moving.runs_without_base(workspace, before) if other not in names]
    if others:
        say(f"{before} is also the base of {', '.join(others[:5])}: edgetune rebase {' '.join(others)} --base {base}")


def delete(name: RunName, yes: YesFlag = False, workspace_path: WorkspaceFlag = None) -> None:
    """Delete a run with its checkpoints, adapter and exports.

    Example: edgetune delete mine --yes
    """
    workspace = open_workspace(workspace_path)
    size = manage.idle(workspace.run(name)).size()
    confirm(f"Delete {name} and all it made ({format_size(size)})? This cannot be undone.", yes)
    say(f"{name} is deleted; {format_size(manage.delete_run(workspace, name))} are free.")


def prune(yes: YesFlag = False, as_json: JsonFlag = False, workspace_path: WorkspaceFlag = None) -> None:
    """Free space: checkpoints of finished runs but the newest and the best, what can be made again (prepared data, bases as GGUF for
    proofs), models not fetched whole, and leftovers.

    Example: edgetune prune
    """
    sizes = manage.prunable(open_workspace(workspace_path), say)
    victims = list(sizes)
    freed = sum(sizes.values())

    # Without --yes a script only learns what would go; nobody is there to confirm.
    if as_json and not yes:
        typer.echo(json.dumps({"would_free": freed, "paths": [str(p) for p in victims]}))
        return

    for path, size in sizes.items():
        say(f"{format_size(size):>10}  {path}")

    if not victims:
        say("Nothing to free.")
    else:
        confirm(f"Remove these and free {format_size(freed)}?", yes)
        manage.remove_paths(victims)

    if as_json:
        typer.echo(json.dumps({"freed": freed, "paths": [str(p) for p in victims]}))
    elif victims:
        typer.echo(f"{format_size(freed)} freed")


def disk(as_json: JsonFlag = False, workspace_path: WorkspaceFlag = None) -> None:
    """Show what takes space in the workspace.

    Example: edgetune disk
    """
    from edgetune.storage.files import free_bytes

    workspace = open_workspace(workspace_path)
    rows: list[dict[str, Any]] = []
    for run in workspace.runs():
        # Only the parts that can become large; the rest is in the sum.
        parts = {
            part: folder_bytes(run.folder / part) if (run.folder / part).is_dir() else 0
            for part in ("checkpoints", "exports", "adapter", "model")
        }
        rows.append({"run": run.name, **parts, "all": run.size()})

    # Apart from the runs, because 'edgetune prune' frees these without losing anything.
    leftovers = sum(folder_bytes(p) for p in workspace.leftovers())
    prepared = sum(folder_bytes(folder) for folder in workspace.caches if folder.is_dir())
    free = free_bytes(Path(workspace.path))

    if as_json:
        typer.echo(json.dumps({"workspace": str(workspace.path), "runs": rows, "prepared": prepared, "leftovers": leftovers, "free": free}))
        return
    typer.echo(
        f"{workspace.path}: {format_size(sum(r['all'] for r in rows))} used, {format_size(free)} free, "
        f"{format_size(leftovers)} left over from interruptions, "
        f"{format_size(prepared)} of prepared data and references that can be made again"
    )

    if rows:
        typer.echo(
            table(
                [
                    [
                        r["run"],
                        format_size(r["checkpoints"]),
                        format_size(r["exports"]),
                        format_size(r["adapter"] + r["model"]),
                        format_size(r["all"]),
                    ]
                    for r in rows
                ],
                ["run", "checkpoints", "exports", "result", "all"],
            )
        )


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    for command in (runs, stop, rename, rebase, delete, prune, disk):
        app.command(command.__name__)(command)
