"""Cut text into documents at paragraphs, so that a book need not be held in memory as one row."""

from collections.abc import Iterable, Iterator
from typing import Any

from edgetune.data.row import RawRow

PIECE_CHARACTERS = 8000
"""Characters up to which whole paragraphs are put together in one document."""


def join_paragraphs(paragraphs: Iterable[tuple[int, str]]) -> Iterator[tuple[int, str]]:
    """Pieces of several whole paragraphs, each with the place where it starts. paragraphs: place and text, its blank lines with it."""
    start = 0
    parts = [""]
    length = 0
    for position, text in paragraphs:
        if length and length + len(text.strip()) > PIECE_CHARACTERS:
            yield start, "".join(parts).strip()
            parts, length = [], 0

        # Blank lines belong to the piece before them and never start one.
        if not text.strip():
            continue
        if not length:
            start, parts = position, []
        parts.append(text)
        length += len(text)

    if length:
        yield start, "".join(parts).strip()


def linked_rows(documents: Iterable[tuple[int, str]]) -> Iterator[tuple[int, dict[str, Any]]]:
    """Pieces as rows; all but the last say that they go on, so that no end of text is taught in the middle of one."""
    held: tuple[int, str] | None = None
    for position, text in documents:
        if held:
            yield held[0], {"text": held[1], "continues": True}
        held = position, text
    if held:
        yield held[0], {"text": held[1]}


def numbered_rows(paragraphs: Iterable[str]) -> Iterator[RawRow]:
    """Rows of text from the paragraphs of a document without lines; `line` counts the rows."""
    whole = ((0, f"{paragraph.strip(chr(10))}\n\n") for paragraph in paragraphs)
    for number, (_, row) in enumerate(linked_rows(join_paragraphs(whole)), 1):
        yield RawRow(number, row)
