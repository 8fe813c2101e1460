"""The process llama.cpp lives in: `python -m edgetune.chat.llama_process`, spoken to in JSON lines by `edgetune.chat.engine`.

A request is one line {"id", "op", ...}; the reply ends with {"id", "done"} or {"id", "error"}. Before that, generate sends
{"id", "pieces": [[token, bytes as latin-1], ...]} and logits {"id", "bytes": N} followed by N raw bytes of float32.
{"op": "cancel", "id"} stops the request of that id. When stdin ends, the client is gone and so is this process.
"""

import json
import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from edgetune.chat.sampling import Sampling
from edgetune.errors import EdgeTuneError, InputError

FLUSH_SECONDS = 0.02
"""Small models write thousands of tokens a second: their pieces travel together, those of slow models one by one."""


def guarded_stdout() -> BinaryIO:
    """The real stdout for the protocol alone; whatever else writes to fd 1, native code above all, lands on stderr."""
    protocol = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    return protocol


class Server:
    """Answers requests one after the other; a reader thread takes cancels meanwhile.

    source: the requests. sink: the protocol's stdout.
    """

    def __init__(self, source: BinaryIO, sink: BinaryIO) -> None:
        self._source, self._sink = source, sink
        self._requests: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._cancelled: set[int] = set()
        self._context: Any = None

    def read(self) -> None:
        """Sort incoming lines into work and cancels until stdin ends."""
        for line in self._source:
            request = json.loads(line)
            if request["op"] == "cancel":
                self._cancelled.add(request["id"])
            else:
                self._requests.put(request)
        # Native code may be busy for minutes and nothing here is worth saving.
        os._exit(0)

    def run(self) -> None:
        """Answer for ever; errors a user can cause go back as errors, our own end the process with a traceback on stderr."""
        while True:
            request = self._requests.get()
            try:
                done = self._operation(request["op"])(request)
                self._send({"id": request["id"], "done": done})
            except EdgeTuneError as error:
                self._send({"id": request["id"], "error": {**error.as_dict(), "exit_code": error.exit_code}})

    def _send(self, message: dict[str, Any], raw: bytes = b"") -> None:
        self._sink.write(json.dumps(message).encode() + b"\n" + raw)
        self._sink.flush()

    def _operation(self, name: str) -> Callable[[dict[str, Any]], Any]:
        operations: dict[str, Callable[[dict[str, Any]], Any]] = {
            "load": self._load,
            "tokenize": self._tokenize,
            "describe": self._describe,
            "generate": self._generate,
            "logits": self._logits,
            "score": self._score,
            "adapter": self._adapter,
            "scales": self._scales,
        }
        if name not in operations or (self._context is None and name != "load"):
            raise InputError(f"The llama.cpp process cannot do '{name}' now", "No model is loaded, or it is unknown.", "Load one first.")
        return operations[name]

    def _load(self, request: dict[str, Any]) -> dict[str, Any]:
        from edgetune.chat.native_context import NativeContext
        from edgetune.chat.native_model import NativeModel

        started = time.monotonic()
        model = NativeModel(Path(request["path"]), request["n_gpu_layers"])
        self._context = NativeContext(model, request["n_ctx"], request["threads"], request["kv"])
        return {**model.info(), **self._context.info(), "load_seconds": time.monotonic() - started}

    def _adapter(self, request: dict[str, Any]) -> None:
        self._context.load_adapter(request["name"], Path(request["path"]))

    def _scales(self, request: dict[str, Any]) -> None:
        self._context.set_scales(request["scales"])

    def _tokenize(self, request: dict[str, Any]) -> list[int]:
        return list(self._context.model.tokenize(request["text"], request["parse_special"], request["add_special"]))

    def _describe(self, request: dict[str, Any]) -> list[dict[str, Any]]:
        return list(self._context.model.describe(request["tokens"]))

    def _generate(self, request: dict[str, Any]) -> dict[str, Any]:
        number = request["id"]
        pieces: list[list[int | str]] = []
        last_sent = 0.0

        def send() -> None:
            if pieces:
                self._send({"id": number, "pieces": pieces})
                pieces.clear()

        def emit(token: int, shown: bytes) -> None:
            nonlocal last_sent
            pieces.append([token, shown.decode("latin-1")])
            now = time.monotonic()
            if now - last_sent >= FLUSH_SECONDS:
                send()
                last_sent = now

        stats = self._context.generate(
            request["tokens"],
            request["max_tokens"],
            Sampling(**request["sampling"]),
            request["stops"],
            request["stop_ids"],
            lambda: number in self._cancelled,
            emit,
        )
        send()
        self._cancelled.discard(number)
        return dict(stats)

    def _logits(self, request: dict[str, Any]) -> dict[str, int]:
        def sink(rows: Any) -> None:
            raw = rows.astype("<f4").tobytes()
            self._send({"id": request["id"], "bytes": len(raw)}, raw)

        self._context.logits(request["tokens"], request["first"], sink)
        return {"rows": len(request["tokens"]) - request["first"], "columns": self._context.model.n_vocab}

    def _score(self, request: dict[str, Any]) -> list[list[float]]:
        return [list(self._context.score(prompt, target)) for prompt, target in request["rows"]]


def main() -> None:
    """Serve stdin until it ends."""
    sink = guarded_stdout()
    # Ctrl-C belongs to the client, which then sends a cancel.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    server = Server(sys.stdin.buffer, sink)
    threading.Thread(target=server.read, daemon=True).start()
    server.run()


if __name__ == "__main__":
    main()
