"""Columns side by side in a terminal that is too narrow for all of them."""

from collections.abc import Sequence

from rich.text import Text

LEAST = 8
"""Cells that a column keeps when it gives way to the others."""


def fitted(widths: Sequence[int], room: int, gives: int, head: int = 0) -> list[int]:
    """Widths of columns that fit side by side in `room` cells: one gives way first, then the widest, a cell at a time.

    gives: which one, by place. head: cells of its title, which it keeps.
    """
    fitted_widths = list(widths)
    excess = sum(fitted_widths) - room
    if excess > 0:
        given = min(excess, max(fitted_widths[gives] - max(LEAST, head), 0))
        fitted_widths[gives] -= given
        for _ in range(excess - given):
            widest = max(fitted_widths)
            fitted_widths[fitted_widths.index(widest)] = max(widest - 1, 1)
    return fitted_widths


def cut(text: Text, width: int) -> Text:
    """The text in so many cells; where that is too few, it says so with its last sign."""
    if text.cell_len <= width:
        return text
    short = text.copy()
    short.truncate(max(width, 1), overflow="ellipsis")
    return short
