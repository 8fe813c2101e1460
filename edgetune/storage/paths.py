"""Paths as people give them, looked at without raising for what is only a wrong path."""

import os
import re
from pathlib import Path

BUNDLED = Path(__file__).parents[1] / "bases" / "bundled" / "nano"
"""The bundled model's folder."""
_NUMBERED = re.compile(r"(?P<path>.+):(?P<number>[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?|[+-]?(?:nan|inf|infinity))", re.I | re.S)


def expand_home(path: str | Path) -> Path:
    """A path with its `~` spelled out; unchanged when there is no such user."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        return Path(path)


def split_number(argument: str) -> tuple[Path, float | None]:
    """PATH or PATH:NUMBER as a path and a number (None where there is none), which may also be infinite or not a number.

    A file whose name really ends so wins; a single letter before the colon is a drive, unless a file is called so.
    """
    whole = expand_home(argument)
    match = _NUMBERED.fullmatch(argument)
    if not match or exists(whole):
        return whole, None
    path = expand_home(match["path"])
    is_drive = len(match["path"]) == 1 and not exists(path)
    return (whole, None) if is_drive else (path, float(match["number"]))


def exists(path: Path) -> bool:
    """Whether anything lies under a path, be it a link that leads nowhere; False also for one that the system refuses."""
    try:
        return path.exists() or path.is_symlink()
    except (OSError, ValueError):
        return False


def is_folder(path: Path) -> bool:
    """Whether a path is a folder; False also for one that the system refuses (a name too long, a link to itself)."""
    try:
        return path.is_dir()
    except OSError:
        return False


def real_path(path: Path) -> Path:
    """A path without links in it; where one leads to itself, as far as that goes."""
    return Path(os.path.realpath(path))
