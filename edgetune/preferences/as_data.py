"""A preference file as data: where a file of examples can be named, its name means its votes, frozen into rows that a method reads."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from edgetune import methods
from edgetune.config.recipe import Recipe
from edgetune.data.readers import suffix_of
from edgetune.data.sources import split_weight
from edgetune.errors import InputError
from edgetune.preferences.shapes import rows
from edgetune.preferences.store import Store, stores
from edgetune.storage.files import atomic_write, safe_name
from edgetune.storage.paths import exists
from edgetune.storage.workspace import Workspace

PAIRS, JUDGED, LIKED, ASKED = "pair_lists", "unpaired", "messages", "prompt"
WORDS = {PAIRS: "pairs", JUDGED: "judged answers", LIKED: "liked answers", ASKED: "prompts"}
ANY = (PAIRS, JUDGED)
"""What is looked at where no method is named: the first that there is."""


@dataclass(frozen=True)
class Frozen:
    """The votes of a preference file as they stood: a file of `rows` rows of a shape, named by its content. Later votes change nothing."""

    name: str
    shape: str
    rows: int
    path: Path

    def __str__(self) -> str:
        return f"{self.name}, {self.rows:,} {WORDS[self.shape]}"


def frozen(recipe: Recipe, workspace: Workspace) -> tuple[Recipe, list[Frozen]]:
    """A recipe that names files alone, those of frozen votes among them, and these votes; `data` and `validation` are looked at.

    Raises InputError: a name of neither a file nor a preference file; a preference file without what the recipe's method learns from.
    """
    shapes = (methods.get(recipe.method).vote_format,)
    frozen_votes: list[Frozen] = []
    changed = {}
    for name in ("data", "validation"):
        files = []
        for argument in getattr(recipe, name):
            votes = freeze(argument, workspace, shapes, recipe.method)
            frozen_votes += [votes] if votes else []
            weight = argument[len(str(split_weight(argument)[0])) :] if votes else ""
            files.append(f"{votes.path}{weight}" if votes else argument)
        changed[name] = files
    return (recipe.model_copy(update=changed), frozen_votes) if frozen_votes else (recipe, [])


def files(arguments: list[str], workspace: Workspace, shapes: tuple[str, ...] = ANY) -> list[str]:
    """Arguments in which preference files are replaced by files of their frozen votes. Raises InputError as `frozen` does."""
    result = []
    for argument in arguments:
        votes = freeze(argument, workspace, shapes)
        result.append(str(votes.path) if votes else argument)
    return result


def file(given: Path | None, workspace: Workspace, shapes: tuple[str, ...] = ANY) -> Path | None:
    """A file, or where a preference file is named that of its frozen votes. Raises InputError as `frozen` does."""
    return Path(files([str(given)], workspace, shapes)[0]) if given is not None else None


def freeze(argument: str, workspace: Workspace, shapes: tuple[str, ...], method: str = "") -> Frozen | None:
    """The votes that an argument names, in the first of `shapes` that they have rows of; None where it names a file.

    A path that exists wins over a name, and what looks like a path is one.
    """
    path, _ = split_weight(argument)
    name = str(path)
    if exists(path) or path.name != name or suffix_of(path):
        return None
    store = next((store for store in stores(workspace) if store.name == name), None)
    if store is None:
        raise _unknown(name, workspace)
    for shape in shapes:
        shaped, _ = rows(store.votes(), shape)
        if shaped:
            text = b"".join(json.dumps(row, ensure_ascii=False).encode("utf-8", "replace") + b"\n" for row in shaped)
            return Frozen(name, shape, len(shaped), _cached_file(text, name, workspace))
    raise _empty(store, shapes[0], method)


def _cached_file(text: bytes, name: str, workspace: Workspace) -> Path:
    """The file that holds the rows, in a folder named by their hash."""
    path = workspace.votes_cache / hashlib.sha256(text).hexdigest()[:16] / f"{safe_name(name)}.jsonl"
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as file:
            file.write(text)
    return path


def _unknown(name: str, workspace: Workspace) -> InputError:
    known = ", ".join(store.name for store in stores(workspace))
    return InputError(
        f"There is no file and no preference file called '{name}'",
        f"Preference files here: {known}." if known else "No vote is saved in this workspace yet.",
        "Name a file or folder of examples, or collect votes first: edgetune rank MODEL --prompts FILE",
    )


def _empty(store: Store, shape: str, method: str) -> InputError:
    votes = store.votes()
    counts = {kind: sum(vote.choice.type == kind for vote in votes) for kind in ("pair", "ranking", "edit", "thumbs", "skip")}
    counted = ", ".join(f"{count} {kind}" for kind, count in counts.items() if count) or "none"
    remedy = "Collect some: edgetune rank MODEL --prompts FILE"
    if shape == PAIRS and any(vote.labels() for vote in votes):
        remedy += "; or learn from judged answers as they are: --method kto"
    return InputError(
        f"{store.name} holds no {WORDS[shape]}",
        f"Its votes: {counted}; none of them is what {f'{method} learns from' if method else 'this command reads'}.",
        remedy + ".",
    )
