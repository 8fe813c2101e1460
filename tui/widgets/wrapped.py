"""Text in lines as long as their writer made them, and how they fall into rows of a width."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from rich.cells import cell_len
from textual.content import Content

EMPTY = Content("")
_WORD = re.compile(r"\S+\s*|\s+")


@dataclass(frozen=True)
class Line:
    """A line without an end of line in it. Styles are component classes with a dot before them.

    edge: stands before all its rows. lead: stands before its first row, the others are indented as far. fill: the style that its rows are
    filled with to the right end, or nothing. margin: filled cells before the text that are no part of it.
    """

    text: Content
    edge: Content = EMPTY
    lead: Content = EMPTY
    fill: str = ""
    margin: int = 0

    @property
    def plain(self) -> str:
        """What is copied."""
        return self.lead.plain + self.text.plain

    def rows(self, width: int) -> list[tuple[int, int]]:
        """Where in the text each of its rows begins and ends. width: cells, edge and lead counted."""
        text = self.text.plain
        begins = breaks(text, max(width - self.edge.cell_length - self.lead.cell_length - self.margin, 1))
        return [(at, at + len(text[at:end].rstrip())) for at, end in zip(begins, [*begins[1:], len(text)], strict=True)]


@dataclass(frozen=True)
class Rule:
    """A rule from the left to the right."""

    edge: Content = EMPTY

    def lines(self, width: int) -> list[Line]:
        """The rule."""
        return [Line(Content("─" * max(width - self.edge.cell_length, 1)).stylize(".rule"), self.edge)]


@dataclass(frozen=True)
class Table:
    """Cells row by row, the first row being the heads. aligns: left, right or center, for each column."""

    cells: Sequence[Sequence[Content]]
    aligns: Sequence[str]
    edge: Content = field(default=EMPTY)

    NARROWEST = 3
    """Cells that a column has at least."""

    def lines(self, width: int) -> list[Line]:
        """Columns as wide as their texts, the widest ones narrowed until all fit; what a cell does not hold goes on below."""
        widths = [max(self.NARROWEST, *(cell.cell_length for cell in column)) for column in zip(*self.cells, strict=True)]
        room = width - self.edge.cell_length - 3 * (len(widths) - 1)
        while sum(widths) > room and max(widths) > self.NARROWEST:
            widest = widths.index(max(widths))
            widths[widest] -= min(max(sum(widths) - room, 1), max(1, (widths[widest] - self.NARROWEST) // 2))
        lines = [line for row in self.cells for line in self._row(row, widths)]
        head = len(self._row(self.cells[0], widths))
        rule = Content("─┼─".join("─" * wide for wide in widths)).stylize(".rule")
        return [*(replace(line, text=line.text.stylize(".strong")) for line in lines[:head]), Line(rule, self.edge), *lines[head:]]

    def _row(self, row: Sequence[Content], widths: Sequence[int]) -> list[Line]:
        cut = [[cell[at:end] for at, end in Line(cell).rows(wide)] for cell, wide in zip(row, widths, strict=True)]
        between = Content(" │ ").stylize(".rule")
        lines = []
        for number in range(max(map(len, cut))):
            parts = [cell[number] if number < len(cell) else EMPTY for cell in cut]
            aligned = [_aligned(part, wide, align) for part, wide, align in zip(parts, widths, self.aligns, strict=True)]
            lines.append(Line(between.join(aligned), self.edge))
        return lines


def _aligned(text: Content, width: int, align: str) -> Content:
    spare = max(width - text.cell_length, 0)
    left = {"right": spare, "center": spare // 2}.get(align, 0)
    return text.pad(left, spare - left)


def breaks(text: str, width: int) -> list[int]:
    """Where rows of at most `width` cells begin: between words where a word fits a row, inside of it where not."""
    starts, used = [0], 0
    if cell_len(text) <= width:
        return starts
    for match in _WORD.finditer(text):
        size = cell_len(match[0].rstrip())
        if used and used + size > width >= size:
            starts.append(match.start())
            used = 0

        # A word that fits a row is never divided.
        if used + size <= width:
            used += cell_len(match[0])
            continue

        # A longer one is, where the row ends.
        for at, sign in enumerate(match[0], match.start()):
            cells = cell_len(sign)
            if used and used + cells > width:
                starts.append(at)
                used = 0
            used += cells
    return starts
