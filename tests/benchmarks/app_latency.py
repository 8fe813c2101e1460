"""The app under load, in a real terminal: from a key to the screen while a run writes 50 events a second, and memory after 100,000 events.

usage: python tests/benchmarks/app_latency.py [--keys 40]
Prints the median and the slowest of the key presses with the limit, and the app's memory with a short and with a long log.
"""

import argparse
import os
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import psutil

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from edgetune.jobs import create, launch
from edgetune.jobs.events import EventLog
from edgetune.recipe import build
from edgetune.workspace import Run, Workspace
from tests.conftest import write_facts
from tests.tui.terminal import Terminal

LIMIT = 0.100
LONG, SHORT = 100_000, 100
MEMORY_LIMIT = 48 * 2**20
"""Bytes by which 100,000 events may be dearer than 100."""


def step(number: int) -> dict[str, Any]:
    """A step's event."""
    figures = {"loss": 5 / (1 + number / 50), "learning_rate": 1e-4, "grad_norm": 1.0, "tokens_per_second": 500.0}
    return {"step": number, "total": 200_000, **figures, "seconds": 0.02, "memory": 2**29, "eta": 100.0, "epoch": number / 100}


def make(folder: Path, events: int) -> Run:
    """A workspace with one run that this process owns."""
    folder.mkdir(parents=True)
    place = Workspace(folder / "workspace")
    recipe, sources = build({"base": "nano", "data": [str(write_facts(folder / "facts.jsonl"))], "threads": 1})
    run = create.make(create.plan(recipe, sources, place), place, "busy")
    log = EventLog(run.events)
    log.append("started", total=200_000, device="cpu", dtype="float32", threads=1, from_step=0, trained=1, rows=1, held_out=1)
    import json

    with open(run.events, "ab") as file:
        for number in range(1, events + 1):
            file.write(json.dumps({"seq": number + 1, "time": 0.0, "kind": "step", **step(number)}).encode() + b"\n")
    launch.claim(run.folder)
    return run


def opened(folder: Path) -> Terminal:
    """The app on the run's screen."""
    terminal = Terminal(folder)
    terminal.until(b"busy")
    os.write(terminal.master, b"\r")
    terminal.until(b"[1 Charts]")
    return terminal


def pump(terminal: Terminal, done: Any) -> None:
    """Read what the app draws until a moment or a condition."""
    import select

    while not done():
        if select.select([terminal.master], [], [], 0.05)[0]:
            terminal.seen += os.read(terminal.master, 65536)


def latencies(folder: Path, keys: int) -> list[float]:
    """Seconds from a key to its effect, while 50 events a second come in."""
    run = make(folder, SHORT)
    log, stop = EventLog(run.events), threading.Event()

    def write() -> None:
        number = SHORT
        while not stop.wait(0.02):
            number += 1
            log.append("step", **step(number))

    writer = threading.Thread(target=write, daemon=True)
    terminal = opened(folder)
    writer.start()
    found = []
    try:
        for press in range(keys):
            key, effect = ((b"2", b"[2 More]"), (b"1", b"[1 Charts]"))[press % 2]
            end = time.monotonic() + 0.4
            pump(terminal, lambda end=end: time.monotonic() > end)
            terminal.seen = b""
            began = time.perf_counter()
            os.write(terminal.master, key)
            pump(terminal, lambda effect=effect: effect in terminal.seen)
            found.append(time.perf_counter() - began)
    finally:
        stop.set()
        writer.join()
        terminal.close()
    return found


def memory(folder: Path, events: int) -> int:
    """Bytes of the app's own memory once it has read a log of so many events."""
    make(folder, events)
    terminal = opened(folder)
    try:
        terminal.until(f"{events}/200000".encode())
        end = time.monotonic() + 2
        pump(terminal, lambda: time.monotonic() > end)
        return int(psutil.Process(terminal.process.pid).memory_info().rss)
    finally:
        terminal.close()


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--keys", type=int, default=40)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        found = sorted(latencies(Path(place) / "latency", options.keys))
        p95 = found[int(len(found) * 0.95)]
        print(f"key to screen under 50 events/s: median {statistics.median(found) * 1000:.0f} ms, 95 % {p95 * 1000:.0f} ms, ", end="")
        print(f"slowest {found[-1] * 1000:.0f} ms; limit {LIMIT * 1000:.0f} ms at 95 %: {'holds' if p95 <= LIMIT else 'FAILS'}")
        short, long = memory(Path(place) / "short", SHORT), memory(Path(place) / "long", LONG)
        print(f"memory after {SHORT} events {short / 2**20:.0f} MiB, after {LONG:,} {long / 2**20:.0f} MiB, ", end="")
        more = long - short
        print(f"difference {more / 2**20:.0f}; limit {MEMORY_LIMIT / 2**20:.0f}: {'holds' if more <= MEMORY_LIMIT else 'FAILS'}")


if __name__ == "__main__":
    main()
