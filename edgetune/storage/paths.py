"""Paths as people give them, looked at without raising for what is only a wrong path."""

import os
from pathlib import Path

BUNDLED = Path(__file__).parents[1] / "bases" / "bundled" / "nano"
"""The bundled model's folder."""


def expand_home(path: str | Path) -> Path:
    """A path with its `~` spelled out; as it stands when there is no such user."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        return Path(path)


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
