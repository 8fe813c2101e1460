"""The comparison as a picture in a terminal: size to the right, distance from full precision upwards."""

import math

from edgetune.gguf.compare.comparison import ComparisonResult

HEIGHT = 16
MIN_KL = 1e-9
"""A mean KL below this is drawn here: logarithms need numbers above zero."""


def letter(index: int) -> str:
    """What the file of a place in the table is called in the picture."""
    return chr(ord("a") + index % 26)


def decades(values: list[float]) -> list[float]:
    """The powers of ten from below the smallest value to above the largest."""
    low, high = (function(math.log10(value)) for function, value in ((math.floor, min(values)), (math.ceil, max(values))))
    return [10.0**power for power in range(low, max(high, low + 1) + 1)]


def draw_picture(compared: ComparisonResult, width: int) -> str:
    """A scatter of all files by their letters, as text without colours."""
    import plotext

    across = [one.bytes / 2**20 for one in compared.files]
    far = [max(one.kl_mean, MIN_KL) for one in compared.files]
    ticks, span = decades(far), (max(across) - min(across)) or max(across)
    plotext.clear_figure()
    plotext.theme("clear")
    plotext.plotsize(max(40, min(width, 90)), HEIGHT)
    places = [math.log10(tick) for tick in ticks]
    plotext.ylim(places[0], places[-1])
    plotext.yticks(places, [f"{tick:g}" for tick in ticks])
    plotext.xlim(max(0, min(across) - span * 0.05), max(across) + span * 0.05)
    plotext.scatter(across, [math.log10(value) for value in far], marker=" ")
    for index, (size, value) in enumerate(zip(across, far, strict=True)):
        plotext.text(letter(index), size, math.log10(value))
    plotext.xlabel("size (MiB)")
    plotext.title("mean KL from full precision")
    text: str = plotext.uncolorize(plotext.build())
    plotext.clear_figure()
    return "\n".join(line.rstrip() for line in text.splitlines())
