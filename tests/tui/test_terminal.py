"""The app in a real terminal: however it ends, the terminal is as it was before."""

import os
import signal
from pathlib import Path

import pytest

from tests.tui.terminal import Terminal


@pytest.mark.parametrize("how", ["q", "ctrl-q", "ctrl-c twice", "TERM", "HUP", "INT"])
def test_the_terminal_is_whole_afterwards(tmp_path: Path, how: str) -> None:
    terminal = Terminal(tmp_path)
    try:
        terminal.until(b"No runs yet")
        keys = {"q": [b"q"], "ctrl-q": [b"\x11"], "ctrl-c twice": [b"\x03", b"\x03"]}
        if how in keys:
            for one in keys[how]:
                os.write(terminal.master, one)
        else:
            terminal.process.send_signal(getattr(signal, f"SIG{how}"))
        assert terminal.finished() == (0 if how in ("q", "ctrl-q") else 130)
        terminal.whole()
    finally:
        terminal.close()


def test_a_terminal_without_unicode_gets_ascii(tmp_path: Path) -> None:
    terminal = Terminal(tmp_path, LC_ALL="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0", PYTHONIOENCODING="ascii")
    try:
        terminal.until(b"No runs yet")
        os.write(terminal.master, b"q")
        assert terminal.finished() == 0
        assert terminal.seen.isascii()
        terminal.whole()
    finally:
        terminal.close()
