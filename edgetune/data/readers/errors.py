"""Why a whole file cannot be read, as opposed to one row of it."""

from pathlib import Path
from typing import Any

from edgetune.errors import InputError
from edgetune.text import one_line


class FileError(InputError):
    """A file that cannot be read. kind: one word for counting and filtering; file: its name as given; line: where, or 0."""

    def __init__(self, path: Path | str, kind: str, what: str, cause: str, remedy: str, line: int = 0) -> None:
        """what continues the title after the file's name ("is empty"); the cause is headed by the line where there is one."""
        super().__init__(f"{one_line(str(path), 200)} {what}", f"Line {line}: {cause}" if line else cause, remedy)
        self.kind = kind
        self.file = str(path)
        self.line = line
        self._given = (path, kind, what, cause, remedy, line)

    def __reduce__(self) -> tuple[Any, ...]:
        return FileError, self._given


def cut_off(path: Path, error: Exception) -> FileError:
    """The error for a packed file whose end or middle is missing."""
    return FileError(path, "damaged", "cannot be unpacked", one_line(str(error), 200) + ".", "Copy or download the file again.")


def encrypted(path: Path) -> FileError:
    """The error for a document that needs a password or a licence."""
    return FileError(path, "encrypted", "is encrypted", "It cannot be read without its password.", "Save a copy without a password.")


def no_text(path: Path, cause: str, remedy: str) -> FileError:
    """The error for a document without a word in it."""
    return FileError(path, "no_text", "holds no text", cause, remedy)


def damaged(path: Path, what: str, cause: str) -> FileError:
    """The error for a document that its library cannot read."""
    return FileError(
        path, "damaged", f"is not {what} that can be read", f"{cause or 'it is incomplete'}.", "Open and save it again, or copy it again."
    )
