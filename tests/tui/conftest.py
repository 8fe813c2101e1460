"""The real app on a workspace of the test's own, driven with Pilot; and its screen as text, held against what it looked like."""

import asyncio
import io
import json
import os
import re
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from textual.pilot import Pilot
from textual.worker import WorkerCancelled

from edgetune.jobs import create
from edgetune.jobs.events import EventLog
from edgetune.recipe import build
from edgetune.workspace import Run, Workspace
from tui.app import EdgeTuneApp

SNAPSHOTS = Path(__file__).parent / "snapshots"
SIZES = ((80, 24), (120, 40))
PATIENCE = 120.0
"""Seconds after which something that was waited for counts as never coming."""

Driven = Callable[["Seat"], Awaitable[None]]


class Seat:
    """A person in front of the app."""

    def __init__(self, app: EdgeTuneApp, pilot: Pilot[None]) -> None:
        self.app, self.pilot = app, pilot

    async def press(self, *keys: str) -> None:
        """Press keys, then wait until all is done that they began."""
        for key in keys:
            await self.pilot.press(key)
        await self.settle()

    async def write(self, text: str) -> None:
        """Type a text."""
        names = {" ": "space", ".": "full_stop", "-": "minus", "?": "question_mark", "'": "apostrophe", "/": "slash"}
        for sign in text:
            await self.pilot.press(names.get(sign, sign))
        await self.pilot.pause()

    async def settle(self) -> None:
        """Wait for the workers and for what they posted."""
        for _ in range(3):
            working = [worker for worker in self.app.workers if worker.group != "dialog"]
            if working:  # of none, it would wait for all, and a dialog waits for us
                with suppress(WorkerCancelled):
                    await self.app.workers.wait_for_complete(working)
            await self.pilot.pause()

    async def until(self, what: Callable[[], Any]) -> None:
        """Wait for what another process brings about."""
        end = asyncio.get_running_loop().time() + PATIENCE
        while not what():
            assert asyncio.get_running_loop().time() < end, f"never came: {self.text()}"
            await self.pilot.pause(0.05)
        await self.pilot.pause()

    def text(self) -> str:
        """The screen as it is drawn, in plain text."""
        width, height = self.app.size
        console = Console(
            width=width, height=height, file=io.StringIO(), force_terminal=True, color_system="truecolor", record=True, legacy_windows=False
        )
        console.print(self.app.screen._compositor.render_update(full=True))
        return "\n".join(line.rstrip() for line in console.export_text(styles=False).splitlines()).rstrip() + "\n"


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No models of this machine, and a working folder without surprises."""
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "no-cache"))
    folder = tmp_path / "examples"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("EDGETUNE_WORKSPACE", str(tmp_path / "workspace"))


@pytest.fixture
def drive(workspace: Workspace) -> Callable[..., None]:
    """Runs a scene: the app in a terminal of a size, and what is done in it. first: with the tour, as for who opens it the first time."""

    def run(scene: Driven, size: tuple[int, int] = (80, 24), first: bool = False, **options: Any) -> None:
        path = workspace.path / "app.json"
        if not first and not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text('{"toured": true}', encoding="utf-8")

        async def play() -> None:
            app = EdgeTuneApp(workspace, **options)
            async with app.run_test(size=size, notifications=True) as pilot:
                seat = Seat(app, pilot)
                await seat.settle()
                await scene(seat)

        asyncio.run(play())

    return run


@pytest.fixture
def make_run(workspace: Workspace, facts: Path) -> Callable[..., Run]:
    """A real run's folder whose worker never started, with these events in its log."""

    def make(name: str, events: list[dict[str, Any]], **options: Any) -> Run:
        recipe, sources = build({"base": "nano", "data": [str(facts)], "threads": 1, "steps": 100, **options})
        run = create.make(create.plan(recipe, sources, workspace), workspace, name)
        log = EventLog(run.events)
        for event in events:
            log.append(**event)
        return run

    return make


