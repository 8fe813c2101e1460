"""`edgetune curves`: what a run measured, as a chart; or two runs over one another, with what they do differently."""

import json
import shutil
import sys
from typing import Annotated, Any

import typer

from edgetune.cli.flags import JsonFlag, RunName, WorkspaceFlag
from edgetune.cli.show import say, table
from edgetune.errors import InputError
from edgetune.runs import chart, compare
from edgetune.runs.history import CURVES, History
from edgetune.storage.workspace import open_workspace
from edgetune.text import format_value, one_line

UNITS = {"memory": 2**20}
"""What one on the scale stands for, where it is not one: MiB."""


def curves(
    name: RunName,
    other: Annotated[
        str | None, typer.Argument(metavar="[OTHER]", help="Second run to plot in the same chart.", show_default=False)
    ] = None,
    of: Annotated[str, typer.Option(metavar="NAME", help=f"What to plot: {', '.join(CURVES)} (in MiB).")] = "loss",
    log_scale: Annotated[bool, typer.Option("--log", help="Logarithmic y axis.")] = False,
    smooth: Annotated[float, typer.Option(help="Weight of a moving average, such as 0.9.", min=0.0, max=0.999)] = 0.0,
    zoom: Annotated[float, typer.Option("--last", help="Plot only the last share of the steps, e.g. 0.2.", min=0.01, max=1.0)] = 1.0,
    as_json: JsonFlag = False,
    workspace_path: WorkspaceFlag = None,
) -> None:
    """Draw what a run measured; with OTHER, both runs over one another, what their recipes do differently, and what came of it.

    Small letters draw what was measured while training, capitals the held-out loss. --json gives all points, without a picture.

    Examples:

      edgetune curves mine

      edgetune curves mine other --log --smooth 0.9

      edgetune curves mine --of memory
    """
    if of not in CURVES:
        raise InputError(f"There is no curve '{of[:40]}'", f"Curves are {', '.join(CURVES)}.", "Choose one of them with --of.")
    workspace = open_workspace(workspace_path)
    histories = [History(workspace.run(one)) for one in (name, *filter(None, [other]))]
    for history in histories:
        while history.update():
            pass
    if as_json:
        typer.echo(json.dumps(document(histories), ensure_ascii=False))
        return
    draw(histories, of, chart.View(smooth, log_scale, zoom))
    typer.echo("\n" + figures(histories))


def document(histories: list[History]) -> dict[str, Any]:
    """The runs with their results and all points of their curves; of two also what their recipes do differently."""
    runs = []
    for history in histories:
        results = {name.replace(" ", "_").replace("-", "_"): value for name, value in compare.run_results(history).items()}
        points = {name: {"steps": curve.steps, "values": curve.values} for name, curve in history.curves.items()}
        runs.append({"name": history.run.name, **results, "curves": points})
    return {"runs": runs, **({"differences": differences(histories)} if len(histories) == 2 else {})}


def differences(histories: list[History]) -> list[dict[str, Any]]:
    """Options in which two recipes differ, each with its two values."""
    one, other = (history.run for history in histories)
    return [{"option": name, "values": [first, second]} for name, first, second in compare.recipe_differences(one, other)]


def draw(histories: list[History], of: str, view: chart.View) -> None:
    """The chart, and what its letters mean."""
    # Two points a column: each column can show a low and a high.
    drawn, meant = [], []
    last = chart.last_step([history.curves[of] for history in histories])
    width = shutil.get_terminal_size().columns

    # Letters instead of colours, because the chart may be read in a log or by a colour-blind person.
    for letter, history in zip("ab", histories, strict=False):
        run = one_line(history.run.name, 40)
        drawn.append((letter, view.points(history.curves[of], last, 2 * width)))
        meant.append(f"{letter} {of.replace('_', ' ')}{f' of {run}' if len(histories) > 1 else ''}")

        # Loss in training says little without that on held-out rows.
        if of == "loss" and len(history.curves["eval_loss"]):
            drawn.append((letter.upper(), view.points(history.curves["eval_loss"], last, 2 * width, dots=True)))
            meant.append(f"{letter.upper()} held out")

    picture = chart.text_chart(drawn, view, width, UNITS.get(of, 1.0))
    if not (sys.stdout.encoding or "").lower().startswith("utf"):
        picture = picture.translate(chart.ASCII_FRAME)

    if picture:
        typer.echo(f"{picture}\n{'; '.join(meant)}")
    else:
        say("Nothing was measured yet.")


def figures(histories: list[History]) -> str:
    """What differs, and what came of it, a column a run."""
    rows: list[list[str]] = []
    if len(histories) == 2:
        rows += [
            [one["option"].replace("_", " "), *(format_value(value, "-") for value in one["values"])] for one in differences(histories)
        ]
        rows.append([""] * 3)
    results = [compare.run_results(history) for history in histories]
    rows += [[name, *(format_value(one[name], "-") for one in results)] for name in results[0]]
    return table(rows, ["", *(history.run.name for history in histories)])


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command("curves")(curves)
