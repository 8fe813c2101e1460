"""`edgetune imatrix`: an importance matrix from one's own data."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgetune.cli.flags import AdaptersFlag, JsonFlag, WorkspaceFlag
from edgetune.cli.show import ProgressLine, say
from edgetune.errors import InputError
from edgetune.storage.workspace import Workspace, open_workspace

if TYPE_CHECKING:
    from edgetune.gguf.importance.matrix_cache import CachedMatrix
    from edgetune.gguf.source import Source


def imatrix(
    source: Annotated[str, typer.Argument(metavar="MODEL", help="A run, 'nano', or a model folder.", show_default=False)],
    data: Annotated[Path | None, typer.Option(help="File of examples. [a run's training data]", show_default=False)] = None,
    out: Annotated[Path | None, typer.Option(help="Where to write it. [here, under the model's name]", show_default=False)] = None,
    adapter: AdaptersFlag = None,
    checkpoint: Annotated[str | None, typer.Option(help="Of a run's checkpoint: a step, or 'best'.", show_default=False)] = None,
    tokens: Annotated[
        int | None, typer.Option(min=1, help="Most tokens to use. [100000, fewer for large models]", show_default=False)
    ] = None,
    as_json: JsonFlag = False,
    workspace_path: WorkspaceFlag = None,
) -> None:
    """Gather an importance matrix on your own training data in one pass: what quantization to 6 bits and fewer should keep first.

    It is written in llama.cpp's form, for 'edgetune export --imatrix FILE' and for llama-quantize. For a run,
    'edgetune export RUN --imatrix auto' does both in one step.

    Examples:

      edgetune imatrix mine

      edgetune imatrix ~/models/base --data examples.jsonl --out base.imatrix.gguf
    """
    from edgetune.gguf.source import parse_weighted_adapter, resolve
    from edgetune.storage.files import copy_file

    workspace = open_workspace(workspace_path)
    if data is not None and not data.is_file():
        raise InputError(f"There is no file {data}", "No file or folder exists at that path.", "Name an existing file with --data.")

    # Gathering takes minutes and is cached, so the file here is a copy.
    chosen = resolve(source, workspace, [parse_weighted_adapter(one) for one in adapter or []], checkpoint)
    matrix = gather(chosen, workspace, data, tokens)
    path = out or Path.cwd() / f"{chosen.name}.imatrix.gguf"
    copy_file(matrix.path, path)

    if as_json:
        typer.echo(json.dumps({"path": str(path), "tokens": matrix.tokens, "found": matrix.available, "reused": matrix.reused}))
        return
    typer.echo(path)
    say(f"next: edgetune export {source} --type IQ4_XS --imatrix {path}")


def gather(source: "Source", workspace: Workspace, data: Path | None = None, tokens: int | None = None) -> "CachedMatrix":
    """A source's importance matrix, gathered with a progress line where it is not kept yet."""
    from edgetune.gguf.importance.matrix_cache import cached_matrix

    line = ProgressLine()
    try:
        matrix = cached_matrix(source, workspace, data, tokens, say, lambda done, total: line.update(done, total, "tokens"))
    finally:
        line.clear()
    say(f"importance matrix {'kept from before, ' if matrix.reused else ''}gathered on {matrix.description}")
    return matrix


def imatrix_path(flag: str | None, source: "Source", types: list[str], workspace: Workspace) -> Path | None:
    """The file that --imatrix means for these types: 'auto' is the source's own, gathered on its training data; else it is a path."""
    from converters.file_types import UNQUANTIZED

    if flag != "auto":
        return Path(flag).expanduser() if flag else None
    if all(name in (*UNQUANTIZED, "Q8_0") for name in types):
        say(f"For {' and '.join(types)} no importance matrix is used, so none is gathered.")
        return None
    return gather(source, workspace).path


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command("imatrix")(imatrix)
