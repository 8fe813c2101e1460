"""Read and parse files of examples in one go."""

from collections.abc import Iterator
from pathlib import Path

from edgetune.data import readers
from edgetune.data.row import Row
from edgetune.data.sources import below

__all__ = ["Row", "rows"]


def rows(path: Path) -> Iterator[Row]:
    """The rows of a file of examples, or of all such files in a folder. Raises InputError when it cannot be read at all."""
    for file in below(path) if path.is_dir() else [path]:
        for raw in readers.read(file):
            yield readers.parse(str(file), raw)
