"""The files of an export: in a folder, in a ZIP archive that is read without unpacking it, or named one by one."""

import io
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import IO, Any

from edgetune.data.chats._json import next_value, parse, values_in_a_row
from edgetune.data.chats._outline import Outline, outline
from edgetune.data.readers import opened
from edgetune.data.readers.errors import FileError, cut_off, encrypted
from edgetune.data.readers.json_scanner import Scanner

HEAD_BYTES = 1 << 16
"""Bytes that are looked at to tell a text file's source."""
MAX_FILES = 200_000
"""Files in a folder or archive; an account of ten years with all its media has fewer."""
MAX_RATIO, SUSPICIOUS_BYTES = 400, 1 << 28
"""A member that unpacks to more bytes than the second must not be packed more tightly than the first: text packs 3 to 30 times."""
MAX_SIDE_BYTES = 1 << 27
"""Bytes that are read of a file that only says something about others."""
READ = frozenset(
    (".json", ".jsonl", ".ndjson", ".txt", ".xml", ".html", ".htm", ".csv", ".md", ".mbox", ".db", ".sqlite", ".sqlite3", ".zip", "")
)
"""Suffixes of files that are looked at in a folder or archive: all others there are pictures, sound and the like."""
BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class ExportFile:
    """One file of an export. path: on disk, of the archive where it lies in one. inner: its names inside archives, outermost first.

    named: whether the user named this very file, so that what is wrong with it must be said. date_order: "day" or "month", which comes
    first in its dates, where the user said so.
    """

    path: Path
    inner: tuple[str, ...] = ()
    named: bool = False
    root: Path = field(default_factory=Path)
    date_order: str = ""

    def __str__(self) -> str:
        return "/".join((str(self.path), *self.inner))

    @property
    def name(self) -> PurePosixPath:
        """Its path below the folder or archive that was named; the file's own name for one that was named itself."""
        if self.inner:
            return PurePosixPath(self.inner[-1])
        return PurePosixPath(self.path.relative_to(self.root).as_posix() if self.root != Path() else self.path.name)

    @contextmanager
    def open(self) -> Iterator[IO[bytes]]:
        """Its bytes, without a byte order mark. Raises FileError: damaged, encrypted, bomb, unreadable."""
        try:
            with _open(self.path, self.inner) as file:
                buffered = io.BufferedReader(file) if not isinstance(file, io.BufferedReader) else file
                if buffered.peek(3)[:3] == BOM:
                    buffered.read(3)
                yield buffered
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
            raise cut_off(Path(str(self)), error) from error
        except OSError as error:
            raise opened.file_error(Path(str(self)), error) from error

    @contextmanager
    def text(self) -> Iterator[IO[str]]:
        """Its lines, as UTF-8. Raises FileError as `open` does, and: encoding."""
        with self.open() as file:
            try:
                yield io.TextIOWrapper(file, encoding="utf-8", newline="\n")
            except UnicodeDecodeError as error:
                raise FileError(
                    Path(str(self)), "encoding", "is not UTF-8 text", f"{error.reason} at byte {error.start}.", "Export the chat again."
                ) from error

    @cached_property
    def head(self) -> bytes:
        """Its first HEAD_BYTES bytes."""
        with self.open() as file:
            return file.read(HEAD_BYTES)

    @cached_property
    def outline(self) -> Outline:
        """What its JSON looks like at the start, lists cut to a few values; None for a file that is not JSON."""
        if self.head.lstrip()[:1] not in (b"{", b"["):
            return None
        with self.open() as file:
            return outline(file, Path(str(self)))

    def objects(self) -> Iterator[dict[str, Any]]:
        """Every JSON object of the file's list, or of those that it has one after another.

        Raises FileError as `open` does, and: not_json, json_truncated, too_large.
        """
        with self.scanner() as scanner:
            values = (next_value(scanner) for _ in scanner.elements()) if scanner.peek() == b"[" else values_in_a_row(scanner)
            yield from (value for value in values if isinstance(value, dict))

    @contextmanager
    def scanner(self) -> Iterator[Scanner]:
        """A place at its start, to walk through its JSON."""
        with self.open() as content:
            yield Scanner(content, Path(str(self)))

    def read_beside(self, name: str, up: int = 0) -> Any:
        """What the JSON of another file of the export says, found as `sibling` does; None where it is missing or no JSON."""
        other = self.sibling(name, up)
        if other is None:
            return None
        with other.open() as content:
            return parse(content.read(MAX_SIDE_BYTES))

    def sibling(self, name: str, up: int = 0) -> "ExportFile | None":
        """Another file of the export, in the same folder or so many folders further up; None when it is not there."""
        if self.inner:
            other = str(self.name.parents[up] / name) if up < len(self.name.parents) else name
            with _archive(self.path, self.inner[:-1]) as archive:
                there = other in archive.NameToInfo
            return ExportFile(self.path, (*self.inner[:-1], other)) if there else None
        path = self.path.parents[up] / name
        return ExportFile(path, root=self.root if path.is_relative_to(self.root) else path.parent) if path.is_file() else None


