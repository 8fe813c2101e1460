"""Models that can answer: finished runs, what they began with, GGUF files; by what they are called, and as the file to load."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from edgetune.errors import EdgeTuneError, InputError
from edgetune.preferences.naming import name_of
from edgetune.runs import manage
from edgetune.runs.overview import Overview
from edgetune.storage.paths import BUNDLED
from edgetune.storage.workspace import Workspace
from tui import gguf_of

KINDS = {"run": "run", "base": "base", "file": "GGUF file"}


@dataclass(frozen=True)
class Model:
    """One that can be asked. kind: "run" (place: its name), "base" (its folder) or "file" (a GGUF)."""

    kind: str
    place: str

    @property
    def name(self) -> str:
        """What it is called."""
        return name_of(self.place)

    async def gguf(self, workspace: Workspace, tell: Callable[[str], None]) -> Path:
        """Its file, written first where there is none. Raises EdgeTuneError with the reason where there cannot be one."""
        if self.kind == "run":
            return await gguf_of.tuned(workspace, workspace.run(self.place), tell)
        if self.kind == "base":
            return await gguf_of.base_file(workspace, Path(self.place), tell)
        path = Path(self.place)
        if not path.is_file():
            raise InputError(f"There is no file {path}", "Nothing lies under that path.", "Choose another model.")
        return path


def found(workspace: Workspace) -> list[Model]:
    """All that a workspace has: runs that can answer, newest first, their bases, the bundled model, and exports."""
    runs, bases, files = list[Model](), list[Model](), list[Model]()
    for seen in Overview(workspace).look():
        if seen.status != "finished" or seen.method == "reward":
            continue
        runs.append(Model("run", seen.name))
        try:
            bases.append(Model("base", str(seen.run.request()["base"])))
        except EdgeTuneError:
            continue
        adapters = manage.adapters(seen.run)
        files += [Model("file", str(path)) for path in manage.exports(seen.run) if path not in adapters]
    return list(dict.fromkeys([*runs, *bases, Model("base", str(BUNDLED.resolve())), *files]))


def gguf_file(text: str) -> Model:
    """The file of a typed path. InputError where it is no GGUF."""
    path = Path(text).expanduser().absolute()
    if path.suffix.lower() != ".gguf" or not path.is_file():
        raise InputError(f"There is no GGUF file {path}", "A model in one file is needed.", "Name a file that ends in .gguf.")
    return Model("file", str(path))
