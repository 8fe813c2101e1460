"""A run that is being put together: kept in the workspace, so that it can be left at any step."""

import json
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgetune.files import write_json
from edgetune.workspace import Workspace
from tui.start import flags

if TYPE_CHECKING:
    from edgetune.recipe import Recipe

SHAPING = (
    "format",
    "map",
    "length",
    "long",
    "answers",
    "epochs",
    "steps",
    "batch",
    "accumulation",
    "eval_share",
    "data_seed",
    "validation",
)
"""Options that say how the data is read and how long training takes."""


@dataclass
class Draft:
    """What was chosen so far. options: of the recipe, beside base and data, that differ from the preset. step: where it was left.

    kind, verdict: what the X-ray said of the data, empty until it was looked at.
    """

    base: str = ""
    data: list[str] = field(default_factory=list)
    goal: str = ""
    preset: str = "balanced"
    options: dict[str, Any] = field(default_factory=dict)
    name: str = ""
    step: int = 0
    kind: str = ""
    verdict: str = ""
    anyway: bool = False

    @property
    def chosen(self) -> dict[str, Any]:
        """The options as the recipe takes them."""
        return {"base": self.base, "data": self.data, **self.options}

    def recipe(self) -> "tuple[Recipe, dict[str, str]]":
        """The recipe with the source of every value. Raises InputError naming what is wrong."""
        from edgetune.recipe import build

        return build(self.chosen, None, self.preset)

    def words(self) -> list[str]:
        """What follows `edgetune train`."""
        words = ["--preset", self.preset, *flags(self.chosen)]
        return [*words, *(["--name", self.name] if self.name else []), *(["--anyway"] if self.anyway else [])]

    def check_words(self) -> list[str]:
        """What follows `edgetune data check`."""
        recipe, _ = self.recipe()
        shaping = {name: getattr(recipe, name) for name in SHAPING}
        return [*self.data, *(["--base", self.base] if self.base else []), *flags(shaping)]

    def command(self) -> str:
        """The command line that does the same."""
        import shlex

        return shlex.join(["edgetune", "train", *self.words()])

    def save(self, workspace: Workspace) -> None:
        """Keep it; a disk that refuses must not stop who chooses."""
        with suppress(OSError, ValueError):  # a file name that is no text cannot be kept
            write_json(path(workspace), asdict(self))


def path(workspace: Workspace) -> Path:
    """Where the draft is kept."""
    return workspace.path / "draft.json"


def load(workspace: Workspace) -> Draft:
    """The draft that was left, or a new one; what makes no sense in it is as new."""
    try:
        found = json.loads(path(workspace).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return Draft()
    if not isinstance(found, dict):
        return Draft()
    new = Draft()
    return Draft(**{f.name: found[f.name] for f in fields(Draft) if type(found.get(f.name)) is type(getattr(new, f.name))})


def forget(workspace: Workspace) -> None:
    """The draft became a run, or is given up."""
    path(workspace).unlink(missing_ok=True)
