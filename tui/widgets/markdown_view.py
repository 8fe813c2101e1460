"""Markdown that grows, drawn by one widget: a piece more costs what the last block costs, however long the text is."""

from typing import ClassVar

from rich.segment import Segment
from textual.content import Content
from textual.geometry import Region, Size
from textual.selection import Selection
from textual.strip import Strip
from textual.style import Style
from textual.widget import Widget

from tui.widgets.markdown_lines import MarkdownLines
from tui.widgets.wrapped import Line


class MarkdownView(Widget):
    """Shows Markdown, without links to follow, as Textual's own does with a widget for each block. Can be selected and copied."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        *("h1", "h2", "h3", "em", "strong", "s", "code", "fence", "link", "bullet", "quote", "rule"),
    }
    DEFAULT_CSS = """
    MarkdownView {
        height: auto;
        & > .h1 { color: $markdown-h1-color; text-style: bold underline; }
        & > .h2 { color: $markdown-h2-color; text-style: bold; }
        & > .h3 { text-style: bold; }
        & > .em { text-style: italic; }
        & > .strong { text-style: bold; }
        & > .s { text-style: strike; }
        & > .code { color: $text-warning; background: $warning 10%; }
        & > .fence { background: $foreground 6%; }
        & > .link { text-style: underline; }
        & > .bullet { color: $text-primary; }
        & > .quote { color: $text-primary; }
        & > .rule { color: $foreground 30%; }
    }
    """

    def __init__(self, text: str = "") -> None:
        super().__init__()
        self._text = MarkdownLines()
        self._width = 0
        self._lines: list[Line] = []
        self._rows: list[tuple[int, int, int]] = []  # the line, and where in its text the row begins and ends
        self._laid = 0, 0, 0  # how many parts, lines and rows stay while the text grows
        self._text.append(text)

    @property
    def source(self) -> str:
        """The Markdown."""
        return self._text.source

    def append(self, text: str) -> None:
        """More of it."""
        if not text:
            return
        self._text.append(text)
        if not self._width:
            return
        height, first = len(self._rows), self._laid[2]
        self._lay_out(self._width)
        # A row more moves what is below; the same number of rows is only drawn.
        self.refresh(Region(0, first, self._width, max(len(self._rows) - first, 1)), layout=len(self._rows) != height)

    def read_again(self) -> None:
        """Read all of it as one text, once it is whole: while it grew, blocks were settled that a later piece might have changed."""
        text, self._text = self.source, MarkdownLines()
        self._text.append(text)
        self._width = 0
        self.refresh(layout=True)

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        """Rows at a width."""
        self._lay_out(width)
        return len(self._rows)

    def _lay_out(self, width: int) -> None:
        """Let lines fall into rows; those that were there and stay are not done again."""
        if width != self._width:
            self._width, self._laid = width, (0, 0, 0)
        parts, lines, rows = self._laid
        del self._lines[lines:], self._rows[rows:]
        everything, settled = self._text.parts, self._text.settled
        for number in range(parts, len(everything)):
            if number == settled:
                self._laid = number, len(self._lines), len(self._rows)
            part = everything[number]
            for line in [part] if isinstance(part, Line) else part.lines(width):
                self._rows.extend((len(self._lines), begin, end) for begin, end in line.rows(width))
                self._lines.append(line)

    def render_line(self, y: int) -> Strip:
        """One row."""
        width = self.content_size.width
        if width and width != self._width:
            self._lay_out(width)
        base = self.visual_style
        if not 0 <= y < len(self._rows):
            return Strip.blank(width, base.rich_style)
        at, begin, end = self._rows[y]
        line = self._lines[at]

        # The edge and the margin come before what can be selected.
        segments = self._segments(line.edge, base)
        if line.fill:
            base = self.get_visual_style(line.fill[1:])
            segments.append(Segment(" " * line.margin, base.rich_style))

        # A selection covers the lead, the text, or a part of each.
        lead, text = line.lead, line.text
        if (selection := self.text_selection) and (span := selection.get_span(at)):
            chosen = Style.from_styles(self.screen.get_component_styles("screen--selection"))
            before, last = len(lead.plain), len(line.plain) if span[1] < 0 else span[1]
            lead = lead.stylize(chosen, span[0], min(last, before)) if span[0] < before else lead
            text = text.stylize(chosen, max(span[0] - before, 0), last - before) if last > before else text

        # Only the first row of a line has its lead; the others are indented as far.
        if begin:
            segments.append(Segment(" " * lead.cell_length, base.rich_style))
        else:
            segments += self._segments(lead, base, (0, at))
        segments += self._segments(text[begin:end], base, (len(lead.plain) + begin, at))
        return Strip(segments).adjust_cell_length(width, base.rich_style)

    def _segments(self, content: Content, base: Style, position: tuple[int, int] | None = None) -> list[Segment]:
        """A piece of a row. position: the column and the line of its first character, for who selects with the mouse."""
        segments, x = [], position[0] if position else 0
        for text, style in content.render(base, end="", parse_style=self._style):
            full = base + style
            segments.append(Segment(text, full.rich_style_with_offset(x, position[1]) if position else full.rich_style))
            x += len(text)
        return segments

    def _style(self, style: str | Style) -> Style:
        if isinstance(style, Style):
            return style
        return self.get_visual_style(style[1:], partial=True) if style.startswith(".") else Style.parse(style)

    def get_selection(self, selection: Selection) -> tuple[str, str] | None:
        """What is copied: lines as they were written, not as they are wrapped."""
        pieces = []
        for at, line in enumerate(self._lines):
            if span := selection.get_span(at):
                pieces.append(line.plain[span[0] : None if span[1] < 0 else span[1]])
        return "\n".join(pieces), "\n"
