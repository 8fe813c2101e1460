"""The app in a real terminal: however it ends, the terminal is as it was before."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from edgetune.runs import launch
from edgetune.storage.workspace import Run
from tests.tui.conftest import FINISHED, life
from tests.tui.terminal import Terminal
from tests.tui.tmux import Tmux


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


@pytest.fixture
def tmux(tmp_path: Path) -> Iterator[Callable[[], Tmux]]:
    """Opens the app in tmux."""
    if not shutil.which("tmux"):
        pytest.skip("tmux is not installed; the tests above hold the same in a terminal of our own")
    opened: list[Tmux] = []

    def start() -> Tmux:
        opened.append(Tmux(tmp_path))
        return opened[-1]

    yield start
    for one in opened:
        one.close()


@pytest.mark.parametrize(("how", "code"), [("quit", 0), ("ctrl-c", 130), ("TERM", 130), ("HUP", 130)])
def test_tmux_is_whole_after_every_end(tmux: Callable[[], Tmux], how: str, code: int) -> None:
    terminal = tmux()
    terminal.until("No runs yet")
    assert terminal.modes()[0] == "1", "it draws on the other screen"
    if how == "quit":
        for width, height in ((130, 40), (60, 15), (81, 24)):
            terminal.resize(width, height)
            terminal.until("─" * (width // 2 - 20))
            end = [line for line in terminal.until("New run").splitlines() if line][-1]
            assert "New run" in end, "the keys stand on the last line, whatever the size"
        terminal.keys("q")
    elif how == "ctrl-c":
        terminal.keys("C-c")
        terminal.until("again to leave")
        terminal.keys("C-c")
    else:
        os.kill(terminal.pid, getattr(signal, f"SIG{how}"))
    terminal.left(code)


def test_tmux_is_whole_after_a_worker_and_an_engine_died(tmux: Callable[[], Tmux], make_run: Callable[..., Run]) -> None:
    old, run = make_run("old", life(100, 100, FINISHED)), make_run("gone", life(30))
    old.exports.mkdir(exist_ok=True)
    command = [sys.executable, "-m", "edgetune", "export", "nano", "--type", "Q8_0", "--no-proof", "--out", str(old.exports / "old.gguf")]
    subprocess.run(command, check=True, capture_output=True)
    worker = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    launch.claim(run.folder, worker.pid)
    terminal = tmux()
    terminal.until("running")
    terminal.keys("Enter")
    terminal.until("30/100 steps")
    worker.kill()
    worker.wait()
    terminal.until("The worker of gone died")
    terminal.keys("Escape")
    terminal.until("Press r to resume")
    terminal.keys("Escape")
    terminal.until("old.gguf")
    terminal.keys("Tab", "Enter")
    terminal.until("temperature")
    for engine in psutil.Process(terminal.pid).children():
        engine.kill()
    terminal.write("Hello?")
    terminal.keys("Enter")
    terminal.until("Something went wrong")
    terminal.keys("Escape")
    terminal.gone("Something went wrong")
    terminal.write("Hello again?")
    terminal.keys("Enter")
    terminal.until("tokens/s; ")
    terminal.keys("C-q")
    terminal.left(0)
