"""SmolLM2-135M-Instruct, a real chat model: imported from its GGUF and tuned once, for all tests of the set `real`.

    pytest -m real -n 0                            # few steps
    EDGETUNE_REAL=whole pytest -m real -n 0 -s     # the whole; prints the figures of docs/models.md

Every command runs as a person runs it, in a process of its own whose time and memory are measured.
"""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import pytest

from edgetune.storage.workspace import Run, Workspace
from tests.conftest import ROOT
from tests.fixtures.datasets import dataset

WHOLE = os.environ.get("EDGETUNE_REAL") == "whole"
STEPS, PAIR_STEPS = (60, 30) if WHOLE else (10, 6)
ROWS, HELD_OUT, PAIRS = 240, 12, 60
MAX_CHARACTERS = 300
"""Rows are chosen by length, so that a step is short."""
RECIPE = ["--max-length", "160", "--batch-size", "2", "--gradient-accumulation", "1", "--eval-steps", "1000", "--seed", "1"]


class Done(NamedTuple):
    """A finished command: its JSON, seconds, and the largest memory of one of its processes in bytes."""

    output: Any
    seconds: float
    peak: int


Call = Callable[..., Done]


@pytest.fixture(scope="module")
def real_workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """The workspace of all commands."""
    return Workspace(tmp_path_factory.mktemp("real"))


@pytest.fixture(scope="module")
def figures() -> Iterator[dict[str, str]]:
    """What was measured, printed at the end."""
    measured: dict[str, str] = {}
    yield measured
    print("", *(f"| {name} | {value} |" for name, value in measured.items()), f"load: {os.getloadavg()}", sep="\n")


@pytest.fixture(scope="module")
def call(real_workspace: Workspace) -> Call:
    """Runs a command with --json."""

    def run(*arguments: object) -> Done:
        began = time.monotonic()
        command = [sys.executable, "-m", "edgetune", *(str(argument) for argument in arguments), "--json"]
        environment = os.environ | {"EDGETUNE_WORKSPACE": str(real_workspace.path), "PYTHONPATH": str(ROOT)}
        with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            peaks = [0]
            watcher = threading.Thread(target=watch, args=(process.pid, peaks))
            watcher.start()
            out, err = process.communicate()
            watcher.join()
        assert process.returncode == 0, f"{' '.join(command)}\n{out[-1000:]}\n{err[-3000:]}"
        lines = out.strip().splitlines()
        return Done(json.loads(lines[-1]) if lines else None, time.monotonic() - began, peaks[0])

    return run


def watch(pid: int, peaks: list[int]) -> None:
    """Note the largest resident memory of a process and of those it starts, until it ends."""
    try:
        root = psutil.Process(pid)
        while root.is_running() and root.status() != psutil.STATUS_ZOMBIE:
            for process in [root, *root.children(recursive=True)]:
                try:
                    peaks.append(process.memory_info().rss)
                except psutil.NoSuchProcess:
                    continue
            peaks[:] = [max(peaks)]
            time.sleep(0.05)
    except psutil.NoSuchProcess:
        return


@pytest.fixture(scope="module")
def base(smollm2: Path, real_workspace: Workspace, call: Call, figures: dict[str, str]) -> Path:
    """The model folder."""
    done = call("import", smollm2, "--out", real_workspace.path / "smollm2")
    figures["import of the Q4_1 GGUF"] = f"{done.seconds:.0f} s"
    return Path(done.output["path"])


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Short real instructions and who the model is, to train on and to hold out."""
    folder = tmp_path_factory.mktemp("examples")
    named = json.loads(
        dataset("identity.json").read_text(encoding="utf-8").replace("{{name}}", "Ember").replace("{{author}}", "the harbour")
    )
    rows = [row for row in json.loads(dataset("alpaca_en_demo.json").read_text(encoding="utf-8")) if length(row) < MAX_CHARACTERS]
    mixed = [row for pair in zip(rows, named, strict=False) for row in pair] + rows[len(named) :]
    held_out, train = mixed[:HELD_OUT], mixed[HELD_OUT : HELD_OUT + ROWS]
    for name, part in (("train.json", train), ("held_out.json", held_out)):
        (folder / name).write_text(json.dumps(part), encoding="utf-8")
    return folder / "train.json", folder / "held_out.json"


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shortest real pairs."""
    rows = sorted(json.loads(dataset("dpo_en_demo.json").read_text(encoding="utf-8")), key=length)[:PAIRS]
    path = tmp_path_factory.mktemp("pairs") / "pairs.json"
    path.write_text(json.dumps(rows), encoding="utf-8")
    return path


def length(row: Any) -> int:
    """A row's length in characters."""
    return len(json.dumps(row))


@pytest.fixture(scope="module")
def tuned(base: Path, examples: tuple[Path, Path], real_workspace: Workspace, call: Call, figures: dict[str, str]) -> tuple[Run, Done]:
    """The run that all tests share, with QLoRA, and what its command took."""
    train, held_out = examples
    done = call(
        *("train", "--name", "tuned", "--base", base, "--data", train, "--validation", held_out, "--quantization", "nf4"),
        *("--max-steps", STEPS, *RECIPE),
    )
    figures[f"QLoRA, {STEPS} steps of 2 rows"] = f"{done.seconds:.0f} s, peak {done.peak / 2**30:.1f} GiB"
    return real_workspace.run("tuned"), done


@pytest.fixture(scope="module")
def exports(tuned: tuple[Run, Done], call: Call, figures: dict[str, str]) -> dict[str, Any]:
    """The run's exports by type, proven, and a folder for Ollama."""
    done = call("export", tuned[0].name, "--type", "Q4_K_M", "--type", "Q8_0", "--for", "ollama")
    figures["export as Q4_K_M and Q8_0 with proofs"] = f"{done.seconds:.0f} s, peak {done.peak / 2**30:.1f} GiB"
    return {export["type"]: export for export in done.output}
