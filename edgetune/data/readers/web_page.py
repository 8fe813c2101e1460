"""HTML: the text of a page, paragraph by paragraph, without scripts, styles and menus."""

import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from edgetune.data.readers import opened
from edgetune.data.readers.errors import FileError, no_text
from edgetune.data.readers.pieces import numbered_rows
from edgetune.data.row import RawRow

SUFFIXES = (".html", ".htm", ".xhtml")
MAX_PAGE_BYTES = 1 << 25
"""Bytes of the largest page; the whole of it is held in memory, several times over."""
DROPPED_TAGS = ("script", "style", "nav", "noscript", "template", "head", "svg", "button", "select", "iframe")
BLOCK_TAGS = frozenset(
    {
        *("address", "article", "aside", "blockquote", "body", "dd", "details", "dialog", "div", "dl", "dt", "fieldset", "figcaption"),
        *("figure", "footer", "form", "h1", "h2", "h3", "h4", "h5", "h6", "header", "hr", "html", "li", "main", "ol", "p", "pre"),
        *("section", "summary", "table", "tbody", "td", "tfoot", "th", "thead", "tr", "ul", "[document]"),
    }
)
CELL_SEPARATOR = "\x1f"
"""Stands between the cells of a table's row."""
_DECLARED = re.compile(rb"<meta[^>]+charset|<\?xml[^>]+encoding", re.I)
_SPACE = re.compile(r"[ \t\r\n\f]+")


def read(path: Path) -> Iterator[RawRow]:
    """Rows of whole paragraphs. Raises FileError: too_large, no_text, and what opened.utf8 raises."""
    size = path.stat().st_size
    if size > MAX_PAGE_BYTES:
        cause = f"It has more than {MAX_PAGE_BYTES >> 20} MiB."
        raise FileError(path, "too_large", "is too large for a web page", cause, "Save its text as .txt.")
    with opened.utf8(path, markup=True) as file:
        content = file.read()
    rows = numbered_rows(html_paragraphs(content))
    first = next(rows, None)
    if first is None:
        raise no_text(path, "Scripts make its text, or there is none.", "Open it in a browser and save the page as text (.txt).")
    yield first
    yield from rows


def html_paragraphs(content: bytes) -> Iterator[str]:
    """The texts of a page's blocks, in order; a table's row is one line, its cells divided by bars."""
    from bs4 import NavigableString

    parts: list[str] = []
    current = 0
    cell = 0
    for node in _soup(content).descendants:
        if getattr(node, "name", "") == "br":
            parts.append("\n")
        if type(node) is not NavigableString:  # comments, doctypes and the like have classes of their own
            continue

        # Text of one block is one paragraph; the cells of a table's row are one, with marks between them.
        block = next(parent for parent in node.parents if parent.name in BLOCK_TAGS)
        in_cell = block.name in ("td", "th")
        key = id(block.parent) if in_cell else id(block)
        if key != current:
            yield from _block_text(parts)
            parts, current = [], key
        elif in_cell and id(block) != cell:
            parts.append(CELL_SEPARATOR)

        cell = id(block)
        parts.append(str(node) if block.name == "pre" else _SPACE.sub(" ", node))
    yield from _block_text(parts)


def _soup(content: bytes) -> Any:
    """The page's tree. Text that is valid UTF-8 is that, whatever the page declares; else its own word counts."""
    from bs4 import BeautifulSoup, XMLParsedAsHTMLWarning

    encoding: str | None = "utf-8"
    try:
        content.decode()
    except UnicodeDecodeError:
        encoding = None if _DECLARED.search(content[:2048]) else "windows-1252"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", XMLParsedAsHTMLWarning)
        soup = BeautifulSoup(content, "lxml", from_encoding=encoding)
    for tag in soup(DROPPED_TAGS):
        tag.decompose()
    return soup


def _block_text(parts: list[str]) -> Iterator[str]:
    text = "".join(parts)
    cells = [" ".join(cell.split()) for cell in text.split(CELL_SEPARATOR)]
    if len(cells) > 1:
        text = " | ".join(cell for cell in cells if cell)
    if text.strip():
        yield "\n".join(line.strip(" ") if not line.startswith("  ") else line.rstrip() for line in text.strip("\n").split("\n"))
