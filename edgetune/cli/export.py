"""`edgetune export`: a run or a model folder as GGUF."""

import json
from pathlib import Path
from typing import Annotated

import typer

from edgetune.cli.flags import JsonFlag, WorkspaceFlag
from edgetune.cli.show import ProgressLine, say
from edgetune.files import human
from edgetune.workspace import workspace


def export(
    source: Annotated[str, typer.Argument(help="A run, 'nano', or a model folder.", show_default=False)],
    type_names: Annotated[list[str] | None, typer.Option("--type", help="GGUF type, may be repeated. [Q4_K_M]", show_default=False)] = None,
    out: Annotated[Path | None, typer.Option(help="File (one type) or folder. [the run's exports, or here]", show_default=False)] = None,
    adapter: Annotated[Path | None, typer.Option(help="Adapter folder to merge into a model folder.", show_default=False)] = None,
    checkpoint: Annotated[str | None, typer.Option(help="Export a run's checkpoint: a step, or 'best'.", show_default=False)] = None,
    as_json: JsonFlag = False,
    workspace_path: WorkspaceFlag = None,
) -> None:
    """Write a run or a model folder as GGUF: adapter merged into the full-precision base, converted and quantized in one pass.

    Examples:

      edgetune export mine --type Q4_K_M --type Q8_0

      edgetune export ~/models/base --adapter ~/adapters/a --type F16 --out model.gguf
    """
    from edgetune import export as exporting

    types = exporting.check_types(type_names or [])
    line = ProgressLine()
    made = exporting.export(
        exporting.resolve(source, workspace(workspace_path), adapter, checkpoint),
        types,
        out,
        lambda name, done, total: line.update(done, total, f"{name}"),
    )
    line.clear()
    if as_json:
        typer.echo(json.dumps(made))
        return
    for one in made:
        typer.echo(one["path"])
        say(f"{one['type']}: {human(one['bytes'])}")
    say(f"next: edgetune chat {made[0]['path']}")


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command("export")(export)
