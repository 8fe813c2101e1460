"""Programs that run a GGUF, each given a folder it accepts as it is. One file a program; the file name is the program's name.

Each has
  TITLE: str                                   what people call it
  layout(product, file_name) -> Layout         what its folder holds; raises InputError where the program cannot run this model as trained
Names in files have '_' for '-'.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgetune.errors import InputError
from edgetune.gguf.runtimes.product import Layout, describe_product
from edgetune.storage.files import copy_file, create_file, hard_link, need_space, publish_folder

if TYPE_CHECKING:
    from edgetune.gguf.source import Source

PROGRAMS = ("ollama", "lmstudio", "llama-server")
"""Programs, in the order in which they are shown."""


@dataclass(frozen=True)
class PlannedFolder:
    """A folder to write once its GGUF is finished."""

    program: str
    path: Path
    gguf: Path
    layout: Layout


def module(name: str) -> Any:
    """The module of a program."""
    return import_module(f"{__name__}.{name.replace('-', '_')}")


def plan_folders(
    source: "Source", programs: Sequence[str], gguf_paths: dict[str, Path], note: Callable[[str], None]
) -> list[PlannedFolder]:
    """Everything but the GGUFs, worked out before they are written, so that what cannot be done is refused at once. Raises InputError.

    gguf_paths: where each type's GGUF goes; the folders are written beside them. note: gets what a user should know.
    """
    names = list(dict.fromkeys(programs))
    for name in names:
        if name not in PROGRAMS:
            raise InputError(
                f"'{name}' is not a program EdgeTune writes for", f"It knows {', '.join(PROGRAMS)}.", "Choose one of them with --for."
            )
    folders: list[PlannedFolder] = []
    if not names:
        return folders

    described = describe_product(source)
    for name in names:
        for gguf in gguf_paths.values():
            path = gguf.with_name(f"{gguf.stem}-{name}")
            if path.exists():
                remedy = "Move or delete it, or name another folder with --out."
                raise InputError(f"{path} is already there", "It may hold changes of your own.", remedy)
            folders.append(PlannedFolder(name, path, gguf, module(name).layout(described, gguf.name)))
        for text in folders[-1].layout.notes:
            note(f"{module(name).TITLE}: {text}")
    return folders


def write_folder(folder: PlannedFolder, note: Callable[[str], None]) -> Path:
    """Make a folder around a finished GGUF, whole or not at all; where the disk allows it, the GGUF is linked and takes no space.

    note: gets a sentence where the file has to be copied. Raises EdgeTuneError where the disk has no room for the copy.
    """
    with publish_folder(folder.path) as part:
        for name, text in folder.layout.texts.items():
            path = part / name
            path.parent.mkdir(parents=True, exist_ok=True)
            with create_file(path) as file:
                file.write(text.encode("utf-8"))
            if name.endswith(".sh"):
                path.chmod(0o755)

        # Some disks know no hard links.
        gguf = part / folder.layout.gguf
        gguf.parent.mkdir(parents=True, exist_ok=True)
        try:
            hard_link(folder.gguf, gguf)
        except OSError as error:
            need_space(part, folder.gguf.stat().st_size, f"A copy of {folder.gguf.name} for {module(folder.program).TITLE}")
            copy_file(folder.gguf, gguf)
            reason = os.strerror(error.errno or 0)
            note(f"{folder.path} holds a copy of {folder.gguf.name}: this disk does not let one file have two names ({reason})")
    return folder.path
