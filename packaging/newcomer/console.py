"""The set-up's output: plain lines, a progress line, errors with their remedy, and the commands it runs."""

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

QUIET_SECONDS = 30.0
"""Seconds between progress lines without a terminal: often enough for a log to show that work goes on."""

ENDING_SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
"""The signals that end a program and that it can handle; Windows has no SIGHUP."""

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
    """A failure that ends the set-up: what happened, and what the user can do about it."""

    def __init__(self, title: str, remedy: str) -> None:
        super().__init__(title)
        self.title = title
        self.remedy = remedy


class CommandFailed(Exception):
    """A command failed; `output` is what it wrote."""

    def __init__(self, command: Sequence[str], code: int, output: str) -> None:
        super().__init__(f"{shlex.join(command)} ended with {code}")
        self.code = code
        self.output = output


class Interrupted(KeyboardInterrupt):
    """Ctrl-C or another signal that ends a program, with its number."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


def stop_on_signals() -> None:
    """Turn the signals that end a program into Interrupted, so that child processes are ended too."""

    def stop(number: int, _frame: FrameType | None) -> None:
        raise Interrupted(number)

    for number in ENDING_SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, stop)


@contextmanager
def signals_delayed() -> Iterator[None]:
    """Let no signal interrupt what is done inside: one that arrives meanwhile is handled at the end.

    A process that is just being started would otherwise be lost, still running, where the signal arrives before its number is known.
    The signals are not masked, because the process that is started would inherit the mask.
    """
    if threading.current_thread() is not threading.main_thread():  # Python handles signals in the main thread alone
        yield
        return

    handlers = {number: signal.getsignal(number) for number in ENDING_SIGNALS}
    arrived: list[int] = []
    changed = {number: handler for number, handler in handlers.items() if callable(handler)}
    for number in changed:
        signal.signal(number, lambda number, _frame: arrived.append(number))
    try:
        yield
    finally:
        for number, handler in changed.items():
            signal.signal(number, handler)
        for number in arrived[:1]:
            signal.raise_signal(number)


def print_status(text: str) -> None:
    """One line to stderr: stdout belongs to what is started afterwards."""
    print(text, file=sys.stderr, flush=True)


def format_duration(seconds: float) -> str:
    """Seconds as people read them: '45 s', '6 min 20 s'."""
    whole = round(seconds)
    return f"{whole} s" if whole < 60 else f"{whole // 60} min {whole % 60} s"


class ProgressLine:
    """One changing line on a terminal; elsewhere a plain line at the start, every half minute and at the end."""

    def __init__(self, title: str) -> None:
        self.title = title
        self.started = time.monotonic()
        self.last_printed = self.started
        self.live = sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
        if not self.live:
            print_status(f"{title} ...")

    def show(self, activity: str) -> None:
        """Show the current activity and the time since the start."""
        now = time.monotonic()
        text = f"{self.title}: {activity or 'working'}, {format_duration(now - self.started)}"
        if self.live:
            print(f"\r\x1b[2K{text[: shutil.get_terminal_size().columns - 1]}", end="", file=sys.stderr, flush=True)
        elif now - self.last_printed >= QUIET_SECONDS:
            self.last_printed = now
            print_status(f"  {text}")

    def end(self, outcome: str) -> None:
        """Replace the line by the outcome and the time it took; "" leaves nothing."""
        if self.live:
            print("\r\x1b[2K", end="", file=sys.stderr)
        if outcome:
            print_status(f"{self.title}: {outcome} in {format_duration(time.monotonic() - self.started)}")


def current_activity(output: str) -> str:
    """A few words on what a command is doing, by the last line of its output that matches a pattern; "" without one."""
    for line in reversed(output.splitlines()):
        for pattern, describe in PROGRESS_PATTERNS:
            if match := pattern.match(line):
                return describe(match)
    return ""


def end_process(process: "subprocess.Popen[bytes]") -> None:
    """End a command and the processes it started."""
    if process.poll() is not None:
        return

    # The command runs in its own session: ending the group ends the compilers that it started too.
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
    command: Sequence[str], title: str, log: Path, folder: Path, environment: Mapping[str, str], descriptors: tuple[int, ...] = ()
) -> str:
    """Run a command with a progress line, appending its output to the log; returns the output.

    descriptors: file descriptors that the command holds open too. The set-up's lock is one: if this process is killed, the command
    continues, and the next set-up waits for it instead of writing into the same environment.
    Raises CommandFailed when the command fails.
    """
    process: subprocess.Popen[bytes] | None = None
    line = ProgressLine(title)
    try:
        with log.open("ab") as file, signals_delayed():
            file.write(f"\n$ {shlex.join(command)}\n".encode())
            file.flush()
            start = file.tell()

            # A session of its own keeps a terminal's Ctrl-C from the command, which `end_process` ends in order.
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                cwd=folder,
                env=dict(environment),
                start_new_session=os.name != "nt",
                pass_fds=descriptors if os.name != "nt" else (),
            )

        while True:
            try:
                process.wait(timeout=0.5)
                break
            except subprocess.TimeoutExpired:
                line.show(current_activity(read_log(log, start, 8000)))
    except BaseException:
        line.end("")
        if process is not None:
            end_process(process)
        raise

    output = read_log(log, start, 1_000_000)
    line.end("done" if process.returncode == 0 else "failed")
    if process.returncode != 0:
        raise CommandFailed(command, process.returncode, output)
    return output


def read_log(log: Path, start: int, limit: int) -> str:
    """The log from byte `start` on, but at most its last `limit` bytes."""
    with log.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(start, size - limit))
        return file.read().decode("utf-8", "replace")
