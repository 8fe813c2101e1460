"""Writing that never leaves half a file: the only module that opens files to write."""

import errno
import hashlib
import io
import json
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from edgetune.errors import EdgeTuneError, InputError
from edgetune.formatting import format_size

TEMPORARY = ".part"
"""Suffix of what is being written; anything with it is left over from an interruption and may be removed."""


def sync_folder(folder: Path) -> None:
    """Make renames in a folder durable. Windows has no such call; its renames are journalled by NTFS (not tried there)."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


DISK_FULL_ERRNOS = (errno.ENOSPC, errno.EDQUOT)
"""What a write answers on a full disk."""
PERMISSION_ERRNOS = (errno.EACCES, errno.EPERM, errno.EROFS)
"""What is answered where somebody may not."""


def _is_full(error: Exception) -> bool:
    """Whether an error means a full disk; safetensors tells it in words only."""
    return getattr(error, "errno", None) in DISK_FULL_ERRNOS or any(f"os error {number}" in str(error) for number in DISK_FULL_ERRNOS)


class DiskFull(EdgeTuneError):
    """A write found no room left on the disk."""

    def __init__(self, path: str = "") -> None:
        where = f"Writing {path} failed" if path else "A write failed"
        super().__init__("The disk is full", f"{where}: no space is left.", "Free some space ('edgetune prune' helps), then try again.")


def system_error(error: OSError | MemoryError) -> EdgeTuneError:
    """What the system refused, in words: memory, room on the disk, a right, a file, or something else."""
    if isinstance(error, MemoryError) or error.errno == errno.ENOMEM:
        return EdgeTuneError("Out of memory", "This machine has no memory left.", "Close other programs, or use a smaller model.")

    path = str(error.filename or "")
    why = error.strerror or str(error) or type(error).__name__
    if _is_full(error):
        return DiskFull(path)

    if not path:
        return EdgeTuneError(
            "The operating system reported an error",
            f"{why}.",
            "Try again. If it repeats, report it with the output of 'edgetune doctor'.",
        )
    if error.errno in PERMISSION_ERRNOS:
        return EdgeTuneError("Not allowed", f"{path}: {why}.", "Choose a file or folder that you may read and write.")
    return EdgeTuneError(f"Cannot open {path}", f"{why}.", "Check that the path is right and the file can be opened.")


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn a full disk or a forbidden folder into an error with a remedy."""
    try:
        yield
    except Exception as error:
        if _is_full(error):
            raise system_error(OSError(errno.ENOSPC, "", str(path))) from error
        if isinstance(error, OSError) and error.errno in PERMISSION_ERRNOS:
            raise EdgeTuneError("Not allowed to write", f"{path}: {error.strerror}.", "Choose a folder you may write to.") from error
        raise


@dataclass
class StagedFile:
    """A file being written beside its target. file: open to read and write. target: the name it will take, which may still be changed."""

    file: BinaryIO
    path: Path
    target: Path

    def flush(self) -> None:
        """Hand what was written to the system, so that others can read it under `path`."""
        self.file.flush()


@contextmanager
def staged_write(path: Path) -> Iterator[StagedFile]:
    """Open a temporary file beside `path`; it takes its target's name only once it is complete and on disk, else it is removed."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}{TEMPORARY}")
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with open(temporary, "w+b") as file:
                staged = StagedFile(file, temporary, path)
                yield staged
                file.flush()
                os.fsync(file.fileno())

            os.replace(temporary, staged.target)
            sync_folder(path.parent)
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def atomic_write(path: Path) -> Iterator[BinaryIO]:
    """Open a temporary file beside `path`; it takes the name only once it is complete and on disk, else it is removed."""
    with staged_write(path) as staged:
        yield staged.file


def write_text(path: Path, text: str) -> None:
    """Write a whole text file at once (UTF-8)."""
    with atomic_write(path) as file:
        file.write(text.encode("utf-8"))


def write_json(path: Path, value: Any) -> None:
    """Write a whole JSON file at once."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def copy_file(source: Path, target: Path) -> None:
    """Copy a file; the target is there only once it is whole."""
    with open(source, "rb") as file, atomic_write(target) as copy:
        shutil.copyfileobj(file, copy)


@contextmanager
def publish_folder(target: Path) -> Iterator[Path]:
    """Give a temporary folder to fill; then sync every file in it and rename it to `target`, which must not exist."""
    temporary = target.with_name(f".{target.name}.{os.getpid()}{TEMPORARY}")
    with disk_errors(target):
        try:
            shutil.rmtree(temporary, ignore_errors=True)
            temporary.mkdir(parents=True)
            yield temporary
            publish_ready(temporary, target)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def scratch_folder(parent: Path, name: str) -> Iterator[Path]:
    """A folder inside `place` that is gone afterwards; `edgetune prune` removes what a killed process leaves of it."""
    path = parent / f".{name}.{os.getpid()}{TEMPORARY}"
    try:
        with disk_errors(path):
            shutil.rmtree(path, ignore_errors=True)
            path.mkdir(parents=True)
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def publish_ready(folder: Path, target: Path) -> None:
    """Sync every file of a finished folder and rename it to `target`, which must not exist."""
    with disk_errors(target):
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                with open(path, "rb+") as file:
                    os.fsync(file.fileno())
            else:
                sync_folder(path)

        # The folder's entries must be on disk before its name is.
        sync_folder(folder)
        if target.exists():
            raise FileExistsError(target)
        target.parent.mkdir(parents=True, exist_ok=True)
        os.rename(folder, target)
        sync_folder(target.parent)


