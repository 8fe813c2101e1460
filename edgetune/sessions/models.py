"""Models that can answer: finished runs, their bases, GGUF files; each with the name people call it by."""

from dataclasses import dataclass
from pathlib import Path

from edgetune.errors import EdgeTuneError, InputError
from edgetune.preferences.naming import name_of
from edgetune.runs import manage
from edgetune.runs.overview import Overview
from edgetune.storage.paths import BUNDLED
from edgetune.storage.workspace import Workspace

KINDS = {"run": "run", "base": "base", "file": "GGUF file"}


@dataclass(frozen=True)
class Model:
    """A model that can be asked. kind: "run" (place: its name), "base" (its folder) or "file" (a GGUF)."""

    kind: str
    place: str

    @property
    def name(self) -> str:
        """What people call it."""
        return name_of(self.place)


def list_models(workspace: Workspace) -> list[Model]:
    """All that a workspace has: runs that can answer, newest first, their bases, the bundled model, and exports."""
    runs, bases, files = list[Model](), list[Model](), list[Model]()
    for row in Overview(workspace).look():
        if not row.answers:
            continue
        runs.append(Model("run", row.name))
        try:
            bases.append(Model("base", str(row.run.request()["base"])))
        except EdgeTuneError:
            continue
        adapters = manage.adapters(row.run)
        files += [Model("file", str(path)) for path in manage.exports(row.run) if path not in adapters]
    return list(dict.fromkeys([*runs, *bases, Model("base", str(BUNDLED.resolve())), *files]))


def model_of_path(text: str) -> Model:
    """The GGUF file of a typed path. InputError where it is none."""
    path = Path(text).expanduser().absolute()
    if path.suffix.lower() != ".gguf" or not path.is_file():
        raise InputError(f"There is no GGUF file {path}", "A model in one file is needed.", "Name a file that ends in .gguf.")
    return Model("file", str(path))
