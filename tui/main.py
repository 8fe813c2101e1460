"""Open the app: which workspace, which glyphs, and what the shell gets at the end."""

import gc
import os
import sys
import threading
from pathlib import Path

from edgetune.storage.workspace import open_workspace

SWITCH = 0.001
"""Seconds after which a thread that draws a chart or reads a log must let the UI go on, where Python's own 5 ms add up to a late key."""
STARTED = 1.5
"""Seconds after which the first screen stands. Until then nothing becomes garbage, and looking for it is a tenth of the time."""


def terminal() -> bool:
    """Whether there is a terminal that the app can draw on."""
    return sys.stdin.isatty() and sys.stdout.isatty() and os.environ.get("TERM", "") != "dumb"


def unicode_here() -> bool:
    """Whether this terminal shows Unicode: its encoding says so, and the Linux console's small font is not in the way."""
    return (sys.stdout.encoding or "").lower().replace("-", "").startswith("utf8") and os.environ.get("TERM") != "linux"


def main(path: Path | None = None, ascii_only: bool | None = None) -> int:
    """Run the app until it is left; the exit code. ascii_only: draw without Unicode; by default where this terminal cannot show it."""
    gc.disable()
    from tui.app import EdgeTuneApp

    sys.setswitchinterval(SWITCH)
    app = EdgeTuneApp(open_workspace(path), ascii_only=not unicode_here() if ascii_only is None else ascii_only)
    timer = threading.Timer(STARTED, _look_for_garbage)
    timer.daemon = True
    timer.start()
    app.run()
    return app.return_code or 0


def _look_for_garbage() -> None:
    """From now on. What is there stays: to look through all that was imported takes longer than a key may wait."""
    gc.freeze()
    gc.enable()
