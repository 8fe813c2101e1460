"""Cut text into documents at paragraphs, so that a book need not be held in memory as one row."""

from collections.abc import Iterable, Iterator

from edgetune.data.row import Raw

PIECE = 8000
"""Characters up to which whole paragraphs are put together in one document."""


def pieces(paragraphs: Iterable[tuple[int, str]]) -> Iterator[tuple[int, str]]:
    """Pieces of several whole paragraphs, each with the place where it starts. paragraphs: place and text, its blank lines with it."""
    start, parts, length = 0, [""], 0
    for place, text in paragraphs:
        if length and length + len(text.strip()) > PIECE:
            yield start, "".join(parts).strip()
            parts, length = [], 0
        if not text.strip():
            continue
        if not length:
            start, parts = place, []
        parts.append(text)
        length += len(text)
    if length:
        yield start, "".join(parts).strip()


def numbered(paragraphs: Iterable[str]) -> Iterator[Raw]:
    """Rows of text from the paragraphs of a document without lines; `line` counts the rows."""
    for number, (_, text) in enumerate(pieces((0, f"{paragraph.strip(chr(10))}\n\n") for paragraph in paragraphs), 1):
        yield Raw(number, {"text": text})
