"""Folders of the user's own in which base models are looked for: a JSON list in the workspace, shared by app and command line."""

import json
from collections.abc import Iterable
from pathlib import Path

from edgetune.errors import InputError
from edgetune.storage.files import write_json
from edgetune.storage.paths import expand_home, is_folder, real_path
from edgetune.storage.workspace import Workspace


def _file(workspace: Workspace) -> Path:
    return workspace.path / "folders.json"


def listed_folders(workspace: Workspace) -> list[str]:
    """The folders; none where the file makes no sense, for it must not keep bases from being found."""
    try:
        value = json.loads(_file(workspace).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return []
    return [folder for folder in value if isinstance(folder, str)] if isinstance(value, list) else []


def save_folders(workspace: Workspace, folders: Iterable[str]) -> None:
    """Let these be the folders, in this order, each once and by its full path."""
    write_json(_file(workspace), list(dict.fromkeys(str(real_path(expand_home(folder))) for folder in folders)))


def full_path(folder: str | Path) -> str:
    """The full path of a folder as it was typed. InputError where there is none."""
    path = expand_home(folder)
    if not is_folder(path):
        raise InputError(f"{folder} is not a folder", "Nothing of that name is there.", "Name a folder that exists.")
    return str(real_path(path))


def add_folder(workspace: Workspace, folder: str | Path) -> str:
    """Look in a folder from now on; its full path. InputError where there is none."""
    full = full_path(folder)
    save_folders(workspace, [*listed_folders(workspace), full])
    return full


def remove_folder(workspace: Workspace, folder: str | Path) -> str:
    """Look in a folder no more; its full path. The folder itself stays. InputError where it was not looked in."""
    full = str(real_path(expand_home(folder)))
    known = listed_folders(workspace)
    if full not in known:
        raise InputError(f"{folder} is not one of the folders", f"They are: {', '.join(known) or 'none'}.", "Name one of them.")
    save_folders(workspace, [other for other in known if other != full])
    return full


def search_folders(workspace: Workspace, more: Iterable[str | Path] = ()) -> list[Path]:
    """Where base models are looked for beside the Hugging Face cache: the folders named, the user's own, those fetched, and models/."""
    return [
        *(real_path(expand_home(folder)) for folder in more),
        *map(Path, listed_folders(workspace)),
        workspace.bases,
        workspace.path / "models",
    ]
