"""A chart of curves that grow, drawn by plotext no more often than the screen can show."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from textual.color import Color
from textual.content import Content
from textual_plotext import PlotextPlot

from edgetune.jobs.curve import Curve
from edgetune.text import one_line


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
        self._drawn: tuple[Any, Any] | None = None

    def draw_anew(self) -> None:
        """Draw what the curves hold now. Without this, what was drawn last is shown: drawing takes longer than a key may wait."""
        self._drawn = None
        self.refresh()

    def render(self) -> Any:
        """What was drawn last, if it still fits."""
        looks = (self.size, self.app.theme)
        if self._drawn is None or self._drawn[0] != looks:
            self._drawn = looks, self._draw()
        return self._drawn[1]

    def _draw(self) -> Any:
        plt = self.plt
        plt.clear_data()
        plt.frame(False)
        plt.grid(False, False)
        ascii_only = getattr(self.app, "ascii_only", False)
        drawn = [(one, *self._points(one)) for one in self.curves]
        drawn = [(one, steps, values) for one, steps, values in drawn if steps]
        if not drawn:
            return "  nothing measured yet"
        for one, steps, values in drawn:
            colour = Color.parse(self.app.theme_variables.get(one.colour, "white")).rgb
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
