"""Which files a run's data are: arguments with weights, and folders with what is held out of training in them."""

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from edgetune.data.readers import READERS, FileError, opened, suffix_of
from edgetune.errors import InputError
from edgetune.storage.paths import is_folder, real_path, split_number
from edgetune.text import one_line

MAX_WEIGHT = 100.0
"""The largest weight of a file."""
HELD_OUT_WORDS = frozenset({"valid", "validation", "val", "dev", "test", "eval"})
"""Words in the names of files and folders, below a named folder, that keep a file out of training."""
STRUCTURED_SUFFIXES = frozenset({".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".parquet", ".arrow", ".feather"})
_ABOUT = re.compile(r"(?:readme|licen[sc]e|dataset_info|dataset_dict\.json|state\.json)", re.I)
"""How names of files start that are about a dataset: not examples."""


@dataclass(frozen=True, slots=True)
class Source:
    """A file of examples. weight: how often its rows count, 1 for as they are. held_out: measured on, never trained on."""

    path: Path
    weight: float = 1.0
    held_out: bool = False


def sources(arguments: list[str]) -> list[Source]:
    """The files that arguments name: a file or a folder, each perhaps with a weight ("a.jsonl:2").

    Raises InputError: a weight out of bounds, a file given twice; FileError: no_examples, and what opened.check_file raises.
    """
    files: list[Source] = []
    for argument in arguments:
        path, weight = split_weight(argument)
        if is_folder(path):
            files += [Source(file, weight, is_held_out(file.relative_to(path))) for file in example_files(path)]
        else:
            files.append(Source(path, weight))

    for source in files:
        opened.check_file(source.path)
    _refuse_twice(source.path for source in files)
    return files


def split_weight(argument: str) -> tuple[Path, float]:
    """A path and its weight, 1 where none is given. Raises InputError for a weight out of bounds."""
    path, weight = split_number(argument)
    if weight is None:
        return path, 1.0

    if not (math.isfinite(weight) and 0 < weight <= MAX_WEIGHT):
        raise InputError(
            f"{one_line(argument, 200)} has a weight that cannot be used",
            f"The weight is {argument.rpartition(':')[2]}; it must be above 0 and at most {MAX_WEIGHT:.0f}.",
            "Write for example FILE:2 to see its rows twice as often.",
        )
    return path, weight


def example_files(folder: Path) -> list[Path]:
    """The files of examples below a folder, sorted; hidden ones and those about the dataset left out. Raises FileError: no_examples."""
    try:
        visible = [p for p in sorted(folder.rglob("*")) if not any(part.startswith(".") for part in p.relative_to(folder).parts)]
    except OSError as error:
        raise opened.file_error(folder, error) from error

    # A README is no example, but alone in a folder it is what was meant.
    files = [p for p in visible if suffix_of(p) and not is_folder(p)]
    about = [p for p in files if _ABOUT.match(p.name)]
    rest = [p for p in files if p not in about] or about
    if any(suffix_of(p) in STRUCTURED_SUFFIXES for p in rest):
        rest = [p for p in rest if suffix_of(p) != ".md"]

    if not rest:
        raise FileError(
            folder,
            "no_examples",
            "holds no examples",
            f"No file below it ends in {', '.join(READERS)}.",
            "Name the file itself, not the folder.",
        )
    return rest


def is_held_out(path: Path) -> bool:
    """Whether a path inside a named folder says, as a whole word in a folder's or the file's name, that it is not for training."""
    names = [*path.parts[:-1], path.name.removesuffix(".gz").rpartition(".")[0]]
    return any(word in HELD_OUT_WORDS for name in names for word in re.split(r"[^a-z0-9]+", name.lower()))


def _refuse_twice(paths: Iterable[Path]) -> None:
    seen: dict[Path, Path] = {}
    for path in paths:
        target = real_path(path)
        if target in seen:
            also = "" if seen[target] == path else f" It is also named {one_line(str(seen[target]), 200)}."
            raise InputError(
                f"{one_line(str(path), 200)} is given twice",
                f"Its rows would count double, and could be trained on and measured on.{also}",
                "Name it once; FILE:2 gives it twice the weight.",
            )
        seen[target] = path
