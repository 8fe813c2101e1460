"""The GGUF file to chat with: of a run, of a base model's folder, or one that is named; written first where there is none."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from edgetune.errors import InputError
from edgetune.estimate.gguf_types import USUAL
from edgetune.storage.paths import expand_home, is_folder

if TYPE_CHECKING:
    from edgetune.storage.workspace import Run, Workspace

Say = Callable[[str], None]
MEANT = "A GGUF file, a run, 'nano', or the folder of a base."
"""What names a model to talk to, for the help of the commands that take one."""


def model_file(source: str, workspace: "Workspace", say: Say) -> Path:
    """What a SOURCE means: a GGUF file, a run, 'nano', or a base model's folder. InputError where it is none of them.

    say: told, in words, what is written first.
    """
    path = expand_home(source)
    if path.is_file():
        return path
    if source.lower().endswith(".gguf"):
        raise InputError(
            f"There is no file {source}", "Nothing lies under that path.", "Check it; 'edgetune runs' lists the runs you can chat with."
        )
    if source == "nano" or (is_folder(path) and not (path.name == source and is_folder(workspace.runs_folder / source))):
        from edgetune.bases import find

        return of_base(find.resolve_base(source), workspace, say)
    return of_run(workspace.run(source), workspace, say)


def of_run(run: "Run", workspace: "Workspace", say: Say) -> Path:
    """A run's GGUF as it is now, smallest type preferred; made and proven first where there is none."""
    from edgetune.gguf.current import current_gguf
    from edgetune.gguf.source import from_run
    from edgetune.gguf.write import demand, export, prover

    if found := current_gguf(run):
        return found
    source = from_run(run)
    say(f"{run.name} has no export yet: writing one as {USUAL}, and proving it.")
    made = export(source, [USUAL], None, proving=prover(source, workspace, say))
    demand(made)
    return Path(made[0]["path"])


def of_base(folder: Path, workspace: "Workspace", say: Say) -> Path:
    """A base's GGUF, kept in the workspace's cache; made first where there is none. InputError for a folder that is no model."""
    from edgetune.bases import find
    from edgetune.bases.fingerprint import fingerprint
    from edgetune.gguf.source import from_folder
    from edgetune.gguf.write import export

    base = find.describe_base(folder)
    path = place_of_base(workspace, base.name, fingerprint(folder))
    if not path.is_file():
        say(f"Writing {base.name} as {USUAL}, to chat with.")
        export(from_folder(folder, None), [USUAL], path)
    return path


def of_base_of(name: str, workspace: "Workspace", say: Say) -> Path:
    """The GGUF of what a run began with. InputError where it is no run."""
    if expand_home(name).is_file() or name == "nano" or Path(name).name != name:
        raise InputError("No base is known", f"'base' is what a run began with, and {name} is no run.", "Name the base itself, or the run.")
    return of_base(Path(workspace.run(name).request()["base"]), workspace, say)


def place_of_base(workspace: "Workspace", name: str, digest: str) -> Path:
    """Where the GGUF of a base is kept. digest: the base's fingerprint, which a run notes as `base_hash`."""
    return workspace.chat_cache / f"{name}-{digest[:12]}-{USUAL}.gguf"
