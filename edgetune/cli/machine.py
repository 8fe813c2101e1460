"""`edgetune doctor` and `edgetune bases`: what this machine has, and the models on it."""

import json
import sys
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any

import typer

from edgetune.bases.hub import NETWORK_NOTE
from edgetune.cli.flags import JsonFlag, WorkspaceFlag
from edgetune.cli.show import say, table
from edgetune.errors import InputError
from edgetune.formatting import format_size
from edgetune.storage.files import free_bytes
from edgetune.storage.workspace import open_workspace

PACKAGES = ("torch", "transformers", "peft", "trl", "bitsandbytes", "gguf", "llama-cpp-python", "textual")


def doctor(as_json: JsonFlag = False, workspace_path: WorkspaceFlag = None) -> None:
    """Show what this machine has, what EdgeTune would use, and why. Exit code 1 when something that is needed is missing.

    Example: edgetune doctor
    """
    from edgetune import __version__
    from edgetune.machine import hardware, prevent_sleep

    here, workspace = hardware.this_machine(), open_workspace(workspace_path)
    device = hardware.choose_device()
    dtype = hardware.choose_dtype(device.value)

    # Asked of the installed packages' metadata: importing them takes seconds, and a broken one could not be reported.
    versions: dict[str, str | None] = {}
    for name in PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = None
    missing = [name for name, version in versions.items() if version is None]

    # The keys are the --json interface: scripts rely on them.
    facts: dict[str, Any] = {
        "edgetune": __version__,
        "python": sys.version.split()[0],
        "machine": here.as_dict(),
        "device": device.value,
        "device_reason": device.reason,
        "dtype": dtype.value,
        "dtype_reason": dtype.reason,
        "workspace": str(workspace.path),
        "disk_free": free_bytes(workspace.path),
        "sleep": prevent_sleep.sleep_blocker().reason,
        "packages": versions,
        "missing": missing,
        "network": NETWORK_NOTE,
    }

    if as_json:
        typer.echo(json.dumps(facts))
    else:
        typer.echo(f"EdgeTune {__version__}, Python {facts['python']} on {here.system}")
        typer.echo(f"processor  {here.processor}, {here.cores} cores")
        typer.echo(f"memory     {format_size(here.memory)}, {format_size(here.memory_free)} free")
        typer.echo(f"graphics   {here.gpu or 'none found'}{f', {format_size(here.gpu_memory)}' if here.gpu_memory else ''}")
        typer.echo(f"disk       {format_size(facts['disk_free'])} free at {workspace.path}")
        typer.echo(f"trains on  {device.value}: {device.reason}")
        typer.echo(f"computes   in {dtype.value}: {dtype.reason}")
        typer.echo(f"sleep      {facts['sleep']}")
        typer.echo("packages   " + ", ".join(f"{name} {version or 'MISSING'}" for name, version in versions.items()))
        typer.echo(f"network    {NETWORK_NOTE}")

    if missing:
        say(f"Missing: {', '.join(missing)}. Set up again: python packaging/bootstrap.py setup")
        raise typer.Exit(1)


def bases(
    folders: Annotated[
        list[Path] | None, typer.Argument(help="Folders to search, besides the Hugging Face cache.", show_default=False)
    ] = None,
    add: Annotated[
        list[Path] | None, typer.Option(metavar="DIR", help="Look in this folder from now on, in the app too.", show_default=False)
    ] = None,
    drop: Annotated[list[Path] | None, typer.Option(metavar="DIR", help="Stop looking in this folder.", show_default=False)] = None,
    as_json: JsonFlag = False,
    workspace_path: WorkspaceFlag = None,
) -> None:
    """List the base models found on disk: the bundled one, the Hugging Face cache, the workspace's bases/ (fetched) and
    models/, the folders added and those named. "here" says whether one can be trained on this machine with the balanced preset: fits,
    tight or no.

    Examples:

      edgetune bases ~/models

      edgetune bases --add ~/models
    """
    from edgetune.bases import find
    from edgetune.bases import folders as own
    from edgetune.bases.licence import licence
    from edgetune.config.recipe import build_recipe
    from edgetune.estimate.fit import judge_base

    # Whether a base fits is judged by how most people would train it.
    usual, _ = build_recipe({}, None, "balanced")
    workspace = open_workspace(workspace_path)

    for folder in add or []:
        say(f"From now on also looked in: {own.add_folder(workspace, folder)}")
    for folder in drop or []:
        say(f"No more looked in: {own.remove_folder(workspace, folder)}")

    # One folder that cannot be read must not hide the others.
    described: list[dict[str, Any]] = []
    for folder in dict.fromkeys(find.model_folders(own.search_folders(workspace, folders or []))):
        try:
            base = find.describe_base(folder)
            described.append(
                {
                    "name": base.name,
                    "architecture": base.architecture,
                    "parameters": base.parameters,
                    "bytes": base.bytes,
                    "context": base.context,
                    "licence": licence(folder),
                    "here": (room := judge_base(base, usual)).value,
                    "here_reason": room.reason,
                    "path": str(folder),
                }
            )
        except InputError as error:
            say(f"{folder}: {error.title}. {error.cause}")

    if as_json:
        typer.echo(json.dumps(described))
    else:
        typer.echo(
            table(
                [
                    [
                        *(b["name"], b["architecture"], f"{b['parameters'] / 1e6:.1f}M", format_size(b["bytes"]), b["context"]),
                        *(b["licence"] or "-", b["here"], b["path"]),
                    ]
                    for b in described
                ],
                ["base", "architecture", "parameters", "size", "context", "license", "here", "folder"],
            )
        )


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    app.command("doctor")(doctor)
    app.command("bases")(bases)
