"""Start a worker process of its own session, know whether it lives, and ask it to stop."""

import json
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from edgetune.errors import EdgeTuneError
from edgetune.machine.python_child import child_environment
from edgetune.runs.events import State, fold, read_events
from edgetune.storage.files import open_log, write_json
from edgetune.storage.workspace import Run

OWNER_FILE = "owner.json"


def claim(folder: Path, pid: int | None = None) -> None:
    """Write who works on a job (None: this process): pid and the process's start time, so that a recycled pid is not mistaken for it."""
    import psutil

    process = psutil.Process(pid)
    write_json(folder / OWNER_FILE, {"pid": process.pid, "started": process.create_time()})


def alive(folder: Path) -> bool:
    """Whether the job's worker runs."""
    import psutil

    try:
        owner = json.loads((folder / OWNER_FILE).read_text(encoding="utf-8"))
        process = psutil.Process(owner["pid"])
        return abs(process.create_time() - owner["started"]) < 1.0 and process.status() != psutil.STATUS_ZOMBIE
    except (OSError, ValueError, KeyError, psutil.NoSuchProcess):
        return False


def start(folder: Path) -> subprocess.Popen[bytes]:
    """Launch the worker; it outlives whoever started it. Its output goes to worker.log."""
    # Imported late: reading a run needs no psutil.
    import psutil

    Run(folder).stop_file.unlink(missing_ok=True)  # here, not in the worker: a request may come while it still loads

    # Unbuffered, because what a killed worker still held back would be missing from its log.
    command = [sys.executable, "-m", "edgetune.jobs.worker", str(folder)]
    environment = child_environment(PYTHONUNBUFFERED="1")

    # A separate session, so that closing the terminal, or Ctrl-C in it, does not reach the worker.
    log = open_log(Run(folder).worker_log)
    try:
        if os.name == "nt":  # not tried: no Windows machine was at hand
            flags = subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.DETACHED_PROCESS  # type: ignore[attr-defined,unused-ignore]
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment, creationflags=flags)
        else:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment, start_new_session=True)
    finally:
        os.close(log)

    if not alive(folder):  # until the worker claims the run itself, it is this one's
        with suppress(psutil.NoSuchProcess):
            claim(folder, process.pid)
    return process


def state(run: Run) -> State:
    """A run's state: the fold over its events, and 'interrupted' where the worker died without a last word."""
    result = fold(read_events(run.events))
    result.status = status(run, result)
    return result


def status(run: Run, folded: State) -> str:
    """What the fold over a run's events says, unless its worker died without a last word."""
    if folded.status not in ("running", "waiting", "new") or alive(run.folder):
        return folded.status
    return "interrupted" if folded.status != "new" or run.events.exists() else "new"


def shown_status(run: Run, folded: State) -> str:
    """`status` for who watches: 'stopping' while a worker does what a request to stop asks for."""
    current = status(run, folded)
    return "stopping" if current in ("running", "waiting") and run.stop_file.exists() else current


def request_stop(run: Run) -> None:
    """Ask a running worker to stop after a checkpoint."""
    if not alive(run.folder):
        raise EdgeTuneError(
            f"The run {run.name} is not running", f"Its state is '{state(run).status}'.", "'edgetune runs' shows what runs."
        )
    write_json(run.stop_file, {})


def log_tail(run: Run, lines: int = 12) -> str:
    """The end of the worker's log, for an error's cause."""
    try:
        return "\n".join(run.worker_log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])
    except OSError:
        return ""


def died(run: Run) -> EdgeTuneError:
    """A worker's death without a last word, as an error: what its log says at the end, the trainer's lines of figures left out."""
    last_lines = [line for line in log_tail(run).splitlines() if line.strip() and not line.startswith("{'")]
    return EdgeTuneError(
        f"The worker of {run.name} died",
        "\n".join(last_lines) or "It left no message: it was killed, perhaps for lack of memory.",
        f"Resume from the last checkpoint: edgetune resume {run.name}",
    )
