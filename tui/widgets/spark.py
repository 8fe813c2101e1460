"""A curve as small as a word, and a bar."""

from collections.abc import Sequence

BARS, PLAIN_BARS = "▁▂▃▄▅▆▇█", "_.:-=+*#"


def spark(values: Sequence[float], width: int, ascii_only: bool = False) -> str:
    """Values as one line of `width` signs at most, lowest to highest."""
    if not values:
        return ""
    signs = PLAIN_BARS if ascii_only else BARS
    if len(values) > width:
        values = [values[round(i * (len(values) - 1) / (width - 1))] for i in range(width)] if width > 1 else [values[-1]]
    low, high = min(values), max(values)
    span = high - low
    return "".join(signs[min(7, int((value - low) / span * 8))] if span else signs[0] for value in values)


def bar(share: float, width: int, ascii_only: bool = False) -> str:
    """A bar of `width` cells, filled to a share from 0 to 1."""
    full = round(min(1.0, max(0.0, share)) * width)
    return ("#" * full + "-" * (width - full)) if ascii_only else ("█" * full + "░" * (width - full))
