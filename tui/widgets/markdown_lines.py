"""Markdown as lines to draw, for a text that grows: what it says before its last block is read once."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from io import StringIO

from markdown_it import MarkdownIt
from markdown_it.tree import SyntaxTreeNode
from textual.content import Content, Span
from textual.highlight import highlight

from edgetune.text import one_line, safe_text
from tui.widgets.wrapped import EMPTY, Line, Rule, Table

Part = Line | Rule | Table
BLANK = Line(EMPTY)
BULLETS = "•▪‣◦"
"""One for each depth of lists, round and round."""
STYLES = {"em": ".em", "strong": ".strong", "s": ".s", "code_inline": ".code"}
LONGEST_LINK = 200
"""Characters of a link's target that are shown."""
COLOURED = 100
"""Lines of code that are coloured at once. A text over several lines that begins in one piece is not known in the next as such."""
_SPACES = re.compile(r"[^\S ]")
# HTML is shown as it is written: nothing draws it, and a tag left out would be text lost.
_READER = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])


class MarkdownLines:
    """source: the text so far. parts: all there is to draw. settled: how many of these stay as they are, whatever is appended."""

    def __init__(self) -> None:
        self.source = ""
        self.parts: list[Part] = []
        self.settled = 0
        self._from = 0  # where in the source the last block begins: what follows may change it

    def append(self, text: str) -> None:
        """More of the text."""
        self.source += text
        blocks = _blocks(self.source[self._from :])
        del self.parts[self.settled :]
        for block in blocks[:-1]:
            self._add(block)
        if len(blocks) > 1 and blocks[-1].map:
            self.settled = len(self.parts)
            for _ in range(blocks[-1].map[0]):
                self._from = self.source.index("\n", self._from) + 1
        for block in blocks[-1:]:
            self._add(block)

    def _add(self, block: SyntaxTreeNode) -> None:
        if self.parts:
            self.parts.append(BLANK)
        self.parts.extend(_parts(block, EMPTY, 0))


def _blocks(source: str) -> Sequence[SyntaxTreeNode]:
    return SyntaxTreeNode(_READER.parse(source)).children


def _parts(node: SyntaxTreeNode, edge: Content, depth: int) -> Iterator[Part]:
    """What a block draws. edge: before each of its rows. depth: of lists around it."""
    if node.type == "heading":
        yield from (Line(text.stylize(f".h{min(int(node.tag[1:]), 3)}"), edge) for text in _texts(node))
    elif node.type in ("fence", "code_block"):
        yield from (Line(text, edge, fill=".fence", margin=2) for text in _code(node.content, node.info))
    elif node.type == "hr":
        yield Rule(edge)
    elif node.type == "table":
        yield _table(node, edge)
    elif node.type == "blockquote":
        yield from _spaced(node, edge + Content("▌ ").stylize(".quote"), depth)
    elif node.type in ("bullet_list", "ordered_list"):
        leads = _leads(node, depth)
        for item, lead in zip(node.children, leads, strict=True):
            yield from _item(item, edge, lead, depth + 1)
    else:
        yield from (Line(text, edge) for text in _texts(node))


def _spaced(node: SyntaxTreeNode, edge: Content, depth: int) -> Iterator[Part]:
    """The blocks in a block, a list right below its paragraph, all else with a blank line between."""
    for number, child in enumerate(node.children):
        if number and not (depth and child.type.endswith("_list")):
            yield Line(EMPTY, edge)
        yield from _parts(child, edge, depth)


def _item(item: SyntaxTreeNode, edge: Content, lead: Content, depth: int) -> Iterator[Part]:
    parts = list(_spaced(item, edge + Content(" " * lead.cell_length), depth))
    first = parts[0] if parts else Line(EMPTY)
    if isinstance(first, Line) and not first.lead and not first.margin:
        yield replace(first, edge=edge, lead=lead)
        parts = parts[1:]
    else:
        yield Line(EMPTY, edge, lead)
    yield from parts


def _leads(node: SyntaxTreeNode, depth: int) -> list[Content]:
    if node.type == "bullet_list":
        signs = [BULLETS[depth % len(BULLETS)] + " "] * len(node.children)
    else:
        first = int(node.attrs.get("start", 1))
        signs = [f"{number}. " for number in range(first, first + len(node.children))]
    widest = max(map(len, signs))
    return [Content(sign.rjust(widest)).stylize(".bullet") for sign in signs]


def _code(code: str, info: str) -> Iterator[Content]:
    """The lines of code, in colours where the language is known: piece by piece, so that what is added to long code costs a piece."""
    language = (*safe_text(info).split(maxsplit=1), "text")[0]
    rows = safe_text(code).rstrip("\n").expandtabs(4).splitlines() or [""]
    for at in range(0, len(rows), COLOURED):
        yield from _coloured("\n".join(rows[at : at + COLOURED]), language)


@lru_cache(64)
def _coloured(code: str, language: str) -> list[Content]:
    lines = list(highlight(code, language=language).split("\n", allow_blank=True))
    return [*lines, *[EMPTY] * (code.count("\n") + 1 - len(lines))]  # it leaves empty lines at the end out


def _table(node: SyntaxTreeNode, edge: Content) -> Table:
    rows = [row for part in node.children for row in part.children]
    cells = [[EMPTY.join(_texts(cell)) for cell in row.children] for row in rows]
    aligns = [str(cell.attrs.get("style", "")).removeprefix("text-align:") for cell in rows[0].children]
    return Table(cells, aligns, edge)


def _texts(node: SyntaxTreeNode) -> list[Content]:
    """The lines of a paragraph or the like, as many as it has hard breaks and one more."""
    text, spans = StringIO(), list[Span]()
    for child in node.children:
        _inline(child, text, spans)
    return Content(text.getvalue(), spans).split("\n", allow_blank=True) or [EMPTY]


def _inline(node: SyntaxTreeNode, text: StringIO, spans: list[Span]) -> None:
    """Add what a piece of running text says. Made safe here: an entity such as &#x202e; is a character only now."""
    begin = text.tell()
    if node.type == "hardbreak":
        text.write("\n")
    elif node.children and node.type != "image":
        for child in node.children:
            _inline(child, text, spans)
    else:
        text.write(" " if node.type == "softbreak" else _SPACES.sub(" ", safe_text(node.content)))
    if node.type in ("link", "image"):  # nobody can click on it, so that it is said where it leads
        spans.append(Span(begin, text.tell(), ".link"))
        target = one_line(str(node.attrs.get("href" if node.type == "link" else "src", "")), LONGEST_LINK)
        if target != text.getvalue()[begin:]:
            text.write(f" ({target})")
    elif node.type in STYLES:
        spans.append(Span(begin, text.tell(), STYLES[node.type]))