def life(steps: int, total: int = 100, *end: dict[str, Any]) -> list[dict[str, Any]]:
    """The events of a run that did so many steps."""
    found: list[dict[str, Any]] = [{"kind": "launched"}]
    begun = {"total": total, "device": "cpu", "dtype": "float32", "threads": 1, "from_step": 0, "trained": 1000, "rows": 30, "held_out": 6}
    found.append({"kind": "started", **begun})
    for step in range(steps + 1):
        loss = 5.0 / (1 + step / 10) + 0.3
        if step:
            figures = {
                "learning_rate": 1e-3 * (1 - step / total),
                "grad_norm": 1.0 + (step % 7) / 10,
                "tokens_per_second": 500.0 + step % 9,
            }
            rest = {"seconds": 0.5, "memory": 600 * 2**20 + step * 2**15, "eta": (total - step) * 0.5, "epoch": step / 10}
            found.append({"kind": "step", "step": step, "total": total, "loss": loss, **figures, **rest})
        if step % 25 == 0:
            found.append({"kind": "evaluated", "step": step, "loss": loss + 0.1, "perplexity": 2.0, "improved": True})
            for number, thing in enumerate(("door", "boat")):
                asked = {"prompt": f"user\nWhat is the number of the {thing}?\nassistant\n", "answer": f"{number if step > 25 else 7}."}
                found.append({"kind": "sample", "step": step, **asked})
    return [*found, *end]


FINISHED = {"kind": "finished", "step": 100, "last_step": 100, "best_loss": 0.8, "result": "adapter", "bytes": 1000}
FAILED = {
    "kind": "failed",
    "error": {"title": "Training diverged", "cause": "The loss at step 40 is not finite.", "remedy": "Lower --learning-rate and go on."},
}

MASKS = (
    (re.compile(r"\d+(\.\d)? (B|KiB|MiB|GiB)"), "#"),
    (re.compile(r"[\d,]+ tokens/s"), "# tokens/s"),
    (re.compile(r"seed \d+"), "seed #"),
    (re.compile(r"about (\d+ h \d+ min|\d+ min \d+ s|\d+ s)"), "about #"),
)


def masked(text: str) -> str:
    """What differs from machine to machine replaced, in as many cells."""
    lines = []
    for line in text.splitlines():
        if "This machine trains" in line or " cores, " in line:
            line = " This machine …"
        if "GFLOP/s" in line or "a rough guess" in line:
            line = "│ …"
        for pattern, sign in MASKS:
            line = pattern.sub(lambda found, sign=sign: sign.ljust(len(found[0]), "#")[: len(found[0])], line)  # type: ignore[misc]
        lines.append(line)
    return "\n".join(lines) + "\n"


Snapshot = Callable[..., Awaitable[None]]


@pytest.fixture
def snapshot() -> Iterator[Snapshot]:
    """Holds a screen, in a small and in a large terminal, against snapshots/NAME-SIZE.txt. EDGETUNE_SNAPSHOTS=write writes."""
    wrong: list[str] = []

    async def check(name: str, seat: Seat, *sizes: tuple[int, int]) -> None:
        before = seat.app.size
        for width, height in sizes or SIZES:
            await seat.pilot.resize_terminal(width, height)
            await seat.settle()
            path = SNAPSHOTS / f"{name}-{width}x{height}.txt"
            now = masked(seat.text())
            if os.environ.get("EDGETUNE_SNAPSHOTS") == "write":
                path.write_text(now, encoding="utf-8")
            elif not path.is_file() or path.read_text(encoding="utf-8") != now:
                wrong.append(f"{path.name} is now:\n{now}")
        await seat.pilot.resize_terminal(*before)
        await seat.settle()

    yield check
    assert not wrong, "\n".join(wrong)


def draft_of(workspace: Workspace) -> dict[str, Any]:
    """The draft as it is kept."""
    value: dict[str, Any] = json.loads((workspace.path / "draft.json").read_text(encoding="utf-8"))
    return value
