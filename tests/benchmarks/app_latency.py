"""The app under load, in a real terminal: from a key to the screen while a run writes 50 events a second and while a chat streams tokens,
and memory after 100,000 events.

usage: python tests/benchmarks/app_latency.py [--keys 40] [--size 80x24]
       python tests/benchmarks/app_latency.py --against CHECKOUT [--times 3]    this and another checkout in turn, and their ratio
Prints the median, the 95th percentile and the slowest of the key presses with the limit, and the app's memory with a short and with a long
log. In the chat, what the model says is a text of the benchmark's own, 60 tokens a second of Markdown that do not end.
"""

import argparse
import os
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import psutil

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from edgetune.config.recipe import build_recipe
from edgetune.jobs import create
from edgetune.runs import launch
from edgetune.runs.events import EventLog
from edgetune.storage.workspace import Run, Workspace
from tests.conftest import write_facts
from tests.tui.terminal import Terminal

LIMIT = 0.100
ROOT = Path(__file__).resolve().parents[2]
ENDLESS = '''
import itertools, sys, time
from pathlib import Path
from edgetune.sessions import chat_session

SAID = """## Keeping a light

A **lighthouse** keeper writes `down` what the sea does, every hour of the night, in a book that nobody reads before the winter is over
and the boats come back. The lamp is *trimmed* at four, the glass is cleaned at five, and what was seen is told to the harbour.

- the wind, and where it comes from
- the boats that passed, with their names where they could be read

```python
for hour in range(12):
    light(hour)
```

"""
WORDS = SAID.split(" ")

def answer(self, text):
    self.load()
    self.stopped = False
    for word in itertools.cycle(WORDS):
        if self.stopped:
            return
        time.sleep(1 / 60)
        with self._lock:
            self._pieces.append(word + " ")

chat_session.ChatSession.answer = answer
chat_session.ChatSession.stop = lambda self: setattr(self, "stopped", True)
from tui.main import main
sys.exit(main())
'''
SLOWER_LIMIT = 1.05
"""How much slower than another checkout the median key may be."""
PRINTED = re.compile(r"key to screen while (.+?): median (\d+) ms")
SEQUENCES = re.compile(rb"\x1b\[[0-9;?]*[A-Za-z]")
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
    recipe, sources = build_recipe({"base": "nano", "data": [str(write_facts(folder / "facts.jsonl"))], "threads": 1})
    run = create.create_run(create.plan_run(recipe, sources, place), place, "busy")
    log = EventLog(run.events)
    log.append("started", total=200_000, device="cpu", dtype="float32", threads=1, from_step=0, trained=1, rows=1, held_out=1)
    import json

    with open(run.events, "ab") as file:
        for number in range(1, events + 1):
            file.write(json.dumps({"seq": number + 1, "time": 0.0, "kind": "step", **step(number)}).encode() + b"\n")
    launch.claim(run.folder)
    return run


def opened(folder: Path, size: tuple[int, int] = (80, 24)) -> Terminal:
    """The app on the run's screen."""
    terminal = Terminal(folder, size=size)
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


def chat_latencies(folder: Path, keys: int, size: tuple[int, int]) -> list[float]:
    """Seconds from a letter to its place in the prompt, while an answer streams."""
    folder.mkdir(parents=True)
    place = Workspace(folder / "workspace")
    gguf = place.path / "runs" / "said" / "exports" / "said.gguf"
    gguf.parent.mkdir(parents=True)
    words = [sys.executable, "-m", "edgetune", "export", "nano", "--type", "Q8_0", "--no-proof", "--out", str(gguf)]
    subprocess.run(words, check=True, capture_output=True, cwd=ROOT, env={**os.environ, "EDGETUNE_WORKSPACE": str(place.path)})
    script = folder / "endless.py"
    opening = f"from tui.screens import home; from tui.screens.chat import Chat; home.Home = lambda: Chat({str(gguf)!r})\n"
    script.write_text(opening + ENDLESS, encoding="utf-8")
    terminal = Terminal(folder, size=size, command=[sys.executable, str(script)])
    found = []
    try:
        terminal.until(b"context ")
        os.write(terminal.master, b"Tell me.\r")
        terminal.until(b"lighthouse")
        end = time.monotonic() + 5
        pump(terminal, lambda: time.monotonic() > end)
        for press in range(keys):
            end = time.monotonic() + 0.4 + press % 7 * 0.013
            pump(terminal, lambda end=end: time.monotonic() > end)
            sign = "QZXVJK"[press % 6].encode()  # in no word that is streamed
            terminal.seen = b""
            began = time.perf_counter()
            os.write(terminal.master, sign)
            pump(terminal, lambda sign=sign: sign in SEQUENCES.sub(b"", terminal.seen))
            found.append(time.perf_counter() - began)
    finally:
        terminal.close()
    return found


