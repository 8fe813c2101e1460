"""Which of a run's exports are still what the run is."""

import json
from pathlib import Path

from edgetune.estimate.gguf_types import DEFAULT_TYPE, TYPES
from edgetune.gguf.source import Source, from_run, target_paths
from edgetune.runs import checkpoints
from edgetune.storage.files import sha256
from edgetune.storage.workspace import Run


def result_hash(source: Source) -> str:
    """What an export was made from, to tell whether it is still current."""
    folder = source.adapter or source.model
    path = folder / checkpoints.MANIFEST
    return sha256(path) if path.is_file() else ""


def current(source: Source, type_name: str) -> Path | None:
    """A run's export of a type under its usual name, where it exists and was made from the run's present result."""
    path = target_paths(source, [type_name], None)[type_name]
    note = path.with_suffix(".json")
    if source.home is None or not (path.is_file() and note.is_file()):
        return None
    return path if json.loads(note.read_text(encoding="utf-8")).get("result") == result_hash(source) else None


def current_gguf(run: Run) -> Path | None:
    """A run's export that is still what the run is, smallest type preferred; None where there is none."""
    source = from_run(run)
    for type_name in (DEFAULT_TYPE, *TYPES[::-1]):
        if path := current(source, type_name):
            return path
    return None
