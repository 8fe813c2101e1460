"""Sleep prevented while a job runs, where the system allows it; never an error where it does not.

Linux: systemd's inhibitor lock, held for as long as a program runs that ends with this one's end of a pipe, so that it is released however
this process ends (systemd-inhibit(1)). macOS: caffeinate(8) with -w. Windows: SetThreadExecutionState. Only idle sleep is prevented:
who closes the lid means it. Neither macOS nor Windows was tried.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from edgetune.machine.hardware import Choice

SYSTEMD_FOLDER = Path("/run/systemd/system")
"""There where systemd runs the machine (sd_booted(3))."""
CONTINUOUS, SYSTEM_REQUIRED = 0x80000000, 0x00000001
"""ES_CONTINUOUS and ES_SYSTEM_REQUIRED of SetThreadExecutionState."""
END_SECONDS = 5.0


def sleep_blocker(system: str = sys.platform) -> Choice:
    """What holds sleep off here, '' for nothing, with the reason. system: as sys.platform has it."""
    if system == "win32":
        return Choice("Windows", "sleep is prevented while a job runs, through Windows itself")
    name = "caffeinate" if system == "darwin" else "systemd-inhibit"
    if system != "darwin" and not SYSTEMD_FOLDER.is_dir():
        return Choice("", "sleep is not prevented: systemd does not run this machine")
    if not shutil.which(name):
        return Choice("", f"sleep is not prevented: there is no {name} here")
    return Choice(name, f"sleep is prevented while a job runs, where {name} is allowed to")


def blocker_command(tool: str, why: str, pid: int) -> list[str]:
    """What is run beside the job of process `pid`."""
    if tool == "caffeinate":
        return [tool, "-i", "-w", str(pid)]
    return [tool, "--what=sleep:idle", "--who=EdgeTune", f"--why={why}", "--mode=block", "cat"]


@contextmanager
def sleep_prevented(why: str) -> Iterator[None]:
    """Hold sleep off for what is done inside. why: for who asks the system what keeps it awake."""
    tool = sleep_blocker().value
    if tool == "Windows":
        _windows(CONTINUOUS | SYSTEM_REQUIRED)
        try:
            yield
        finally:
            _windows(CONTINUOUS)
        return

    # The program lives as long as its input is open, so a killed job lets the machine sleep again.
    process = None
    if tool:
        with suppress(OSError):
            nothing = subprocess.DEVNULL
            process = subprocess.Popen(
                blocker_command(tool, why, os.getpid()), stdin=subprocess.PIPE, stdout=nothing, stderr=nothing, start_new_session=True
            )

    try:
        yield
    finally:
        if process:
            _end(process)


def _end(process: "subprocess.Popen[bytes]") -> None:
    assert process.stdin is not None
    with suppress(OSError):
        process.stdin.close()
    with suppress(OSError):
        process.terminate()
    try:
        process.wait(END_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _windows(state: int) -> None:
    import ctypes

    with suppress(AttributeError, OSError):
        ctypes.windll.kernel32.SetThreadExecutionState(state)  # type: ignore[attr-defined]
