"""A chart of curves that grow, drawn by plotext beside the UI: a drawing takes longer than a key may wait."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from textual.color import Color
from textual.content import Content
from textual_plotext import PlotextPlot

from edgetune.runs import chart
from edgetune.runs.chart import View
from edgetune.runs.curve import Curve
from edgetune.text import one_line
from tui.error_handling import run_in_thread

_PLOTEXT = threading.Lock()
"""plotext keeps its themes and the terminal's size for all plots in common."""


@dataclass(frozen=True)
class Plotted:
    """A curve to draw: what it is called, the curve, and which of the theme's colours it has."""

    label: str
    curve: Curve
    colour: str = "primary"
    dots: bool = False


class Chart(PlotextPlot):
    """Curves over steps. view: how they are looked at; to be changed as a whole. unit: what one on the scale stands for. empty: what is
    said while there is no point."""

    def __init__(self, title: str, curves: Sequence[Plotted], id: str | None = None, unit: float = 1.0) -> None:
        super().__init__(id=id, classes="panel chart")
        self.border_title = Content(one_line(title, 120))
        self.curves, self.unit = curves, unit
        self.view = View()
        self.empty = "nothing measured yet"
        self._picture: Any = ""
        self._looks: tuple[Any, ...] = ()
        self._stale, self._drawing = True, False

    def redraw(self) -> None:
        """Draw what the curves hold now. Until that is done, what was drawn last is shown."""
        self._stale = True
        if self.is_mounted and self.size:
            self._begin()

    def render(self) -> Any:
        """What was drawn last; where it no longer fits, another one is on its way."""
        if self._stale or self._looks != (self.size, self.app.theme):
            self._begin()
        return self._picture

    def _begin(self) -> None:
        if not self._drawing:
            self._drawing = True
            self.run_worker(self._draw_in_thread(), group="chart")

    async def _draw_in_thread(self) -> None:
        """Draw until what is shown is what the curves hold, in the size it has."""
        try:
            while self._stale or self._looks != (self.size, self.app.theme):
                self._stale, looks = False, (self.size, self.app.theme)
                points = [(plotted, *self._points(plotted)) for plotted in self.curves]
                self._picture = await run_in_thread(self._draw, [each for each in points if each[1]], self.app.theme_variables)
                self._looks = looks
                self.refresh()
        finally:
            self._drawing = False

    def _draw(self, drawn: list[tuple[Plotted, list[float], list[float]]], colours: dict[str, str]) -> Any:
        """The picture of some points, in any thread."""
        if not drawn:
            return f"  {self.empty}"

        # plotext keeps its figure for all charts: it is filled and drawn under one lock.
        plt = self.plt
        ascii_only = getattr(self.app, "ascii_only", False)
        with _PLOTEXT:
            plt.clear_data()
            plt.frame(False)
            plt.grid(False, False)
            for plotted, steps, values in drawn:
                colour = Color.parse(colours.get(plotted.colour, "white")).rgb
                if len(steps) > 1 and not plotted.dots:
                    plt.plot(steps, values, color=colour, marker="*" if ascii_only else "braille")
                else:
                    plt.scatter(steps, values, color=colour, marker="o" if ascii_only else "●")
            self.plt.yticks(*self.view.heights([value for _, _, values in drawn for value in values], self._ticks, self.unit))
            ticks = chart.step_ticks([step for _, steps, _ in drawn for step in steps])
            self.plt.xticks(ticks, [f"{tick:.0f}" for tick in ticks])
            return super().render()

    @property
    def _ticks(self) -> int:
        """How many heights have a number beside them: few."""
        return max(2, min(5, self.size.height // 3))

    def _points(self, plotted: Plotted) -> tuple[list[float], list[float]]:
        """The part of a curve that is shown: no more points than there is room for."""
        last = chart.last_step([each.curve for each in self.curves])
        pairs = self.view.points(plotted.curve, last, 2 * max(self.size.width, 20), plotted.dots)
        return [step for step, _ in pairs], [height for _, height in pairs]
