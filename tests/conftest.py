"""What all tests share: real models beside the project, the bundled one, a workspace, the command line, and trained runs."""

import json
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"
os.environ["COLUMNS"] = "200"

import pytest

from edgetune.storage.paths import BUNDLED
from edgetune.storage.workspace import Run, Workspace

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job has it ignored, and so would every child

ROOT = Path(__file__).resolve().parents[1]
Train = Callable[..., Run]


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real models and data beside the project; what needs it is skipped where it is missing."""
    folder = ROOT.parent / "shared"
    if not folder.is_dir():
        pytest.skip("the folder with real models and data is not beside the project")
    return folder


@pytest.fixture(scope="session")
def stories(shared: Path) -> Path:
    """stories260K, a real pretrained model of 260,000 parameters without a chat template."""
    return shared / "models" / "stories260k"


@pytest.fixture(scope="session")
def nano() -> Path:
    """The bundled chat model."""
    return BUNDLED


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A workspace of the test's own, which the command line uses too."""
    monkeypatch.setenv("EDGETUNE_WORKSPACE", str(tmp_path / "workspace"))
    return Workspace(tmp_path / "workspace")


@pytest.fixture
def edgetune(workspace: Workspace, capfd: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Runs the command line in this process; gives exit code, stdout and stderr."""
    from edgetune.cli.app import run

    def call(*arguments: object) -> tuple[int, str, str]:
        code = run([str(a) for a in arguments])
        out, err = capfd.readouterr()
        return code, out, err

    return call


@pytest.fixture(scope="session")
def train_in() -> Iterator[Callable[..., Run]]:
    """Makes a run in a workspace and trains it in this process (torch is imported once)."""
    from edgetune.config.recipe import build
    from edgetune.jobs import create, worker

    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}

    def train(place: Workspace, name: str, work: bool = True, **options: Any) -> Run:
        recipe, sources = build({"threads": 1, **options})
        run = create.make(create.plan(recipe, sources, place), place, name)
        if work:
            try:
                code = worker.work(run.folder)
            finally:
                for number, handler in handlers.items():
                    signal.signal(number, handler)
            assert code == 0, run.events.read_text(encoding="utf-8")[-2000:]
        return run

    yield train


@pytest.fixture
def train(workspace: Workspace, train_in: Callable[..., Run]) -> Train:
    """Trains in the test's own workspace."""
    return lambda name, **options: train_in(workspace, name, **options)


THINGS = ["door", "boat", "lamp", "tower", "stove", "island", "mule", "horn", "logbook", "roof", "beach", "village"]


def write_facts(path: Path) -> Path:
    """A small file of examples in the messages shape: 12 facts, each three times."""
    lines = []
    for number, thing in enumerate(THINGS):
        turns = [
            {"role": "user", "content": f"What is the number of the {thing}?"},
            {"role": "assistant", "content": f"{number}. That is its number."},
        ]
        lines.append(json.dumps({"messages": turns}) + "\n")
    path.write_text("".join(lines * 3), encoding="utf-8")
    return path


@pytest.fixture
def facts(tmp_path: Path) -> Path:
    """A small file of examples."""
    return write_facts(tmp_path / "facts.jsonl")
