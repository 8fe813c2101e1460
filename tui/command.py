"""The command line as a child process: for what is long, or imports what the app's process must not."""

import asyncio
import json
import os
import sys
from asyncio import subprocess
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from edgetune.errors import EdgeTuneError
from edgetune.machine.python_child import child_environment
from edgetune.storage.workspace import Workspace
from edgetune.text import safe_text

TERM_SECONDS = 5.0
"""Given to a command to leave after SIGTERM, before it is killed."""
PROGRESS_EVERY = 0.3
"""Seconds between two lines of progress."""
LAST_LINES = 12
"""Last lines of its talk that are shown when it dies."""


async def edgetune(workspace: Workspace, *words: str, on_line: Callable[[str], None] = lambda _line: None) -> Any:
    """Run `edgetune WORDS --json` and give its document. on_line: gets each line that it writes meanwhile.

    Raises the command's own EdgeTuneError. When cancelled, the command is stopped and waited for.
    """
    environment = child_environment(EDGETUNE_WORKSPACE=str(workspace.path), EDGETUNE_PROGRESS=str(PROGRESS_EVERY))
    command = [sys.executable, "-W", "ignore::FutureWarning", "-P", "-m", "edgetune", *words, "--json"]  # libraries warn their own authors
    streams: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    process = await asyncio.create_subprocess_exec(*command, **streams, env=environment, start_new_session=os.name != "nt")
    assert process.stdout is not None and process.stderr is not None
    lines: list[str] = []

    async def listen(stream: asyncio.StreamReader) -> None:
        rest = b""
        while piece := await stream.read(4096):
            *whole, rest = (rest + piece).split(b"\n")
            for line in whole:
                lines.append(safe_text(line.decode("utf-8", "replace")).rstrip())
                del lines[:-LAST_LINES]
                on_line(lines[-1])

    try:
        out, _ = await asyncio.gather(process.stdout.read(), listen(process.stderr))
        code = await process.wait()
    finally:
        await _end(process)
    try:
        document = json.loads(out)
    except ValueError:
        raise EdgeTuneError(
            f"'edgetune {words[0]}' ended without a result",
            "\n".join(lines) or f"Its exit code was {code}.",
            "Try it again; in a shell it may say more.",
        ) from None
    if isinstance(document, dict) and isinstance(error := document.get("error"), dict) and "title" in error and code:
        raise EdgeTuneError(error["title"], error.get("cause", ""), error.get("remedy", ""), code)
    return document


async def _end(process: subprocess.Process) -> None:
    if process.returncode is not None:
        return
    with suppress(ProcessLookupError):
        process.terminate()
        try:
            await asyncio.wait_for(process.wait(), TERM_SECONDS)
        except BaseException as error:  # it does not leave, or is not waited for any longer: asked twice, it ends at once
            process.kill()
            await process.wait()
            if not isinstance(error, TimeoutError):
                raise
