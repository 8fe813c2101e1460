"""Word documents (.docx): paragraphs and tables in their order."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from edgetune.data.readers import archive
from edgetune.data.readers.errors import damaged, no_text
from edgetune.data.readers.pieces import numbered_rows
from edgetune.data.row import RawRow
from edgetune.text import one_line

SUFFIXES = (".docx",)
FILE_KIND = "a Word document"


def read(path: Path) -> Iterator[RawRow]:
    """Rows of whole paragraphs. Raises FileError: wrong_content, damaged, bomb, encrypted, no_text."""
    with archive.opened_zip(path, FILE_KIND) as packed:
        if "word/document.xml" not in packed.namelist():
            raise damaged(path, FILE_KIND, "it has no word/document.xml")
    rows = numbered_rows(_texts(path))
    first = next(rows, None)
    if first is None:
        raise no_text(path, "It has pictures or nothing at all.", "Name another file, or turn its pictures into text first.")
    yield first
    yield from rows


def _texts(path: Path) -> Iterator[str]:
    import docx

    try:
        yield from _paragraphs(docx.Document(str(path)))
    except Exception as error:  # python-docx and lxml raise anything on a damaged file
        raise damaged(path, FILE_KIND, one_line(str(error), 200)) from error


def _paragraphs(container: Any) -> Iterator[str]:
    """Text of the paragraphs of a document or table cell; a table's row is one line, its cells divided by bars."""
    from docx.table import Table

    for block in container.iter_inner_content():
        if isinstance(block, Table):
            yield "\n".join(_table_rows(block))
        elif block.text.strip():
            yield block.text


def _table_rows(table: Any) -> Iterator[str]:
    from docx.table import _Cell

    for row in table.rows:
        # not row.cells: it repeats a cell for as many columns as the file says it spans
        texts = [" ".join(" ".join(_paragraphs(_Cell(cell, table))).split()) for cell in row._tr.tc_lst]
        if any(texts):
            yield " | ".join(texts)