def export_files(paths: Sequence[Path]) -> Iterator[ExportFile]:
    """All files that may hold chats, in order of their names. Raises FileError: missing, empty, damaged, too_many."""
    for path in paths:
        if path.is_dir():
            below = sorted(p for p in path.rglob("*") if p.suffix.lower() in READ and p.is_file() and "__MACOSX" not in p.parts)
            _refuse_too_many(path, len(below))
            for one in below:
                yield from _inside(ExportFile(one, root=path))
            continue
        opened.check_file(path)
        yield from _inside(ExportFile(path, named=True))


def _inside(file: ExportFile, depth: int = 0) -> Iterator[ExportFile]:
    """The file itself, or what lies in it where it is an archive; archives in archives to a depth of two."""
    with _as_archive(file) as archive:
        if archive is None:
            yield file
            return
        members = [m.filename for m in archive.infolist() if not m.is_dir() and PurePosixPath(m.filename).suffix.lower() in READ]
    _refuse_too_many(file.path, len(members))
    for member in sorted(m for m in members if not m.startswith("__MACOSX/")):
        inner = ExportFile(file.path, (*file.inner, member))
        yield from _inside(inner, depth + 1) if member.lower().endswith(".zip") and depth < 2 else (inner,)


@contextmanager
def _as_archive(file: ExportFile) -> Iterator[zipfile.ZipFile | None]:
    with file.open() as content:
        is_zip = content.read(4) == b"PK\x03\x04"
    if not is_zip:
        yield None
        return
    try:
        with _archive(file.path, file.inner) as archive:
            yield archive
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        raise cut_off(Path(str(file)), error) from error


@contextmanager
def _archive(path: Path, inner: tuple[str, ...]) -> Iterator[zipfile.ZipFile]:
    with _open(path, inner) as file, zipfile.ZipFile(file) as archive:
        yield archive


@contextmanager
def _open(path: Path, inner: tuple[str, ...]) -> Iterator[Any]:
    if not inner:
        with path.open("rb") as file:
            yield file
        return
    with _archive(path, inner[:-1]) as archive:
        info = archive.getinfo(inner[-1])
        if info.flag_bits & 1:
            raise encrypted(path)
        if info.file_size > SUSPICIOUS_BYTES and info.file_size > MAX_RATIO * info.compress_size:
            raise FileError(
                path,
                "bomb",
                "unpacks to far more than chats do",
                f"{inner[-1]} would fill {info.file_size >> 20} MiB.",
                "Unpack it yourself if you trust it.",
            )
        with archive.open(info) as member:
            yield member


def _refuse_too_many(path: Path, count: int) -> None:
    if count > MAX_FILES:
        raise FileError(
            path,
            "too_many",
            "holds too many files",
            f"There are {count:,}; at most {MAX_FILES:,} are looked at.",
            "Name the folder of the chats in it.",
        )
