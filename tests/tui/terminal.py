"""A terminal of our own with the app in it: what it draws, and what it leaves behind."""

import os
import pty
import select
import subprocess
import sys
import termios
import time
from pathlib import Path

from tests.conftest import ROOT

SWITCHED = (b"\x1b[?1049", b"\x1b[?25", b"\x1b[?1000", b"\x1b[?1003", b"\x1b[?1006", b"\x1b[?2004")
"""Modes that the app turns on or off: alternate screen, cursor, mouse, bracketed paste."""
USUAL = {b"\x1b[?25": b"h"}
"""What each is left at, where that is not off: the cursor is shown."""


class Terminal:
    """A terminal with the app in it."""

    def __init__(self, tmp_path: Path, size: tuple[int, int] = (80, 24), command: list[str] | None = None, **environment: str) -> None:
        self.master, slave = pty.openpty()
        termios.tcsetwinsize(slave, size[::-1])
        self.before = termios.tcgetattr(slave)
        self.slave, self.seen = slave, b""
        variables = {
            **{name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")},  # the terminal's own size counts
            "EDGETUNE_WORKSPACE": str(tmp_path / "workspace"),
            "HF_HUB_CACHE": str(tmp_path / "no-cache"),
            "TERM": "xterm-256color",
            "PYTHONPATH": str(ROOT),
            "LC_ALL": "C.UTF-8",
            **environment,
        }
        self.process = subprocess.Popen(
            command or [sys.executable, "-m", "edgetune"],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            cwd=tmp_path,
            env=variables,
            start_new_session=True,
        )

    def until(self, wanted: bytes, patience: float = 60.0) -> None:
        """Read what the app draws until something comes."""
        end = time.monotonic() + patience
        while wanted not in self.seen:
            assert time.monotonic() < end, self.seen[-2000:]
            if select.select([self.master], [], [], 0.5)[0]:
                self.seen += os.read(self.master, 65536)

    def finished(self) -> int:
        """Read until it ends; its exit code."""
        end = time.monotonic() + 60
        while self.process.poll() is None or select.select([self.master], [], [], 0.2)[0]:
            assert time.monotonic() < end, self.seen[-2000:]
            if select.select([self.master], [], [], 0.2)[0]:
                self.seen += os.read(self.master, 65536)
        return self.process.returncode

    def whole(self) -> None:
        """The terminal is as before: its attributes, and every mode that was switched."""
        assert termios.tcgetattr(self.slave)[:4] == self.before[:4]
        for mode in SWITCHED:
            last = self.seen.rfind(mode)
            assert last < 0 or self.seen[last + len(mode) : last + len(mode) + 1] == USUAL.get(mode, b"l"), mode

    def close(self) -> None:
        """End it."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self.master)
        os.close(self.slave)
