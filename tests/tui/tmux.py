"""The app in tmux, a terminal that other people wrote: what it shows, and in which state it is left."""

import os
import shlex
import subprocess
import sys
import time
from pathlib import Path

from tests.conftest import ROOT

MODES = (
    "alternate_on",
    "cursor_flag",
    "mouse_any_flag",
    "mouse_all_flag",
    "mouse_sgr_flag",
    "keypad_cursor_flag",
    "keypad_flag",
    "insert_flag",
)
PATIENCE = 60.0


class Tmux:
    """A pane of 80x24 on a server of its own: a shell notes the terminal's attributes, runs the app, and then echoes what is typed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        variables = {
            "PYTHONPATH": ROOT,
            "EDGETUNE_WORKSPACE": folder / "workspace",
            "HF_HUB_CACHE": folder / "no-cache",
            "LC_ALL": "C.UTF-8",
        }
        words = " ".join(f"{name}={shlex.quote(str(value))}" for name, value in variables.items())
        app = f"unset COLUMNS LINES; export {words}; sh -c 'echo $$ > pid; exec {shlex.quote(sys.executable)} -m edgetune'"
        script = f"stty -g > before; {app}; echo code $?; stty -g > after; echo left; exec cat"
        self("-f", "/dev/null", "new-session", "-d", "-x", "80", "-y", "24", "-c", str(folder), "sh", "-c", script)
        self("set-option", "-g", "default-terminal", "tmux-256color")

    def __call__(self, *words: str) -> str:
        """Give tmux a command; what it says."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith("TMUX")} | {"LC_ALL": "C.UTF-8"}
        command = ["tmux", "-S", str(self.folder / "tmux.socket"), *words]
        return subprocess.run(command, capture_output=True, text=True, check=True, env=environment, cwd=self.folder, timeout=60).stdout

    def screen(self) -> str:
        """What is shown now."""
        return self("capture-pane", "-p")

    def keys(self, *keys: str) -> None:
        """Press keys, by tmux's names."""
        self("send-keys", *keys)

    def write(self, text: str) -> None:
        """Type a text."""
        self("send-keys", "-l", text)

    def until(self, text: str) -> str:
        """The screen, once it shows a text."""
        end = time.monotonic() + PATIENCE
        while text not in (shown := self.screen()):
            assert time.monotonic() < end, f"{text!r} never came:\n{shown}"
            time.sleep(0.05)
        return shown

    def gone(self, text: str) -> None:
        """Wait until a text is no longer shown: what is typed right after an Escape would belong to it."""
        end = time.monotonic() + PATIENCE
        while text in (shown := self.screen()):
            assert time.monotonic() < end, f"{text!r} stays:\n{shown}"
            time.sleep(0.05)

    def resize(self, width: int, height: int) -> None:
        """Another size."""
        self("resize-window", "-x", str(width), "-y", str(height))

    @property
    def pid(self) -> int:
        """The app's process."""
        return int((self.folder / "pid").read_text(encoding="ascii"))

    def modes(self) -> list[str]:
        """The modes that programs turn on and off."""
        return self("display-message", "-p", " ".join(f"#{{{name}}}" for name in MODES)).split()

    def left(self, code: int) -> None:
        """The app has ended with a code and the terminal is whole: modes, attributes, and what is typed is shown and read."""
        shown = self.until("left")
        assert f"code {code}" in shown and "Traceback" not in shown, shown
        assert dict(zip(MODES, self.modes(), strict=True)) == {name: "1" if name == "cursor_flag" else "0" for name in MODES}
        before, after = ((self.folder / name).read_text(encoding="ascii") for name in ("before", "after"))
        assert before == after
        self.write("typed")
        self.keys("Enter")
        end = time.monotonic() + PATIENCE
        while self.screen().count("typed") != 2:  # echoed by the terminal, and by the cat that read the line
            assert time.monotonic() < end, self.screen()
            time.sleep(0.05)

    def close(self) -> None:
        """End the server and what runs in it."""
        self("kill-server")
