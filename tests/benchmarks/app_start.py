"""How long the app takes to its first complete screen, with 20 runs, 10 exports and 5 bases on Home, against posting, another Textual app.

usage: python tests/benchmarks/app_start.py [--posting FOLDER] [--times 7]
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
    parser.add_argument("--times", type=int, default=7)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        collection, home = folder / "collection", folder / "home"
        for one in (collection, home):
            one.mkdir()
        base = {**os.environ, "TERM": "xterm-256color", "COLORTERM": "truecolor", "LC_ALL": "C.UTF-8", "HOME": str(home)}
        for variable in ("XDG_CONFIG_HOME", "XDG_DATA_HOME", "COLUMNS", "LINES", "PYTHONPATH", "NO_COLOR"):
            base.pop(variable, None)
        theirs = [str(posting_in(options.posting or folder / "posting")), "--collection", str(collection)]
        ours = [sys.executable, "-m", "edgetune"]
        ours_env = {**base, "PYTHONPATH": str(ROOT), "EDGETUNE_WORKSPACE": str(furnished(folder)), "HF_HUB_CACHE": str(folder / "none")}
        times: dict[str, list[float]] = {"edgetune": [], "posting": []}
        for turn in range(options.times + 1):
            for who, command, environment in (("edgetune", ours, ours_env), ("posting", theirs, base)):
                taken = complete(drawn(command, environment, folder))
                if turn:  # the first only fills the caches
                    times[who].append(taken)
    mine, other = (statistics.median(times[who]) for who in ("edgetune", "posting"))
    for who, found in times.items():
        print(f"{who:9} to the first complete screen: median {statistics.median(found):.2f} s ({min(found):.2f} to {max(found):.2f})")
    print(f"ratio {mine / other:.2f}; limit {LIMIT}: {'holds' if mine / other <= LIMIT else 'FAILS'}")


if __name__ == "__main__":
    main()
