"""The GGUF to chat with: of a run, or of a run's base; written first, by the command line, where there is none."""

from collections.abc import Callable
from pathlib import Path

from edgetune.export import current_gguf
from edgetune.gguf_types import USUAL
from edgetune.workspace import Run, Workspace
from tui.attempt import in_thread
from tui.command import edgetune


async def tuned(workspace: Workspace, run: Run, tell: Callable[[str], None]) -> Path:
    """A run's GGUF."""
    tell(f"looking for an export of {run.name} …")
    if found := await in_thread(current_gguf, run):
        return found
    tell(f"{run.name} has no export yet: writing one as {USUAL}, and proving it …")
    made = await edgetune(workspace, "export", run.name, "--type", USUAL)
    return Path(made[0]["path"])


async def base(workspace: Workspace, run: Run, tell: Callable[[str], None]) -> Path:
    """The GGUF of what a run began with, kept in the workspace's cache by the base's hash."""
    request = await in_thread(run.request)
    path = workspace.chat_cache / f"{request['base_name']}-{request['base_hash'][:12]}-{USUAL}.gguf"
    if not path.is_file():
        tell(f"writing {request['base_name']} as {USUAL} …")
        await edgetune(workspace, "export", str(request["base"]), "--type", USUAL, "--out", str(path))
    return path
