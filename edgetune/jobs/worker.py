"""The one entry of every job's process: `python -m edgetune.jobs.worker FOLDER`. Signals ask to stop; saving happens at a step's end."""

import os
import signal
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from edgetune.errors import EdgeTuneError
from edgetune.machine import prevent_sleep
from edgetune.runs.events import EventLog
from edgetune.runs.launch import OWNER_FILE, claim
from edgetune.storage.files import touch
from edgetune.storage.workspace import Run


class Stopped(Exception):
    """It was asked to stop while it waited."""


@contextmanager
def device_lock(workspace: Path, device: str, events: EventLog) -> Iterator[None]:
    """Hold the device: jobs that need it wait for each other and say so."""
    # Imported late: asking about a job needs no locks.
    from filelock import FileLock, Timeout

    folder = workspace / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / f"{device}.lock")

    # The first attempt does not wait, so that the message comes at once; the later ones leave a second for a request to stop.
    announced = False
    while not lock.is_locked:
        try:
            lock.acquire(timeout=1.0 if announced else 0)
        except Timeout:
            # Said once, not every second.
            if not announced:
                events.append("waiting", text=f"Another job uses the {device}: this one starts when it is done.")
            announced = True

            if (events.path.parent / "stop").exists():
                raise Stopped from None
    try:
        # Released on failure too, or every later job would wait for ever.
        yield
    finally:
        lock.release()


def _ask_to_stop(folder: Path) -> None:
    """Let TERM, INT and HUP set the same flag as a stop request."""

    def handler(_number: int, _frame: Any) -> None:
        touch(folder / "stop")

    for name in ("SIGTERM", "SIGINT", "SIGHUP", "SIGBREAK"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), handler)


def run_job(folder: Path) -> int:
    """Do a run's training; every end is an event."""
    from filelock import FileLock, Timeout

    # A lock of the system's, because it ends with the process however that dies.
    run = Run(folder)
    own = FileLock(folder / "worker.lock")

    try:
        own.acquire(timeout=0)
    except Timeout:
        print("Another worker owns this run.", flush=True)
        return 1
    try:
        # First of all, so that the run shows as alive and a request to stop is heard while the model loads.
        claim(folder)
        _ask_to_stop(folder)
        events = EventLog(run.events)
        events.append("launched")  # whatever an earlier worker ended with no longer counts
        try:
            # Before torch is imported, which reads the number of threads only then.
            request = run.request()
            with device_lock(folder.parent.parent, request["device"], events), prevent_sleep.sleep_prevented(f"{run.name} is training"):
                os.environ.setdefault("OMP_NUM_THREADS", str(request["threads"]))
                from edgetune.training.run import train

                train(run, events)
            return 0
        except Stopped:
            events.append("stopped", step=0, text=f"Stopped while it waited; 'edgetune resume {run.name}' continues it.")
            return 0
        except EdgeTuneError as error:
            events.append("failed", error=error.as_dict())
            return error.exit_code
        except MemoryError:
            events.append(
                "failed",
                error=EdgeTuneError(
                    "Out of memory", "The machine has no memory left.", "Lower --batch-size or --max-length, or use --quantization nf4."
                ).as_dict(),
            )
            return 1
        except Exception as error:  # noqa: BLE001 - whatever ends a run, its log must say so
            traceback.print_exc()

            # Every device has an error class for it; the text is what they share.
            if "out of memory" in str(error).lower():
                cause = EdgeTuneError(
                    "Out of memory",
                    str(error).splitlines()[0],
                    "Lower --batch-size (and raise --gradient-accumulation), --max-length, or use --gradient-checkpointing.",
                )
            else:
                cause = EdgeTuneError(
                    "Training failed", f"{type(error).__name__}: {error}", f"The whole report is in {folder / 'worker.log'}."
                )
            events.append("failed", error=cause.as_dict())
            return 1
    finally:
        (folder / OWNER_FILE).unlink(missing_ok=True)
        own.release()


if __name__ == "__main__":
    sys.exit(run_job(Path(sys.argv[1])))
