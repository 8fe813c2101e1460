"""Open a file of text as UTF-8 bytes: unpacked, without its byte order mark, and with a check of what it really is."""

import codecs
import gzip
import io
import os
import stat
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgetune.data.readers import recognise
from edgetune.data.readers.errors import FileError, cut_off
from edgetune.text import one_line

if TYPE_CHECKING:
    from typing_extensions import Buffer

READ_CHUNK_BYTES = 1 << 18
BOMB_SIZE, BOMB_RATIO = 1 << 28, 400
"""Unpacked bytes from which a gzip file is refused when they are more than that many times its own: text packs 3 to 20 times."""
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


def check_file(path: Path) -> int:
    """The size of a file that can be opened without hanging.

    Raises FileError: missing, dangling_link, folder, not_a_file, no_permission, unreadable, empty.
    """
    try:
        status = os.stat(path)
    except (FileNotFoundError, NotADirectoryError, ValueError) as error:
        if not isinstance(error, ValueError) and path.is_symlink():
            target = one_line(os.readlink(path), 200)
            raise FileError(
                path,
                "dangling_link",
                "is a broken link",
                f"It is a link to {target}, which is missing.",
                "Point the link to a file, or name the file itself.",
            ) from None
        raise FileError(path, "missing", "does not exist", "There is no file of that name.", "Check the path.") from None
    except OSError as error:
        raise file_error(path, error) from error

    # A pipe or device would wait for ever when opened.
    if stat.S_ISDIR(status.st_mode):
        raise FileError(path, "folder", "is a folder", "A file is needed here.", "Name a file in it.")
    if not stat.S_ISREG(status.st_mode):
        raise FileError(
            path, "not_a_file", "is not a regular file", "It is a device, pipe or socket.", "Save the examples to a file first."
        )
    if not status.st_size:
        raise FileError(path, "empty", "is empty", "It has no bytes.", "Check that it was saved or downloaded whole.")
    return status.st_size


def file_error(path: Path, error: OSError) -> FileError:
    """What the system says about a file it would not read."""
    if isinstance(error, PermissionError):
        return FileError(path, "no_permission", "may not be read", f"{error.strerror}.", "Change its permissions, or copy it.")
    return FileError(path, "unreadable", "cannot be read", f"{error.strerror or error}.", "Check the disk, or copy the file again.")


def head_of(path: Path) -> bytes:
    """The first bytes of a file."""
    with open(path, "rb") as file:
        return file.read(recognise.HEAD_BYTES)


def _most(packed: int) -> int:
    """The most bytes that a gzip file of a size may unpack to."""
    return max(BOMB_SIZE, BOMB_RATIO * packed)


def _refuse_bomb(path: Path, size: int) -> None:
    """Raise FileError (bomb) at once for a gzip file that says of itself that it unpacks to too much: reading up to there takes minutes.

    What its last four bytes say (RFC 1952, ISIZE) is believed only when unpacking shows the same; a damaged file ends in any bytes.
    """
    with open(path, "rb") as file:
        file.seek(max(0, size - 4))
        if int.from_bytes(file.read(4), "little") <= _most(size):
            return
        file.seek(0)
        unpacked = _Unpacked(file, path, size)
        while unpacked.read(READ_CHUNK_BYTES):
            pass


class _Unpacked(io.RawIOBase):
    """A gzip file's content; a damaged one, or one that unpacks to a suspicious size, raises FileError."""

    def __init__(self, file: "io.BufferedReader[Any]", path: Path, size: int) -> None:
        self._file = gzip.GzipFile(fileobj=file, mode="rb")
        self._path = path
        self._packed = size
        self._seen = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "Buffer", /) -> int:
        view = memoryview(buffer)
        try:
            data = self._file.read(len(view))
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise cut_off(self._path, error) from error

        # Counted while reading: what a file says of its size may be a lie.
        self._seen += len(data)
        if self._seen > _most(self._packed):
            raise FileError(
                self._path,
                "bomb",
                "unpacks to far more than text does",
                f"It is more than {BOMB_RATIO} times as large unpacked; such files are made to fill disks and memory.",
                "If you trust it, unpack it yourself and name the unpacked file.",
            )

        view[: len(data)] = data
        return len(data)


class _AsUtf8(io.RawIOBase):
    """UTF-16 or UTF-32 as UTF-8. A lone surrogate becomes bytes that are not UTF-8, so that its row alone is refused."""

    def __init__(self, file: "io.BufferedReader[Any]", path: Path, encoding: str) -> None:
        self._file = file
        self._path = path
        self._name = encoding.upper()[:6]
        self._rest = b""
        self._decoder = codecs.getincrementaldecoder(encoding)("surrogatepass")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "Buffer", /) -> int:
        while not self._rest:
            data = self._file.read(READ_CHUNK_BYTES)
            try:
                self._rest = self._decoder.decode(data, final=not data).encode("utf-8", "surrogatepass")
            except UnicodeDecodeError as error:
                raise FileError(
                    self._path, "encoding", f"is not {self._name} text", f"{error.reason.capitalize()}.", "Save the file as UTF-8."
                ) from error
            if not data:
                break

        view = memoryview(buffer)
        count = min(len(self._rest), len(view))
        view[:count], self._rest = self._rest[:count], self._rest[count:]
        return count


@contextmanager
def utf8(path: Path, markup: bool = False) -> Iterator["io.BufferedReader[Any]"]:
    """The content of a text file as UTF-8 bytes, to be read piece by piece. markup: the file may be a web page.

    Raises FileError: what `check_file` and `recognise.check_text` raise, damaged, bomb, encoding. Bytes that are not UTF-8 pass unchanged.
    """
    size = check_file(path)
    with io.BufferedReader(io.FileIO(path), READ_CHUNK_BYTES) as file:
        recognise.refuse_pointer(path, file.peek(64)[:64])

        # Unpack first: what the file is shows only in its unpacked bytes.
        plain: io.BufferedReader[Any] = file
        if path.suffix.lower() == ".gz":
            if file.peek(2)[:2] != b"\x1f\x8b":
                raise recognise.wrong_content(path, file.peek(recognise.HEAD_BYTES), "a gzip file: it cannot be unpacked")
            _refuse_bomb(path, size)
            plain = io.BufferedReader(_Unpacked(file, path, size), READ_CHUNK_BYTES)

        # The mark at the start says the encoding, and is no part of the text.
        head = plain.peek(recognise.HEAD_BYTES)[: recognise.HEAD_BYTES]
        recognise.check_text(path, head, markup)
        for mark, encoding in _MARKS:
            if head.startswith(mark):
                plain.read(len(mark))
                if encoding != "utf-8":
                    plain = io.BufferedReader(_AsUtf8(plain, path, encoding), READ_CHUNK_BYTES)
                break
        yield plain
