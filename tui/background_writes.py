"""Small files that are written beside the UI's thread, one after the other in the order they were asked for.

A write that must survive a power cut waits for the disk, which may take longer than a key press may.
"""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Any

from edgetune.errors import EdgeTuneError

_ONE = ThreadPoolExecutor(1, "writes")


def soon(write: Callable[..., object], *values: Any) -> "Future[object]":
    """Write beside the UI. What the system refuses is left: nobody waits for it. Gives what can be waited for."""
    return _ONE.submit(_tried, write, *values)


def _tried(write: Callable[..., object], *values: Any) -> None:
    with suppress(OSError, ValueError, EdgeTuneError):  # a file name that is no text cannot be kept
        write(*values)


def done() -> None:
    """Wait until all that was asked for is written; for a thread that may wait."""
    _ONE.submit(lambda: None).result()
