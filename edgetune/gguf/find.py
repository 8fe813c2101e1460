"""The GGUF file to chat with: of a run, of a base model's folder, or one that is named; written first where there is none."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from edgetune.errors import InputError
from edgetune.estimate.gguf_types import DEFAULT_TYPE
from edgetune.storage.paths import expand_home, is_folder

if TYPE_CHECKING:
    from edgetune.storage.workspace import Run, Workspace

Say = Callable[[str], None]
MODEL_HELP = "A GGUF file, a run, 'nano', or the folder of a base."
"""How a model to chat with is named, for the help of the commands that accept one."""


def model_file(source: str, workspace: "Workspace", say: Say) -> Path:
    """What a SOURCE means: a GGUF file, a run, 'nano', or a base model's folder. InputError where it is none of them.

    say: gets a sentence about what is written first.
    """
    path = expand_home(source)
    if path.is_file():
        return path
    if source.lower().endswith(".gguf"):
        raise InputError(
            f"There is no file {source}",
            "No file or folder exists at that path.",
            "Give the path of a GGUF file, or the name of a run; 'edgetune runs' lists them.",
        )
    if source == "nano" or (is_folder(path) and not (path.name == source and is_folder(workspace.runs_folder / source))):
        from edgetune.bases import find

        return base_gguf(find.resolve_base(source), workspace, say)
    return run_gguf(workspace.run(source), workspace, say)


def run_gguf(run: "Run", workspace: "Workspace", say: Say) -> Path:
    """A run's GGUF as it is now, smallest type preferred; written and proven first where there is none."""
    from edgetune.gguf.current import current_gguf
    from edgetune.gguf.source import from_run
    from edgetune.gguf.write import export_gguf, make_prover, require_proven

    if path := current_gguf(run):
        return path
    source = from_run(run)
    say(f"{run.name} has no export yet: writing one as {DEFAULT_TYPE}, and proving it.")
    exports = export_gguf(source, [DEFAULT_TYPE], None, proving=make_prover(source, workspace, say))
    require_proven(exports)
    return Path(exports[0]["path"])


def base_gguf(folder: Path, workspace: "Workspace", say: Say) -> Path:
    """A base's GGUF in the workspace's cache; written first where there is none. InputError for a folder that is no model."""
    from edgetune.bases import find
    from edgetune.bases.fingerprint import fingerprint
    from edgetune.gguf.source import from_folder
    from edgetune.gguf.write import export_gguf

    base = find.describe_base(folder)
    path = base_gguf_path(workspace, base.name, fingerprint(folder))
    if not path.is_file():
        say(f"Writing {base.name} as {DEFAULT_TYPE}, to chat with.")
        export_gguf(from_folder(folder, None), [DEFAULT_TYPE], path, note=say)
    return path


def run_base_gguf(name: str, workspace: "Workspace", say: Say) -> Path:
    """The GGUF of what a run began with. InputError where it is no run."""
    if expand_home(name).is_file() or name == "nano" or Path(name).name != name:
        raise InputError("No base is known", f"'base' is what a run began with, and {name} is no run.", "Name the base itself, or the run.")
    from edgetune.runs.integrity import base_of

    run = workspace.run(name)
    return base_gguf(base_of(run, run.request()), workspace, say)


def base_gguf_path(workspace: "Workspace", name: str, digest: str) -> Path:
    """Where the GGUF of a base is stored. digest: the base's fingerprint, which a run notes as `base_hash`."""
    return workspace.chat_cache / f"{name}-{digest[:12]}-{DEFAULT_TYPE}.gguf"
