"""Read and parse files of examples in one go."""

from collections.abc import Iterator
from pathlib import Path

from edgetune.data import readers
from edgetune.data.row import ParsedRow
from edgetune.data.sources import example_files

__all__ = ["ParsedRow", "read_rows"]


def read_rows(path: Path) -> Iterator[ParsedRow]:
    """The rows of a file of examples, or of all such files in a folder. Raises InputError when it cannot be read at all."""
    for file in example_files(path) if path.is_dir() else [path]:
        for raw in readers.read(file):
            yield readers.parse(str(file), raw)
