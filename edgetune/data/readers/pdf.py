"""PDF documents: the text of their pages."""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from edgetune.data.readers import opened, recognise
from edgetune.data.readers.errors import FileError, damaged, encrypted, no_text
from edgetune.data.readers.pieces import numbered_rows
from edgetune.data.row import RawRow
from edgetune.text import one_line

SUFFIXES = (".pdf",)
FILE_KIND = "a PDF document"
SHORT_LINE_SHARE = 0.75
"""A line that ends a sentence and is shorter than this share of the page's longest line ends a paragraph."""


def read(path: Path) -> Iterator[RawRow]:
    """Rows of whole paragraphs. Raises FileError: wrong_content, damaged, encrypted, no_text (scanned pages)."""
    head = opened.head_of(path)
    if b"%PDF-" not in head[:1024]:
        raise recognise.wrong_content(path, head, FILE_KIND)
    logging.getLogger("pypdf").setLevel(logging.CRITICAL)  # it warns about each oddity of a file; what matters is raised
    with open(path, "rb") as file:
        rows = numbered_rows(text for number, page in _pages(path, file) for text in page_paragraphs(_text(path, number, page)))
        first = next(rows, None)
        if first is None:
            raise no_text(path, "Its pages are pictures of text, as scanners make them.", "Run OCR on it first, such as ocrmypdf.")
        yield first
        yield from rows


def _pages(path: Path, file: Any) -> Iterator[tuple[int, Any]]:
    """Number and page. A document that opens without a password is read even if it is encrypted."""
    import pypdf
    from pypdf.errors import DependencyError, FileNotDecryptedError, WrongPasswordError

    try:
        document = pypdf.PdfReader(file)
        if document.is_encrypted and not document.decrypt(""):
            raise encrypted(path)
        count = len(document.pages)
    except (DependencyError, FileNotDecryptedError, WrongPasswordError):
        raise encrypted(path) from None
    except FileError:
        raise
    except Exception as error:  # pypdf raises anything on a damaged file
        raise damaged(path, FILE_KIND, one_line(str(error), 200)) from error
    for number in range(count):
        yield number + 1, document.pages[number]


def _text(path: Path, number: int, page: Any) -> str:
    from pypdf.errors import DependencyError

    try:
        return str(page.extract_text())
    except DependencyError:
        raise encrypted(path) from None
    except Exception as error:  # as above
        raise damaged(path, FILE_KIND, f"page {number}: {one_line(str(error), 200)}") from error


def page_paragraphs(text: str) -> Iterator[str]:
    """A page's paragraphs: they end at a blank line, or at a line that ends a sentence and stops short of the margin."""
    lines = [line.rstrip() for line in text.split("\n")]
    margin = max(map(len, lines)) * SHORT_LINE_SHARE
    paragraph: list[str] = []
    for line in lines:
        if line:
            paragraph.append(line)
        if paragraph and (not line or (len(line) < margin and line.endswith((".", "!", "?", ":", "”", '"')))):
            yield "\n".join(paragraph)
            paragraph = []
    if paragraph:
        yield "\n".join(paragraph)
