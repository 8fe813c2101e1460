"""E-books (.epub): the chapters in reading order."""

import posixpath
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from edgetune.data.readers import archive, web_page
from edgetune.data.readers.errors import FileError, damaged, no_text
from edgetune.data.readers.pieces import numbered_rows
from edgetune.data.row import RawRow
from edgetune.text import one_line

SUFFIXES = (".epub",)
FILE_KIND = "an e-book (EPUB)"
_PAGES = ("application/xhtml+xml", "text/html", "application/x-dtbook+xml")


def read(path: Path) -> Iterator[RawRow]:
    """Rows of whole paragraphs, in the order of the book's spine (EPUB 3.3, section 5.7).

    Raises FileError: wrong_content, damaged, bomb, encrypted, too_large, no_text.
    """
    with archive.opened_zip(path, FILE_KIND) as book:
        rows = numbered_rows(text for name in _chapters(path, book) for text in web_page.html_paragraphs(_content(path, book, name)))
        first = next(rows, None)
        if first is None:
            raise no_text(path, "Its pages are pictures.", "Turn them into text first (OCR), or name another file.")
        yield first
        yield from rows


def _content(path: Path, book: zipfile.ZipFile, name: str) -> bytes:
    try:
        member = book.getinfo(name)
    except KeyError:
        raise damaged(path, FILE_KIND, f"its part {one_line(name)} is missing") from None
    if member.file_size > web_page.MAX_PAGE_BYTES:
        cause = f"Its part {one_line(name)} has more than {web_page.MAX_PAGE_BYTES >> 20} MiB."
        raise FileError(path, "too_large", "holds a chapter that is too large", cause, "Save its text as .txt.")
    return book.read(member)


def _xml(path: Path, book: zipfile.ZipFile, name: str) -> Any:
    """A part read as XML, without entities, without fetching anything."""
    from lxml import etree

    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False)
    try:
        return etree.fromstring(_content(path, book, name), parser)
    except etree.XMLSyntaxError as error:
        raise damaged(path, FILE_KIND, f"{one_line(name)}: {one_line(str(error), 200)}") from error


def _chapters(path: Path, book: zipfile.ZipFile) -> Iterator[str]:
    """Names of the pages in reading order, the table of contents left out."""
    container = _xml(path, book, "META-INF/container.xml")
    package = next((e.get("full-path") for e in container.iter("{*}rootfile") if e.get("full-path")), None)
    if package is None:
        raise damaged(path, FILE_KIND, "its container names no package")

    # The spine lists the pages in reading order, by the ids of the manifest.
    root = _xml(path, book, package)
    items = {item.get("id"): item for item in root.iter("{*}item")}
    names = [
        posixpath.normpath(posixpath.join(posixpath.dirname(package), unquote(item.get("href", "").partition("#")[0])))
        for item in (items.get(entry.get("idref")) for entry in root.iter("{*}itemref"))
        if item is not None and item.get("media-type") in _PAGES and "nav" not in item.get("properties", "").split()
    ]

    if set(names) & _locked(path, book):
        raise FileError(
            path, "encrypted", "is locked by its seller (DRM)", "Its chapters are encrypted.", "Name a book without such a lock."
        )
    yield from names


def _locked(path: Path, book: zipfile.ZipFile) -> set[str]:
    """Names of the encrypted parts; fonts often are, in books that anyone may read."""
    if "META-INF/encryption.xml" not in book.namelist():
        return set()
    references = _xml(path, book, "META-INF/encryption.xml").iter("{*}CipherReference")
    return {unquote(reference.get("URI", "")) for reference in references}
