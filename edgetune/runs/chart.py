"""Curves as charts: which points of them are drawn, what stands on the scales, and a chart in plain text."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from edgetune.runs.curve import Curve

Pairs = list[tuple[float, float]]
"""Points as (step, height)."""
CHART_HEIGHT = 16
MAX_CHART_WIDTH = 110
"""Lines and cells of a chart in text."""
ASCII_FRAME = str.maketrans("┌┐└┘┤┬│─", "++++++|-")
"""Its frame, for terminals without Unicode."""


@dataclass(frozen=True)
class View:
    """How curves are looked at. smoothing: weight of the moving average, 0 for none. log_scale: heights as logarithms. zoom: share of the
    steps that is shown, the last ones."""

    smoothing: float = 0.0
    log_scale: bool = False
    zoom: float = 1.0

    def points(self, curve: Curve, last: float, room: int, dots: bool = False) -> Pairs:
        """The part of a curve that is shown, at most about `room` points. last: the last step of all curves. dots: of single measurements,
        which are never smoothed."""
        first = last * (1 - self.zoom) if self.zoom < 1 else -1
        values = curve.smoothed(0 if dots else self.smoothing)
        pairs = [(step, value) for step, value in zip(curve.steps, values, strict=True) if step >= first]
        if self.log_scale:
            pairs = [(step, math.log10(value)) for step, value in pairs if value > 0]
        return thin_out(pairs, room)

    def heights(self, values: Sequence[float], count: int, unit: float = 1.0) -> tuple[list[float], list[str]]:
        """Places on the scale of heights, lowest to highest, and what they are called; logarithms are called by what they stand for."""
        low, high = min(values), max(values)
        positions = [low + (high - low) * i / (count - 1) for i in range(count)] if high > low else [low]
        return positions, [short_number((10**position if self.log_scale else position) / unit) for position in positions]


def last_step(curves: Sequence[Curve]) -> float:
    """The last step of several curves."""
    return max((curve.steps[-1] for curve in curves if curve.steps), default=0)


def step_ticks(values: Sequence[float]) -> list[float]:
    """Places on the scale of steps: the first, the middle, the last."""
    left, right = min(values), max(values)
    return sorted({left, (left + right) / 2, right})


def thin_out(pairs: Pairs, most: int) -> Pairs:
    """At most about `most` points: of each stretch its lowest and its highest, so that no spike is lost."""
    stretch = 2 * math.ceil(len(pairs) / most)
    if stretch <= 2:
        return pairs
    points = []
    for start in range(0, len(pairs), stretch):
        part = pairs[start : start + stretch]
        points += sorted({min(part, key=lambda pair: pair[1]), max(part, key=lambda pair: pair[1])})
    return points


def short_number(value: float) -> str:
    """A number in few signs."""
    size = abs(value)
    if size >= 1e9:
        return f"{value / 1e9:.1f}G"
    if size >= 999.5:
        return f"{value:,.0f}" if size < 1e5 else f"{value / 1e3:.0f}k"
    return f"{value:.3g}"


def text_chart(drawn: Sequence[tuple[str, Pairs]], view: View, width: int, unit: float = 1.0) -> str:
    """A chart without colours: each curve drawn with its letter, those of single measurements with a capital, over the others. Empty
    where there is no point."""
    # Whoever is drawn last is on top, and single measurements must not hide under their curve.
    drawn = sorted(((sign, pairs) for sign, pairs in drawn if pairs), key=lambda each: each[0].isupper())
    if not drawn:
        return ""

    # Only here: everything that reads runs imports this module, and few of them draw.
    import plotext

    # plotext keeps one figure for the whole process: an earlier chart must not show through.
    plotext.clear_figure()
    plotext.theme("clear")
    plotext.plotsize(max(40, min(width, MAX_CHART_WIDTH)), CHART_HEIGHT)

    # A line needs two points, so a curve with one is drawn as a dot.
    for sign, pairs in drawn:
        draw = plotext.scatter if sign.isupper() or len(pairs) == 1 else plotext.plot
        draw([step for step, _ in pairs], [height for _, height in pairs], marker=sign)

    # plotext would put its own ticks at values that nobody logs, such as step 12.5.
    plotext.yticks(*view.heights([height for _, pairs in drawn for _, height in pairs], CHART_HEIGHT // 3, unit))
    positions = step_ticks([step for _, pairs in drawn for step, _ in pairs])
    plotext.xticks(positions, [f"{position:.0f}" for position in positions])

    # Colours would end up as escape codes in a log or a pipe.
    lines: str = plotext.uncolorize(plotext.build())
    plotext.clear_figure()
    return "\n".join(line.rstrip() for line in lines.splitlines())
