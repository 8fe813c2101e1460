"""How long the app takes to its first complete screen, with 20 runs, 10 exports and 5 bases on Home, against posting, another Textual app.

usage: python tests/benchmarks/app_start.py [--posting FOLDER] [--times 7]
       python tests/benchmarks/app_start.py --against CHECKOUT [--times 7]    instead of posting, another checkout of EdgeTune
Complete: from when on 98 % of the cells, as pyte draws them, stay as they are 4 s after start. Both in a pty of 120x40, in turn, median of
seven; the limit is on the ratio. posting 2.11.1 gets an environment of its own (--posting keeps it), with tree-sitter 0.25.2: 0.26 crashes
it.
"""

import argparse
import fcntl
import os
import pty
import select
import shutil
import statistics
import struct
import subprocess
import sys
import tempfile
import termios
import time
import venv
from pathlib import Path

import pyte

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from edgetune.config.recipe import build_recipe
from edgetune.jobs import create
from edgetune.runs.events import EventLog
from edgetune.storage.paths import BUNDLED
from edgetune.storage.workspace import Run, Workspace
from tests.conftest import write_facts
from tests.tui.conftest import FINISHED, life

ROOT = Path(__file__).resolve().parents[2]
WIDTH, HEIGHT = 120, 40
SEEN_AFTER, SAME, LIMIT = 4.0, 0.98, 0.5
SLOWER_LIMIT = 1.05
"""How much longer than another checkout's the start may take."""
RUNS, EXPORTS, BASES = 20, 10, 5
POSTING = ("posting==2.11.1", "tree-sitter==0.25.2")


def furnished(folder: Path) -> Path:
    """A workspace with runs, exports and bases."""
    place = Workspace(folder / "workspace")
    facts = write_facts(folder / "facts.jsonl")
    recipe, sources = build_recipe({"base": "nano", "data": [str(facts)], "threads": 1, "max_steps": 100})
    made = create.create_run(create.plan_run(recipe, sources, place), place, "run-01")
    runs = [made, *(Run(made.folder.with_name(f"run-{number:02}")) for number in range(2, RUNS + 1))]
    for run in runs[1:]:
        shutil.copytree(made.folder, run.folder)
    for run in runs:
        log = EventLog(run.events)
        for event in life(100, 100, FINISHED):
            log.append(**event)
    runs[0].exports.mkdir(exist_ok=True)
    gguf = runs[0].exports / "run-01-Q8_0.gguf"
    words = [sys.executable, "-m", "edgetune", "export", "nano", "--type", "Q8_0", "--no-proof", "--out", str(gguf)]
    subprocess.run(words, check=True, capture_output=True, cwd=ROOT)
    for run in runs[1:EXPORTS]:
        run.exports.mkdir(exist_ok=True)
        shutil.copy(gguf, run.exports / f"{run.name}-Q8_0.gguf")
    for number in range(BASES - 1):  # the bundled one is the fifth
        shutil.copytree(BUNDLED, place.path / "models" / f"base-{number}")
    return place.path


def posting_in(folder: Path) -> Path:
    """posting's program, installed there unless it is already."""
    program = folder / "bin" / "posting"
    if not program.is_file():
        venv.create(folder, with_pip=True)
        subprocess.run([folder / "bin" / "python", "-m", "pip", "install", "-q", *POSTING], check=True)
    return program


def furnished_by(checkout: Path, folder: Path) -> Path:
    """A workspace as another checkout makes it, by its own copy of this file."""
    code = "import pathlib, runpy, sys; print(runpy.run_path(sys.argv[1])['furnished'](pathlib.Path(sys.argv[2])))"
    words = [sys.executable, "-c", code, str(checkout / "tests" / "benchmarks" / "app_start.py"), str(folder)]
    environment = {**os.environ, "PYTHONPATH": str(checkout)}
    done = subprocess.run(words, check=True, capture_output=True, text=True, cwd=checkout, env=environment)
    return Path(done.stdout.split()[-1])


def drawn(command: list[str], environment: dict[str, str], place: Path) -> list[tuple[float, bytes]]:
    """What a program writes to its terminal in its first seconds, with when."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", HEIGHT, WIDTH, 0, 0))
    began = time.perf_counter()
    process = subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave, cwd=place, env=environment, start_new_session=True)
    os.close(slave)
    found = []
    try:
        while (left := began + SEEN_AFTER - time.perf_counter()) > 0:
            if select.select([master], [], [], left)[0]:
                found.append((time.perf_counter() - began, os.read(master, 65536)))
    finally:
        process.kill()
        process.wait()
        os.close(master)
    return found


def complete(pieces: list[tuple[float, bytes]]) -> float:
    """From when on nearly all cells stay as they are in the end, in seconds."""
    stream_of = pyte.Screen(WIDTH, HEIGHT)
    stream = pyte.ByteStream(stream_of)
    shown = []
    for at, piece in pieces:
        stream.feed(piece)
        shown.append((at, [stream_of.buffer[y][x] for y in range(HEIGHT) for x in range(WIDTH)]))
    last = shown[-1][1]
    since = 0.0
    for (at, cells), (later, _) in zip(shown, [*shown[1:], (SEEN_AFTER, None)], strict=True):
        if sum(one == other for one, other in zip(cells, last, strict=True)) < SAME * len(last):
            since = later
        elif not since:
            since = at
    text = "".join(cell.data for cell in last)
    assert len(text.split()) > 20, f"nothing was drawn: {text.strip()[:300]}"
    return since


def main() -> None:
    """Measure in turn, and print both sides, the ratio and the limit."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--posting", type=Path)
    parser.add_argument("--against", type=Path)
    parser.add_argument("--times", type=int, default=7)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for inner in ("collection", "home", "other"):
            (folder / inner).mkdir()
        base = {**os.environ, "TERM": "xterm-256color", "COLORTERM": "truecolor", "LC_ALL": "C.UTF-8", "HOME": str(folder / "home")}
        for variable in ("XDG_CONFIG_HOME", "XDG_DATA_HOME", "COLUMNS", "LINES", "PYTHONPATH", "NO_COLOR"):
            base.pop(variable, None)

        app = [sys.executable, "-m", "edgetune"]
        cache = {"HF_HUB_CACHE": str(folder / "none")}
        ours = {**base, **cache, "PYTHONPATH": str(ROOT), "EDGETUNE_WORKSPACE": str(furnished(folder))}
        if options.against:
            checkout = options.against.resolve()
            workspace = furnished_by(checkout, folder / "other")
            other, command, limit = "before", app, SLOWER_LIMIT
            environment = {**base, **cache, "PYTHONPATH": str(checkout), "EDGETUNE_WORKSPACE": str(workspace)}
        else:
            command = [str(posting_in(options.posting or folder / "posting")), "--collection", str(folder / "collection")]
            other, environment, limit = "posting", base, LIMIT

        times: dict[str, list[float]] = {"edgetune": [], other: []}
        for turn in range(options.times + 1):
            for who, words, settings in (("edgetune", app, ours), (other, command, environment)):
                seconds = complete(drawn(words, settings, folder))
                if turn:  # the first only fills the caches
                    times[who].append(seconds)

    for who, seconds_each in times.items():
        least, most = min(seconds_each), max(seconds_each)
        print(f"{who:9} to the first complete screen: median {statistics.median(seconds_each):.2f} s ({least:.2f} to {most:.2f})")
    ratio = statistics.median(times["edgetune"]) / statistics.median(times[other])
    print(f"ratio {ratio:.2f}; limit {limit}: {'holds' if ratio <= limit else 'FAILS'}")


if __name__ == "__main__":
    main()
