"""A run that is being put together: kept in the workspace, so that it can be left at any step."""

import json
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgetune.errors import EdgeTuneError
from edgetune.storage.files import write_json
from edgetune.storage.workspace import Workspace
from tui import background_writes
from tui.start import flags

if TYPE_CHECKING:
    from edgetune.config.recipe import Recipe

SHAPING = (
    "format",
    "column_map",
    "max_length",
    "overlong",
    "train_on",
    "epochs",
    "max_steps",
    "batch_size",
    "gradient_accumulation",
    "validation_split",
    "data_seed",
    "validation",
)
"""Options that say how the data is read and how long training takes."""


@dataclass
class Draft:
    """What was chosen so far. options: of the recipe, beside base and data, that differ from the preset. step: where it was left.

    kind, verdict, rows: what the X-ray says of the data and how many rows it keeps, empty until it was looked at.
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
    rows: int = 0
    anyway: bool = False

    @property
    def chosen(self) -> dict[str, Any]:
        """The options as the recipe takes them."""
        return {"base": self.base, "data": self.data, **self.options}

    def recipe(self) -> "tuple[Recipe, dict[str, str]]":
        """The recipe with the source of every value. Raises InputError naming what is wrong."""
        from edgetune.config.recipe import build_recipe

        return build_recipe(self.chosen, None, self.preset)

    @property
    def problem(self) -> str:
        """Why the recipe cannot be as it is, or an empty text."""
        try:
            self.recipe()
        except EdgeTuneError as error:
            return f"{error.title}. {error.cause}"
        return ""

    def values(self) -> "tuple[dict[str, Any], dict[str, str]]":
        """Every option's value with its source, also of a recipe that is not valid."""
        from edgetune.config.recipe import Recipe, gather_values

        values, sources = gather_values(self.chosen, None, self.preset)
        return {name: field.get_default(call_default_factory=True) for name, field in Recipe.model_fields.items()} | values, sources

    def changed_to(self, changes: dict[str, Any], preset: str = "") -> "Draft":
        """A draft with other options or another preset; what the preset has anyway is no change. Raises InputError for what cannot be.

        Out of a recipe that is not valid any change leads whose values can be: another one may mend the rest.
        """
        from edgetune.config.recipe import check_option

        draft = replace(self, preset=preset or self.preset, options={**self.options, **changes})
        usual = replace(draft, options={}).values()[0]
        for name, value in changes.items():
            if value == usual[name]:
                del draft.options[name]
        if draft.problem and not self.problem:
            draft.recipe()
        for name in draft.options.keys() & changes.keys():
            check_option(name, changes[name])
        return draft

    def take(self, other: "Draft") -> None:
        """Become another draft."""
        self.preset, self.options = other.preset, other.options

    def recipe_arguments(self, data: bool = True) -> list[str]:
        """The recipe as flags: what follows `edgetune fit`. data: with the files, which it then reads to tell the time over their rows."""
        return ["--preset", self.preset, *flags(self.chosen if data else {**self.chosen, "data": []})]

    def train_arguments(self) -> list[str]:
        """What follows `edgetune train`."""
        return [*self.recipe_arguments(), *(["--name", self.name] if self.name else []), *(["--anyway"] if self.anyway else [])]

    def check_arguments(self) -> list[str]:
        """What follows `edgetune data check`."""
        recipe, _ = self.recipe()
        shaping = {name: getattr(recipe, name) for name in SHAPING}
        return [*self.data, *(["--base", self.base] if self.base else []), *flags(shaping)]

    def command(self) -> str:
        """The command line that does the same."""
        import shlex

        return shlex.join(["edgetune", "train", *self.train_arguments()])

    def save(self, workspace: Workspace) -> None:
        """Keep it, beside the UI; a disk that refuses must not stop who chooses."""
        background_writes.soon(write_json, path(workspace), asdict(self))


def path(workspace: Workspace) -> Path:
    """Where the draft is kept."""
    return workspace.path / "draft.json"


def load_draft(workspace: Workspace) -> Draft:
    """The draft that was left, or a new one; what makes no sense in it is as new. It waits for what is still being written."""
    background_writes.done()
    try:
        saved = json.loads(path(workspace).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return Draft()
    if not isinstance(saved, dict):
        return Draft()
    from edgetune.config.recipe import PRESETS, Recipe, current_names

    new = Draft()
    draft = Draft(**{f.name: saved[f.name] for f in fields(Draft) if type(saved.get(f.name)) is type(getattr(new, f.name))})
    draft.preset = draft.preset if draft.preset in PRESETS else new.preset
    try:
        draft.options = {name: value for name, value in current_names(draft.options).items() if name in Recipe.model_fields}
    except EdgeTuneError:
        draft.options = {}
    return draft


def forget(workspace: Workspace) -> None:
    """The draft became a run, or is given up."""
    background_writes.soon(path(workspace).unlink, True)
