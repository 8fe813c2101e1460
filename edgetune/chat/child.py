"""The llama.cpp process, and others like it, as a child of ours: started, spoken to, reaped; its death becomes an error instead of ours."""

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import weakref
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from typing import IO, Any, Self

from edgetune.errors import EdgeTuneError
from edgetune.machine.python_child import child_environment
from edgetune.text import safe_text

POLL_SECONDS = 0.2
"""Windows cannot interrupt a wait without an end, so Ctrl-C is looked for this often."""
LEAVE_SECONDS = 2.0
"""Given to the process to leave after its stdin closed, before it is killed."""
Messages = queue.SimpleQueue[dict[str, Any] | None]


class Child:
    """A running `edgetune.chat.llama_process`, or another module that speaks its protocol.

    module: what runs. title: what people call it. Requests are answered in the order they were sent; `cancel` may come from any thread or a
    signal handler.
    """

    def __init__(self, module: str = "edgetune.chat.llama_process", title: str = "llama.cpp") -> None:
        self._title = title
        self._messages: Messages = queue.SimpleQueue()
        self._open: dict[int, deque[dict[str, Any]]] = {}
        self._errors: deque[str] = deque(maxlen=40)
        self._last_number, self._write_lock = 0, threading.RLock()
        self.process = _start(module)
        self.close = weakref.finalize(self, _reap, self.process)
        """End the process and wait for it; harmless when repeated, and done at exit at the latest."""
        self._readers = [
            threading.Thread(target=_read_messages, args=(self.process.stdout, self._messages), daemon=True),
            threading.Thread(target=_read_lines, args=(self.process.stderr, self._errors), daemon=True),
        ]
        for reader in self._readers:
            reader.start()

    @property
    def alive(self) -> bool:
        """Whether the process still runs."""
        return self.process.poll() is None

    def send(self, operation: str, **request: Any) -> int:
        """Send a request; its number."""
        self._last_number += 1
        self._open[self._last_number] = deque()
        self._write({"id": self._last_number, "op": operation, **request})
        return self._last_number

    def ask(self, operation: str, **request: Any) -> Any:
        """Send a request that has one reply, and wait for it."""
        return next(message["done"] for message in self.replies(self.send(operation, **request)) if "done" in message)

    def cancel(self, number: int) -> None:
        """Ask a request to stop early."""
        with suppress(EdgeTuneError):  # a process that died has stopped, and the loop over its replies says so
            self._write({"id": number, "op": "cancel"})

    def replies(self, number: int) -> Iterator[dict[str, Any]]:
        """The messages of one request up to its last; raises its error, or the process's death."""
        try:
            while True:
                message = self._next(number)
                if "error" in message:
                    raise EdgeTuneError(**message["error"])
                yield message
                if "done" in message:
                    return
        finally:
            self._open.pop(number, None)

    def _next(self, number: int) -> dict[str, Any]:
        """The next message of a request; those of other requests still waited for are put aside, the rest dropped."""
        aside = self._open.setdefault(number, deque())
        while not aside:
            try:
                message = self._messages.get(timeout=POLL_SECONDS)
            except queue.Empty:
                continue
            if message is None:
                self._messages.put(None)
                raise self._death()
            if message["id"] in self._open:
                self._open[message["id"]].append(message)
        return aside.popleft()

    def _write(self, message: dict[str, Any]) -> None:
        assert self.process.stdin is not None
        try:
            with self._write_lock:
                self.process.stdin.write(json.dumps(message).encode() + b"\n")
                self.process.stdin.flush()
        except (OSError, ValueError) as error:
            raise self._death() from error

    def _death(self) -> EdgeTuneError:
        """Why the process is gone, as an error to show; the process is reaped."""
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(timeout=LEAVE_SECONDS)
        code = self.process.poll()
        if code is None:
            self.close()
        for reader in self._readers:
            reader.join(timeout=1)
        self.close()

        # How it ended, with the last lines that it wrote.
        if code is not None and code < 0:
            how = f"It was ended by {signal.Signals(-code).name}."
        else:
            how = "It was closed." if code == 0 else f"It ended with code {code}."
        last_lines = safe_text(" ".join(line for line in list(self._errors)[-6:] if line))

        # Linux ends with SIGKILL what takes too much memory.
        out_of_memory = code == -getattr(signal, "SIGKILL", 9)
        remedy = (
            "It was probably out of memory: use a shorter context (--ctx) or a smaller quantization."
            if out_of_memory
            else "Try again; if it repeats, use a shorter context (--ctx) or export the model again."
        )
        return EdgeTuneError(f"{self._title} stopped", f"{how} {last_lines}".strip(), remedy)


class ModelProcess:
    """A model loaded in a child process, until `close`; a context manager.

    module, title: as for `Child`. load: what the process needs to load the model; `loaded` is what it answers. Where loading fails, the
    process is ended before the error is raised.
    """

    def __init__(self, module: str = "edgetune.chat.llama_process", title: str = "llama.cpp", **load: Any) -> None:
        self._child = Child(module, title)
        try:
            self.loaded: Any = self._child.ask("load", **load)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the process and wait for it; harmless when repeated."""
        self._child.close()


def _start(module: str) -> subprocess.Popen[bytes]:
    # Without its own backtrace: ggml would start a debugger on the process after an abort.
    environment = child_environment(GGML_NO_BACKTRACE="1")
    # -P: the folder a user happens to stand in must not provide modules.
    command = [sys.executable, "-P", "-m", module]
    streams: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "env": environment}
    if sys.platform == "win32":
        return subprocess.Popen(command, creationflags=subprocess.CREATE_NEW_PROCESS_GROUP, **streams)
    return subprocess.Popen(command, start_new_session=True, **streams)


def _read_messages(stream: IO[bytes], messages: Messages) -> None:
    """Parse the protocol until the stream ends, or a line does not parse and nothing after it can be trusted; None marks the end."""
    with suppress(ValueError, OSError):
        for line in stream:
            message = json.loads(line)
            if "bytes" in message:
                message["raw"] = stream.read(message["bytes"])
            messages.put(message)
    messages.put(None)


def _read_lines(stream: IO[bytes], lines: deque[str]) -> None:
    with suppress(ValueError, OSError):
        for line in stream:
            lines.append(line.decode("utf-8", "replace").strip())


def _reap(process: subprocess.Popen[bytes]) -> None:
    """Close the process's stdin, on which it leaves; kill its group when it does not; wait, so that no zombie stays."""
    if process.stdin is not None:
        with suppress(OSError):
            process.stdin.close()
    try:
        process.wait(timeout=LEAVE_SECONDS)
    except subprocess.TimeoutExpired:
        if sys.platform == "win32":
            process.kill()
        else:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    # Its pipes would otherwise stay open until the garbage collector runs.
    for stream in (process.stdout, process.stderr):
        if stream is not None:
            with suppress(OSError, ValueError):
                stream.close()
