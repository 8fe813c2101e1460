"""The command line as a child of the app: its document or its error, stopped and waited for."""

import asyncio
import sys
from pathlib import Path

import pytest

from edgetune.errors import EdgeTuneError
from edgetune.storage.workspace import Workspace
from tui import command
from tui.command import edgetune


def test_a_command_gives_its_document_or_its_error(workspace: Workspace) -> None:
    assert asyncio.run(edgetune(workspace, "runs")) == []
    with pytest.raises(EdgeTuneError, match="There is no run 'none'") as caught:
        asyncio.run(edgetune(workspace, "show", "none"))
    assert caught.value.exit_code == 2 and caught.value.remedy


def test_a_cancelled_command_is_stopped_and_waited_for(workspace: Workspace, facts: Path) -> None:
    import psutil

    async def cancelled() -> None:
        before = set(psutil.Process().children())
        task = asyncio.create_task(edgetune(workspace, "export", "nano", "--type", "Q2_K", "--out", str(facts.with_suffix(".gguf"))))
        children: list[psutil.Process] = []
        while not children or children[0].cpu_times().user < 0.05:  # it is under way
            assert not task.done(), "it must not end by itself before it is cancelled"
            await asyncio.sleep(0.01)
            children = [child for child in psutil.Process().children() if child not in before]
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not any(child.is_running() for child in children), "and not only when the loop is closed"

    asyncio.run(cancelled())
    assert not facts.with_suffix(".gguf").exists()


def test_a_command_that_does_not_leave_is_killed_when_asked_twice() -> None:
    deaf = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(60)"

    async def twice() -> None:
        process = await asyncio.create_subprocess_exec(sys.executable, "-c", deaf, stdout=asyncio.subprocess.PIPE)
        assert process.stdout is not None
        await process.stdout.readline()
        ending = asyncio.create_task(command._end(process))
        await asyncio.sleep(0.3)
        ending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await ending
        assert process.returncode is not None

    asyncio.run(twice())
