"""A chart of curves that grow, drawn by plotext beside the UI: a drawing takes longer than a key may wait."""

import math
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from textual.color import Color
from textual.content import Content
from textual_plotext import PlotextPlot

from edgetune.jobs.curve import Curve
from edgetune.text import one_line
from tui.attempt import in_thread

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
    """Curves over steps. smoothing: weight of the moving average, 0 for none. log_scale: heights as logarithms. zoom: share of steps
    shown. unit: what one on the scale stands for."""

    def __init__(self, title: str, curves: Sequence[Plotted], id: str | None = None, unit: float = 1.0) -> None:
        super().__init__(id=id, classes="panel chart")
        self.border_title = Content(one_line(title, 120))
        self.curves, self.unit = curves, unit
        self.smoothing, self.log_scale, self.zoom = 0.0, False, 1.0
        self._picture: Any = ""
        self._looks: tuple[Any, ...] = ()
        self._stale, self._drawing = True, False

    def draw_anew(self) -> None:
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
            self.run_worker(self._draw_beside(), group="chart")

    async def _draw_beside(self) -> None:
        """Draw until what is shown is what the curves hold, in the size it has."""
        try:
            while self._stale or self._looks != (self.size, self.app.theme):
                self._stale, looks = False, (self.size, self.app.theme)
                points = [(one, *self._points(one)) for one in self.curves]
                self._picture = await in_thread(self._draw, [each for each in points if each[1]], self.app.theme_variables)
                self._looks = looks
                self.refresh()
        finally:
            self._drawing = False

    def _draw(self, drawn: list[tuple[Plotted, list[float], list[float]]], colours: dict[str, str]) -> Any:
        """The picture of some points, in any thread."""
        if not drawn:
            return "  nothing measured yet"
        plt = self.plt
        ascii_only = getattr(self.app, "ascii_only", False)
        with _PLOTEXT:
            plt.clear_data()
            plt.frame(False)
            plt.grid(False, False)
            for one, steps, values in drawn:
                colour = Color.parse(colours.get(one.colour, "white")).rgb
                if len(steps) > 1 and not one.dots:
                    plt.plot(steps, values, color=colour, marker="*" if ascii_only else "braille")
                else:
                    plt.scatter(steps, values, color=colour, marker="o" if ascii_only else "●")
            self._ticks([step for _, steps, _ in drawn for step in steps], [value for _, _, values in drawn for value in values])
            return super().render()

    def _points(self, one: Plotted) -> tuple[list[float], list[float]]:
        """The part of a curve that is shown: no more points than there is room for."""
        curve = one.curve
        first = self._first()
        pairs = [(s, v) for s, v in zip(curve.steps, curve.smoothed(0 if one.dots else self.smoothing), strict=True) if s >= first]
        if self.log_scale:
            pairs = [(s, math.log10(v)) for s, v in pairs if v > 0]
        pairs = thinned(pairs, 2 * max(self.size.width, 20))
        return [s for s, _ in pairs], [v for _, v in pairs]

    def _first(self) -> float:
        """The first step that is shown."""
        last = max((one.curve.steps[-1] for one in self.curves if one.curve.steps), default=0)
        return last * (1 - self.zoom) if self.zoom < 1 else -1

    def _ticks(self, steps: list[float], values: list[float]) -> None:
        """Few ticks with short numbers; logarithms are labelled with what they stand for."""
        low, high = min(values), max(values)
        count = max(2, min(5, self.size.height // 3))
        heights = [low + (high - low) * i / (count - 1) for i in range(count)] if high > low else [low]
        self.plt.yticks(heights, [short((10**h if self.log_scale else h) / self.unit) for h in heights])
        left, right = min(steps), max(steps)
        places = sorted({left, (left + right) / 2, right})
        self.plt.xticks(places, [f"{place:.0f}" for place in places])


def thinned(pairs: list[tuple[float, float]], most: int) -> list[tuple[float, float]]:
    """At most about `most` points: of each stretch its lowest and its highest, so that no spike is lost."""
    stretch = 2 * math.ceil(len(pairs) / most)
    if stretch <= 2:
        return pairs
    found = []
    for start in range(0, len(pairs), stretch):
        part = pairs[start : start + stretch]
        found += sorted({min(part, key=lambda pair: pair[1]), max(part, key=lambda pair: pair[1])})
    return found


def short(value: float) -> str:
    """A number in few signs."""
    size = abs(value)
    if size >= 1e9:
        return f"{value / 1e9:.1f}G"
    if size >= 999.5:
        return f"{value:,.0f}" if size < 1e5 else f"{value / 1e3:.0f}k"
    return f"{value:.3g}"
