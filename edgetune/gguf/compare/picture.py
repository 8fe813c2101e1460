"""The comparison as a picture in a terminal: size to the right, distance from full precision upwards."""

import math

from edgetune.gguf.compare.comparison import ComparisonResult

HEIGHT = 16
MIN_KL = 1e-9
"""A mean KL below this is drawn here: logarithms need numbers above zero."""


def letter(index: int) -> str:
    """What a file is called in the picture, by its line in the table."""
    return chr(ord("a") + index % 26)


def decades(values: list[float]) -> list[float]:
    """The powers of ten from below the smallest value to above the largest."""
    low = math.floor(math.log10(min(values)))
    high = math.ceil(math.log10(max(values)))
    return [10.0**power for power in range(low, max(high, low + 1) + 1)]


def draw_picture(compared: ComparisonResult, width: int) -> str:
    """A scatter of all files by their letters, as text without colours."""
    import plotext

    sizes = [file.bytes / 2**20 for file in compared.files]
    distances = [max(file.kl_mean, MIN_KL) for file in compared.files]
    ticks = decades(distances)
    span = (max(sizes) - min(sizes)) or max(sizes)

    plotext.clear_figure()
    plotext.theme("clear")
    plotext.plotsize(max(40, min(width, 90)), HEIGHT)
    heights = [math.log10(tick) for tick in ticks]
    plotext.ylim(heights[0], heights[-1])
    plotext.yticks(heights, [f"{tick:g}" for tick in ticks])
    plotext.xlim(max(0, min(sizes) - span * 0.05), max(sizes) + span * 0.05)

    # Plotext needs points to lay the axes out; what is seen are the letters.
    plotext.scatter(sizes, [math.log10(value) for value in distances], marker=" ")
    for index, (size, value) in enumerate(zip(sizes, distances, strict=True)):
        plotext.text(letter(index), size, math.log10(value))
    plotext.xlabel("size (MiB)")
    plotext.title("mean KL from full precision")
    text: str = plotext.uncolorize(plotext.build())
    plotext.clear_figure()
    return "\n".join(line.rstrip() for line in text.splitlines())