class _Counted(io.FileIO):
    """A file that only grows, up to `limit` bytes, and tells how long it is."""

    def __init__(self, path: Path, limit: int, progress: Callable[[int], None]) -> None:
        super().__init__(path, "a")
        self.limit = limit
        self.progress = progress

    def write(self, data: Any) -> int:
        if self.tell() + len(data) > self.limit:
            raise EdgeTuneError(
                f"{Path(str(self.name)).stem} is larger than the server announced",
                f"More than {self.limit} bytes came.",
                "Try again later.",
            )
        rest = memoryview(data)
        while rest:  # a raw file may take a part
            rest = rest[super().write(rest) :]
        self.progress(self.tell())
        return len(data)


@contextmanager
def append_to(path: Path, limit: int, progress: Callable[[int], None]) -> Iterator[BinaryIO]:
    """Open a file to go on writing at its end, at most to `limit` bytes; it stays as far as it came. progress: gets its length."""
    with disk_errors(path), _Counted(path, limit, progress) as file:
        yield file


def create_file(path: Path) -> BinaryIO:
    """A new file to write, inside a folder that `publish_folder` gives: that syncs it and makes it visible."""
    return open(path, "xb")


class HashedWriter:
    """An open file that is only ever added to, and hashed meanwhile. Takes the place of the file for whoever writes it."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._hash = hashlib.sha256()

    def write(self, data: Any, /) -> int:
        """Write bytes, or whatever holds some."""
        self._hash.update(data)
        return self._file.write(data)

    def sha256(self) -> str:
        """Hash of all that was written, in hexadecimal."""
        return self._hash.hexdigest()


def hard_link(path: Path, name: Path) -> None:
    """Give a file a second name on the same disk (a hard link). OSError where the disk has no such thing."""
    os.link(path, name)


def sha256(path: Path) -> str:
    """Hash of a file's bytes, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def free_bytes(path: Path) -> int:
    """Bytes free on the disk that holds `path` or its nearest existing parent."""
    while not path.exists():
        path = path.parent
    return shutil.disk_usage(path).free


def need_space(path: Path, size: int, what: str) -> None:
    """Refuse before the work starts when the disk cannot hold `size` more bytes."""
    free = free_bytes(path)
    if free < size:
        raise EdgeTuneError(
            "Not enough disk space",
            f"{what} needs about {format_size(size)}; {format_size(free)} are free on the disk of {path}.",
            "Free some space ('edgetune prune' helps) or choose another disk with --workspace or --out.",
        )


def folder_bytes(path: Path) -> int:
    """Bytes in all files below a folder; a file with several names there counts once."""
    if not path.is_dir():
        return path.stat().st_size
    sizes: dict[tuple[int, int], int] = {}
    for root, _, names in os.walk(path):
        for name in names:
            with suppress(FileNotFoundError):  # a worker may remove files meanwhile
                facts = (Path(root) / name).stat()
                sizes[facts.st_dev, facts.st_ino] = facts.st_size
    return sum(sizes.values())


_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_WINDOWS_DEVICES = {"con", "prn", "aux", "nul", *(f"{d}{i}" for d in ("com", "lpt") for i in range(1, 10))}


def safe_name(name: str) -> str:
    """The name itself if it can be a folder's name on every system; an InputError otherwise."""
    if not _NAME.fullmatch(name) or name.endswith(".") or name.split(".")[0].lower() in _WINDOWS_DEVICES:
        raise InputError(
            f"'{name[:80]}' cannot be a name",
            "A name has up to 64 letters, digits, '.', '_' or '-', and starts with a letter or digit.",
            "Choose another name.",
        )
    return name


def touch(path: Path) -> None:
    """Create an empty file, in one system call, so that signal handlers may do it."""
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600))


def open_log(path: Path) -> int:
    """A file descriptor that appends, for a child process's output; only the user can read the file."""
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)


def cut_torn_line(path: Path) -> None:
    """Cut off a last line that has no end, as a killed writer leaves it."""
    if path.is_file():
        raw = path.read_bytes()
        if raw and not raw.endswith(b"\n"):
            with open(path, "rb+") as file:
                file.truncate(raw.rfind(b"\n") + 1)


def append_line(path: Path, line: bytes, wait: float = 2.0) -> None:
    """Add a line to a file to which lines are only ever added. While the disk is full it waits; no line is lost or torn by that."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        while line:
            try:
                line = line[os.write(handle, line) :]
            except OSError as error:
                if error.errno not in DISK_FULL_ERRNOS:
                    raise
                time.sleep(wait)
    finally:
        os.close(handle)


def append_synced(path: Path, line: bytes) -> None:
    """Add a whole line to a file and wait until the disk has it. Where that fails the file is as it was, and the error is raised.

    For one writer at a time: callers hold a lock.
    """
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = not path.exists()
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

        try:
            before = os.fstat(handle).st_size
            try:
                rest = line
                while rest:
                    rest = rest[os.write(handle, rest) :]
                os.fsync(handle)
            except BaseException:
                os.ftruncate(handle, before)
                raise
        finally:
            os.close(handle)
        if fresh:
            sync_folder(path.parent)


def truncate_synced(path: Path, size: int) -> None:
    """Cut a file to `size` bytes and wait until the disk has it."""
    with disk_errors(path), open(path, "rb+") as file:
        file.truncate(size)
        os.fsync(file.fileno())
