"""What the set-up says: plain lines, one changing progress line, errors with their remedy, and the commands it runs."""

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import FrameType

QUIET_SECONDS = 30.0
"""Without a terminal, a line this often: enough for a log to show life."""

PROGRESS_PATTERNS: tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], str]], ...] = (
    (re.compile(r"^\s*\[(\d+)/(\d+)\] "), lambda m: f"compiling, {m[1]} of {m[2]}"),
    (re.compile(r"^\s*\[\s*(\d+)%\] "), lambda m: f"compiling, {m[1]} %"),
    (
        re.compile(r"^\s*Downloading (\S+?)(?:\.whl|\.tar\.gz)?(?:\.metadata)? \((.+?)\)"),
        lambda m: f"downloading {m[1].split('/')[-1][:40]} ({m[2]})",
    ),
    (re.compile(r"^\s*(?:Collecting|Processing) (\S+)"), lambda m: f"getting {m[1].split('/')[-1][:40]}"),
    (re.compile(r"^\s*Building (?:wheel|editable) for (\S+)"), lambda m: f"building {m[1]}"),
    (re.compile(r"^Installing collected packages: "), lambda _: "unpacking"),
)


class SetupError(Exception):
    """What the set-up cannot get past: what happened, and what the user can do about it."""

    def __init__(self, title: str, remedy: str) -> None:
        super().__init__(title)
        self.title, self.remedy = title, remedy


class CommandFailed(Exception):
    """A command ended badly; `output` is what it wrote."""

    def __init__(self, command: Sequence[str], code: int, output: str) -> None:
        super().__init__(f"{shlex.join(command)} ended with {code}")
        self.code, self.output = code, output


class Interrupted(KeyboardInterrupt):
    """Ctrl-C or a request to end, with the signal's number."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


def stop_on_signals() -> None:
    """Turn the signals that end a program into Stopped, so that what runs below us is ended too."""

    def stop(number: int, _frame: FrameType | None) -> None:
        raise Interrupted(number)

    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        if hasattr(signal, name) and signal.getsignal(getattr(signal, name)) is not signal.SIG_IGN:
            signal.signal(getattr(signal, name), stop)


def print_status(text: str) -> None:
    """One line to stderr: stdout belongs to what is started afterwards."""
    print(text, file=sys.stderr, flush=True)


def format_duration(seconds: float) -> str:
    """A span as people read it: '45 s', '6 min 20 s'."""
    whole = round(seconds)
    return f"{whole} s" if whole < 60 else f"{whole // 60} min {whole % 60} s"


class ProgressLine:
    """One changing line on a terminal; elsewhere a plain line at the start, every half minute and at the end."""

    def __init__(self, title: str) -> None:
        self.title, self.started, self.told = title, time.monotonic(), time.monotonic()
        self.live = sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
        if not self.live:
            print_status(f"{title} ...")

    def show(self, doing: str) -> None:
        """Tell what is being done now and how long it has taken."""
        now = time.monotonic()
        text = f"{self.title}: {doing or 'working'}, {format_duration(now - self.started)}"
        if self.live:
            print(f"\r\x1b[2K{text[: shutil.get_terminal_size().columns - 1]}", end="", file=sys.stderr, flush=True)
        elif now - self.told >= QUIET_SECONDS:
            self.told = now
            print_status(f"  {text}")

    def end(self, word: str) -> None:
        """The last form of the line."""
        if self.live:
            print("\r\x1b[2K", end="", file=sys.stderr)
        if word:
            print_status(f"{self.title}: {word} in {format_duration(time.monotonic() - self.started)}")


def current_activity(output: str) -> str:
    """What a command is doing, in a few words, judged by the last telling line of its output."""
    for line in reversed(output.splitlines()):
        for pattern, words in PROGRESS_PATTERNS:
            if match := pattern.match(line):
                return words(match)
    return ""


def end_process(process: "subprocess.Popen[bytes]") -> None:
    """End a command and all it started."""
    if process.poll() is not None:
        return
    if os.name == "nt":
        subprocess.run(["taskkill", "/F", "/T", "/PID", str(process.pid)], capture_output=True, check=False)
    else:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def run_command(
    command: Sequence[str], title: str, log: Path, folder: Path, environment: Mapping[str, str], keep: tuple[int, ...] = ()
) -> str:
    """Run a command, its output into the log, with a progress line; returns the output.

    keep: file descriptors the command holds open too. The set-up's lock is one: should we be killed, the command goes on
    and the next set-up waits for it instead of writing into the same environment.
    Raises CommandFailed when it ends badly.
    """
    with log.open("ab") as file:
        file.write(f"\n$ {shlex.join(command)}\n".encode())
        file.flush()
        began = file.tell()
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            cwd=folder,
            env=dict(environment),
            start_new_session=os.name != "nt",
            pass_fds=keep if os.name != "nt" else (),
        )
    line = ProgressLine(title)
    try:
        while True:
            try:
                process.wait(timeout=0.5)
                break
            except subprocess.TimeoutExpired:
                line.show(current_activity(read_log(log, began, 8000)))
    except BaseException:
        line.end("")
        end_process(process)
        raise
    output = read_log(log, began, 1_000_000)
    line.end("done" if process.returncode == 0 else "failed")
    if process.returncode != 0:
        raise CommandFailed(command, process.returncode, output)
    return output


def read_log(log: Path, began: int, most: int) -> str:
    """The log from byte `began` on, but at most its last `most` bytes."""
    with log.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(began, size - most))
        return file.read().decode("utf-8", "replace")