def latencies(folder: Path, keys: int, size: tuple[int, int]) -> list[float]:
    """Seconds from a key to its effect, while 50 events a second come in."""
    run = make(folder, SHORT)
    log, stop = EventLog(run.events), threading.Event()

    def write() -> None:
        number = SHORT
        while not stop.wait(0.02):
            number += 1
            log.append("step", **step(number))

    writer = threading.Thread(target=write, daemon=True)
    terminal = opened(folder, size)
    writer.start()
    found = []
    try:
        for press in range(keys):
            key, effect = ((b"2", b"[2 More]"), (b"1", b"[1 Charts]"))[press % 2]
            end = time.monotonic() + 0.4 + press % 7 * 0.013
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


def compare(checkout: Path, times: int, options: list[str]) -> None:
    """Print how the median key of each case compares with that of another checkout, whose own copy of this benchmark runs in turn."""
    medians: dict[str, dict[Path, list[float]]] = {}
    for turn in range(times):
        for root in (ROOT, checkout)[:: 1 if turn % 2 == 0 else -1]:
            command = [sys.executable, str(root / "tests/benchmarks/app_latency.py"), *options]
            environment = {**os.environ, "PYTHONPATH": str(root)}
            output = subprocess.run(command, cwd=root, env=environment, check=True, capture_output=True, text=True).stdout
            print(f"{'this' if root == ROOT else 'before'}:", *output.splitlines(), sep="\n  ", flush=True)
            for case, median in PRINTED.findall(output):
                medians.setdefault(case, {}).setdefault(root, []).append(float(median))

    for case, found in medians.items():
        here, there = statistics.median(found[ROOT]), statistics.median(found[checkout])
        verdict = "holds" if here <= there * SLOWER_LIMIT else "FAILS"
        print(f"{case}: median key {here:.0f} against {there:.0f} ms, ratio {here / there:.2f}; limit {SLOWER_LIMIT}: {verdict}")


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--keys", type=int, default=40)
    parser.add_argument("--size", default="80x24")
    parser.add_argument("--against", type=Path)
    parser.add_argument("--times", type=int, default=3)
    options = parser.parse_args()
    if options.against:
        compare(options.against.resolve(), options.times, ["--keys", str(options.keys), "--size", options.size])
        return

    width, height = map(int, options.size.split("x"))
    with tempfile.TemporaryDirectory() as place:
        for what, measure in (("a run writes 50 events/s", latencies), ("a chat streams 60 tokens/s", chat_latencies)):
            found = sorted(measure(Path(place) / measure.__name__, options.keys, (width, height)))
            p95 = found[int(len(found) * 0.95)]
            print(f"key to screen while {what}: median {statistics.median(found) * 1000:.0f} ms, 95 % {p95 * 1000:.0f} ms, ", end="")
            print(f"slowest {found[-1] * 1000:.0f} ms; limit {LIMIT * 1000:.0f} ms at 95 %: {'holds' if p95 <= LIMIT else 'FAILS'}")
        short, long = memory(Path(place) / "short", SHORT), memory(Path(place) / "long", LONG)
        print(f"memory after {SHORT} events {short / 2**20:.0f} MiB, after {LONG:,} {long / 2**20:.0f} MiB, ", end="")
        more = long - short
        print(f"difference {more / 2**20:.0f}; limit {MEMORY_LIMIT / 2**20:.0f}: {'holds' if more <= MEMORY_LIMIT else 'FAILS'}")


if __name__ == "__main__":
    main()
