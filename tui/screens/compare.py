"""Two runs over one another: their curves, what their recipes do differently, and what came of it."""

from collections.abc import Iterable
from dataclasses import replace
from typing import ClassVar

from rich.text import Text
from textual import work
from textual.binding import BindingType
from textual.containers import Vertical
from textual.widget import Widget

from edgetune.runs import compare
from edgetune.runs.history import History
from edgetune.storage.workspace import Run
from edgetune.text import format_value, one_line
from tui.error_handling import run_in_thread, show_errors
from tui.keys import key
from tui.pages.page import Page
from tui.widgets.chart import Chart, Plotted
from tui.widgets.listing import Line, Listing


class Compare(Page):
    """Compares two runs."""

    NAME = "Compare"
    ABOUT = "Two runs over one another: the loss as lines, the held-out loss as dots, and below what their recipes do differently."
    BINDINGS: ClassVar[list[BindingType]] = [
        key("compare.log", "l", "log", "Log scale", "Logarithmic or linear y axis."),
        key("compare.smooth", "s", "smooth", "Smooth", "Smooth the curves, or not."),
        key("page.help", "question_mark", "app.help", "Help", "What this screen is for, and its keys.", show=False),
    ]

    def __init__(self, first: Run, second: Run) -> None:
        super().__init__()
        self.histories = (History(first), History(second))

    def body(self) -> Iterable[Widget]:
        """One chart, one table."""
        first, second = self.histories
        plotted = [
            Plotted(first.run.name, first.curves["loss"], "primary"),
            Plotted(second.run.name, second.curves["loss"], "success"),
            Plotted(first.run.name, first.curves["eval_loss"], "accent", dots=True),
            Plotted(second.run.name, second.curves["eval_loss"], "warning", dots=True),
        ]
        table = Listing("", one_line(first.run.name, 30), one_line(second.run.name, 30), id="differences", empty="reading …")
        table.border_title = "What differs"
        chart = Chart(f"Loss: {first.run.name} blue, {second.run.name} green", plotted)
        chart.empty = "reading …"
        yield Vertical(chart, table, id="compared")

    def on_mount(self) -> None:
        """Read both."""
        first, second = self.histories
        self.bar.title(f"Compare · {first.run.name} and {second.run.name}")
        self.query_one(Listing).table.focus()
        self.read()

    @work(exclusive=True)
    @show_errors
    async def read(self) -> None:
        """Both logs to their ends, and both recipes."""
        chart, (first, second) = self.query_one(Chart), self.histories
        for history in self.histories:
            while events := await run_in_thread(history.read):
                history.take(events)
        chart.empty = "nothing measured yet"
        chart.redraw()
        self.query_one(Listing).empty("The two cannot be compared.")
        differences = await run_in_thread(compare.recipe_differences, first.run, second.run)
        results = await run_in_thread(lambda: [compare.run_results(history) for history in self.histories])
        bold = f"bold {self.app.theme_variables.get('accent', '')}"
        lines = [
            Line(name, (Text(name.replace("_", " "), style=bold), format_value(a, "-"), format_value(b, "-"))) for name, a, b in differences
        ]
        lines += [
            Line(f"result {name}", (name, format_value(value, "-"), format_value(results[1][name], "-")))
            for name, value in results[0].items()
        ]
        self.query_one(Listing).show(lines)

    def action_log(self) -> None:
        """Logarithmic heights, or plain."""
        chart = self.query_one(Chart)
        chart.view = replace(chart.view, log_scale=not chart.view.log_scale)
        chart.redraw()

    def action_smooth(self) -> None:
        """Smoothed, or not."""
        chart = self.query_one(Chart)
        chart.view = replace(chart.view, smoothing=0.0 if chart.view.smoothing else 0.9)
        chart.redraw()
