"""The GGUF to chat with: of a model, a run, or a run's base; written first, by the command line, where there is none."""

from collections.abc import Callable
from pathlib import Path

from edgetune import methods
from edgetune.bases.fingerprint import fingerprint
from edgetune.errors import EdgeTuneError, InputError
from edgetune.estimate.gguf_types import DEFAULT_TYPE
from edgetune.gguf.current import current_gguf
from edgetune.gguf.find import base_gguf_path
from edgetune.runs.integrity import base_of
from edgetune.sessions.models import Model
from edgetune.storage.workspace import Run, Workspace
from edgetune.text import one_line
from tui.command import edgetune
from tui.error_handling import run_in_thread


def mute(run: Run) -> bool:
    """Whether a run's result gives scores instead of answers."""
    try:
        return not methods.of(run.request()).writes_answers
    except EdgeTuneError:
        return False


async def of_model(model: Model, workspace: Workspace, tell: Callable[[str], None]) -> Path:
    """The file of any model that can be asked. Raises EdgeTuneError with the reason where there cannot be one."""
    if model.kind == "run":
        return await tuned(workspace, workspace.run(model.place), tell)
    if model.kind == "base":
        return await base_folder_gguf(workspace, Path(model.place), tell)
    path = Path(model.place)
    if not path.is_file():
        raise InputError(f"There is no file {path}", "No file or folder exists at that path.", "Choose another model.")
    return path


async def tuned(workspace: Workspace, run: Run, tell: Callable[[str], None]) -> Path:
    """A run's GGUF. InputError for a reward model, which has nothing to say."""
    name = one_line(run.name)
    if await run_in_thread(mute, run):
        raise InputError(
            f"{name} is a reward model", "It gives scores, not answers.", "Chat with the run it judges, or rank answers: edgetune score."
        )
    tell(f"looking for an export of {name} …")
    if path := await run_in_thread(current_gguf, run):
        return path
    tell(f"{name} has no export yet: writing one as {DEFAULT_TYPE}, and proving it …")
    files = await edgetune(workspace, "export", run.name, "--type", DEFAULT_TYPE)
    return Path(files[0]["path"])


async def base(workspace: Workspace, run: Run, tell: Callable[[str], None]) -> Path:
    """The GGUF of what a run began with, kept in the workspace's cache by the base's hash."""
    request = await run_in_thread(run.request)
    folder = await run_in_thread(base_of, run, request)
    return await _cached(workspace, folder, str(request["base_name"]), str(request["base_hash"]), tell)


async def base_folder_gguf(workspace: Workspace, folder: Path, tell: Callable[[str], None]) -> Path:
    """The GGUF of a base model's folder, kept like that of a run's base."""
    return await _cached(workspace, folder, folder.name, await run_in_thread(fingerprint, folder), tell)


async def _cached(workspace: Workspace, folder: Path, name: str, digest: str, tell: Callable[[str], None]) -> Path:
    path = base_gguf_path(workspace, name, digest)
    if not path.is_file():
        tell(f"writing {one_line(name)} as {DEFAULT_TYPE} …")
        await edgetune(workspace, "export", str(folder), "--type", DEFAULT_TYPE, "--out", str(path))
    return path
