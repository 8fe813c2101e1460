"""`edgetune eval`: base beside tuned, or one GGUF, on held-out examples."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from edgetune.cli.flags import JsonFlag, WorkspaceFlag
from edgetune.cli.show import ProgressLine, table
from edgetune.errors import InputError
from edgetune.formatting import format_number
from edgetune.storage.workspace import open_workspace


def evaluate(
    source: Annotated[str, typer.Argument(metavar="RUN|GGUF", help="A run's name, or a GGUF file.", show_default=False)],
    data: Annotated[Path | None, typer.Option(help="File of examples. [the run's held-out rows]", show_default=False)] = None,
    answers: Annotated[int, typer.Option(help="Number of prompts to answer.", min=0)] = 50,
    as_json: JsonFlag = False,
    workspace_path: WorkspaceFlag = None,
) -> None:
    """Measure held-out loss, perplexity and the share of correct answers (exact match, and expected answer contained).

    For a run, base and tuned model are measured side by side.

    Examples:

      edgetune eval mine

      edgetune eval mine-Q4_K_M.gguf --data test.jsonl
    """
    from edgetune.evaluation.evaluate import evaluate_gguf, evaluate_run
    from edgetune.preferences import as_data

    data = as_data.file(data, open_workspace(workspace_path))
    line = ProgressLine()

    def progress(done: int, total: int) -> None:
        line.update(done, total, "prompts answered")

    # A GGUF answers through llama.cpp, a run through the weights it was trained with.
    if source.lower().endswith(".gguf") or Path(source).is_file():
        if not Path(source).is_file():
            raise InputError(
                f"There is no file {source}", "No file or folder exists at that path.", "Name a run, or an existing GGUF file."
            )
        result = evaluate_gguf(Path(source), data, answers, progress, open_workspace(workspace_path))
    else:
        result = evaluate_run(open_workspace(workspace_path).run(source), data, answers, progress)

    line.clear()
    if as_json:
        typer.echo(json.dumps(result))
        return

    # A run is compared with its base; a file has nothing to be compared with.
    columns = [name for name in ("base", "tuned", "gguf") if name in result]
    left_out = f", {result['rejected']} left out" if result["rejected"] else ""

    typer.echo(f"{result['read'] - result['rejected']} rows of {result['data']}{left_out}")
    typer.echo(
        table(
            [
                [label, *[_cell(result[c], key) for c in columns]]
                for label, key in (
                    ("loss", "loss"),
                    ("perplexity", "perplexity"),
                    ("answers exact", "exact"),
                    ("answers contained", "contained"),
                )
            ],
            ["", *columns],
        )
    )


def _cell(measured: dict[str, Any], key: str) -> str:
    value = measured[key]
    return f"{value:.0%} of {measured['answered']}" if key in ("exact", "contained") and value is not None else format_number(value)


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command("eval")(evaluate)
