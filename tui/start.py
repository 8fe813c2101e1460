"""Begin runs: through the command line, for checking and preparing data takes time and memory of its own."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from edgetune.storage.workspace import Run, Workspace
from tui.command import edgetune


def _plain(value: Any) -> str:
    """A value as people type it: 60 rather than 60.0."""
    return str(int(value) if isinstance(value, float) and value.is_integer() else value)


def flags(options: dict[str, Any]) -> list[str]:
    """Options of the recipe as the command line takes them."""
    from edgetune.config.recipe import flag_of

    arguments: list[str] = []
    for name, value in options.items():
        flag = flag_of(name)
        if value is None:
            continue
        if isinstance(value, bool):
            arguments.append(flag if value else f"--no-{flag.removeprefix('--')}")
        else:
            arguments += [word for each in (value if isinstance(value, list) else [value]) for word in (flag, _plain(each))]
    return arguments


async def begin(workspace: Workspace, arguments: list[str], on_line: Callable[[str], None] = lambda _line: None) -> Run:
    """Check, make and launch a run; the run. Raises EdgeTuneError where it cannot be."""
    document = await edgetune(workspace, "train", *arguments, "--detach", on_line=on_line)
    return Run(Path(document["folder"]))


async def demo(workspace: Workspace) -> Run:
    """The run of `edgetune demo`."""
    from edgetune.demo.demo import OPTIONS

    return await begin(workspace, [*flags(OPTIONS), "--name", workspace.new_name(None, "demo")])
