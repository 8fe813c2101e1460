"""A run whose base was moved is given the folder where it is now, if what lies there is that base.

The recipe and the request stay as they were made: where the base is now is a file of its own in the run's folder.
"""

import time
from pathlib import Path
from typing import Any

from edgetune.bases import find
from edgetune.bases.fingerprint import file_hashes, is_base
from edgetune.errors import EdgeTuneError, InputError
from edgetune.formatting import format_size
from edgetune.runs.manage import idle
from edgetune.storage.files import write_json
from edgetune.storage.workspace import Run, Workspace


def rebase(run: Run, base: str) -> Path:
    """Let a run that no worker uses find its base in another folder; that folder. Raises EdgeTuneError where it holds another model."""
    request = idle(run).request()
    folder = find.resolve_base(base)
    find.describe_base(folder)
    if not is_base(folder, request["base_hash"]):
        raise InputError(
            f"{folder} is not the base of {run.name}",
            f"{run.name} was made on {request['base_name']}: {_differences(request, folder)}.",
            "Name the folder of that very model; for another model start a new run.",
        )
    write_json(run.moved_base_file, {"base": str(folder), "before": request["base"], "time": round(time.time(), 3)})
    return folder


def runs_without_base(workspace: Workspace, base: Path) -> list[str]:
    """Names of the other runs that look for their base in this folder, which is gone."""
    names = []
    for run in workspace.runs() if not base.is_dir() else []:
        try:
            if Path(run.request()["base"]) == base:
                names.append(run.name)
        except EdgeTuneError:  # damaged: it is said where it is asked for
            continue
    return names


def _differences(request: dict[str, Any], folder: Path) -> str:
    """What of a folder differs from the base that a run noted, file by file. Runs of version 0.1 noted one hash of all."""
    noted, present = request.get("base_files"), file_hashes(folder)
    if not isinstance(noted, dict):
        parameters = find.describe_base(folder).parameters
        if parameters != request.get("base_parameters", parameters):
            return f"that has {request['base_parameters']:,} weights, this has {parameters:,}"
        return "its files have another hash"

    sizes = {name: f"{format_size(size)}" for name, (size, _) in present.items()}
    differences = [f"{name} is not there" for name in noted if name not in present]
    differences += [
        f"{name} differs" + (f" ({sizes[name]}, was {format_size(noted[name][0])})" if noted[name][0] != present[name][0] else "")
        for name in noted
        if name in present and list(present[name]) != noted[name]
    ]
    differences += [f"{name} was not there" for name in present if name not in noted]
    more = f" and {len(differences) - 4} more" if len(differences) > 4 else ""
    return ", ".join(differences[:4]) + more
