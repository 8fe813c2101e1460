"""JSON lines: one object a line, handed on unparsed."""

from collections.abc import Iterator
from pathlib import Path

from edgetune.data.readers import opened
from edgetune.data.row import RawRow

MAX_ROW_BYTES = 1 << 24
"""Bytes of the longest row that is held in memory (16 MiB); a longer one is left out."""


def read(path: Path) -> Iterator[RawRow]:
    """Every line that is not blank; one longer than MAX_ROW_BYTES is a row with the problem too_large. FileError: see opened.utf8."""
    with opened.utf8(path) as file:
        number = 0
        while line := file.readline(MAX_ROW_BYTES + 1):
            number += 1
            if len(line) > MAX_ROW_BYTES and not line.endswith(b"\n"):
                while line and not line.endswith(b"\n"):
                    line = file.readline(opened.READ_CHUNK_BYTES)
                yield RawRow(number, None, "too_large", f"longer than {MAX_ROW_BYTES >> 20} MiB")
            elif not line.isspace():
                yield RawRow(number, line.rstrip(b"\r\n"))
