"""`edgetune compare`: which type to take, measured."""

import json
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgetune.cli.flags import JsonFlag, WorkspaceFlag
from edgetune.cli.imatrix import imatrix_path
from edgetune.cli.show import ProgressLine, say, table
from edgetune.errors import InputError
from edgetune.storage.workspace import open_workspace

if TYPE_CHECKING:
    from edgetune.gguf.compare.comparison import ComparisonResult


def compare(
    source: Annotated[str, typer.Argument(metavar="MODEL", help="A run, 'nano', or a model folder.", show_default=False)],
    files: Annotated[list[Path] | None, typer.Argument(metavar="[GGUF]...", help="Files of this model to compare.")] = None,
    type_names: Annotated[
        list[str] | None,
        typer.Option("--type", help="GGUF type, may be repeated. [eight from Q8_0 to Q2_K; none with files]", show_default=False),
    ] = None,
    adapter: Annotated[Path | None, typer.Option(help="Adapter folder to merge into a model folder.", show_default=False)] = None,
    data: Annotated[Path | None, typer.Option(help="Held-out examples. [a run's own, or general text]", show_default=False)] = None,
    imatrix: Annotated[
        str | None,
        typer.Option(metavar="auto|FILE", help="Importance matrix: a file, or 'auto' from a run's training data.", show_default=False),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Write a page (HTML) with table and picture, too.", show_default=False)] = None,
    as_json: JsonFlag = False,
    workspace_path: WorkspaceFlag = None,
) -> None:
    """Compare quantized types of one model by size, closeness to full precision, speed and memory, and recommend one.

    Every figure means what it means in the proof: perplexity of held-out answers, KL divergence from full precision, the share of equal
    next tokens, and how much of what was learned shows. A run's exports are used; what is missing is written for a moment and removed.

    Examples:

      edgetune compare mine

      edgetune compare mine --type Q8_0 --type Q4_K_M --type IQ4_XS --imatrix auto --out types.html

      edgetune compare ~/models/base a.gguf b.gguf --data held-out.jsonl
    """
    from edgetune.gguf.source import check_types, resolve

    # A comparison takes minutes: what can be wrong is refused before it starts.
    if source.lower().endswith(".gguf"):
        raise InputError(
            "The model comes first",
            f"{source} is a GGUF; what files are compared with is the model they were made from.",
            "Name the run or model folder first, then the files: edgetune compare MODEL a.gguf b.gguf",
        )
    for name, path in (("--data", data), *(("the files", one) for one in files or [])):
        if path is not None and not path.is_file():
            raise InputError(f"There is no file {path}", "No file or folder exists at that path.", f"Check {name}.")
    if out is not None and out.is_dir():
        raise InputError(f"{out} is a folder", "--out names the page itself.", "Name a file, such as types.html.")

    workspace = open_workspace(workspace_path)
    chosen = resolve(source, workspace, [(adapter, 1.0)] if adapter else [])

    from edgetune.gguf.compare.comparison import DEFAULT_TYPES, Comparison
    from edgetune.gguf.compare.page import comparison_page
    from edgetune.storage.files import write_text

    # Existing files are enough for a comparison: types are made only where some are named, or nothing else is.
    types = check_types(type_names or ([] if files else list(DEFAULT_TYPES))) if type_names or not files else []
    matrix = imatrix_path(imatrix, chosen, types, workspace)

    line = ProgressLine()
    comparison = Comparison(chosen, workspace, types, files or [], matrix, data, say)
    try:
        compared = comparison.run(lambda done, total, name: line.update(done, total, name))
    finally:
        line.clear()

    if out is not None:
        write_text(out, comparison_page(compared))
    if as_json:
        typer.echo(json.dumps({**compared.as_dict(), "page": str(out) if out else None}))
        return

    show(compared)
    if out is not None:
        say(f"page: {out}")

    # The next command can be copied, so it repeats the flags that the recommendation rests on.
    choice = compared.advice.choice
    if choice.path is None:
        with_matrix = f" --imatrix {imatrix}" if imatrix else ""
        with_adapter = f" --adapter {adapter}" if adapter else ""
        say(f"next: edgetune export {source} --type {choice.type}{with_adapter}{with_matrix}")
    else:
        say(f"next: edgetune chat {choice.path}")


def show(compared: "ComparisonResult") -> None:
    """The table, the picture and the recommendation, on stdout."""
    from edgetune.gguf.compare.page import COLUMN_TITLES, format_perplexity, table_cells
    from edgetune.gguf.compare.picture import draw_picture, letter

    typer.echo(table([[letter(index), *table_cells(one)] for index, one in enumerate(compared.files)], ["", *COLUMN_TITLES]))
    if len(compared.files) > 1 and (sys.stdout.encoding or "").lower().startswith("utf"):
        typer.echo("\n" + draw_picture(compared, shutil.get_terminal_size().columns) + "\n")
    typer.echo(compared.advice.why)
    where = f"{compared.tokens} tokens of {compared.on}, {compared.answer_tokens} in answers"
    say(f"full precision: perplexity {format_perplexity(compared.perplexity)}; {where}")


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command("compare")(compare)
