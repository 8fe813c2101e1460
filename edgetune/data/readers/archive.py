"""Open the ZIP archives that .docx and .epub files are, with limits on what they unpack to."""

import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edgetune.data.readers import opened, recognise
from edgetune.data.readers.errors import FileError, cut_off, encrypted

MAX_MEMBERS = 20_000
MAX_UNPACKED_BYTES = 1 << 28
"""Bytes of all members together, as the archive's directory states them; zipfile reads no more of a member than that."""
SUSPICIOUS_BYTES, MAX_PACKING_RATIO = 1 << 24, 200
"""Above so many bytes, a member must not be packed more tightly than this: text in XML packs 5 to 30 times."""


@contextmanager
def opened_zip(path: Path, what: str) -> Iterator[zipfile.ZipFile]:
    """The archive. what: the kind of file that it should be ("a Word document").

    Raises FileError: wrong_content, damaged, bomb, encrypted.
    """
    head = opened.head_of(path)
    if not head.startswith(b"PK"):
        raise recognise.wrong_content(path, head, what)
    try:
        with zipfile.ZipFile(path) as archive:
            _check(path, archive.infolist())
            yield archive
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        raise cut_off(path, error) from error


def _check(path: Path, members: list[zipfile.ZipInfo]) -> None:
    if any(member.flag_bits & 1 for member in members):
        raise encrypted(path)
    bombs = [m for m in members if m.file_size > SUSPICIOUS_BYTES and m.file_size > MAX_PACKING_RATIO * m.compress_size]
    if bombs or len(members) > MAX_MEMBERS or sum(member.file_size for member in members) > MAX_UNPACKED_BYTES:
        raise FileError(
            path,
            "bomb",
            "unpacks to far more than a document does",
            f"It would fill more than {MAX_UNPACKED_BYTES >> 20} MiB, or is packed suspiciously tightly.",
            "If you trust it, open it in its program and save the text as .txt.",
        )
