"""The real app on a workspace of the test's own, driven with Pilot; and its screen as a picture, held against what it looked like."""

import asyncio
import json
import os
import re
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import Input, Static, TextArea
from textual.worker import WorkerCancelled

from edgetune.config.recipe import build_recipe
from edgetune.jobs import create
from edgetune.runs.events import EventLog
from edgetune.sessions.chat_session import ChatSession
from edgetune.storage.workspace import Run, Workspace
from tests.tui import picture
from tests.tui.held import halting as halting
from tests.tui.held import hold as hold
from tests.tui.held import steady as steady
from tests.tui.picture import Cell, Cells
from tui.app import EdgeTuneApp
from tui.screens.chat import Chat

SNAPSHOTS = Path(__file__).parent / "snapshots"
SIZES = ((80, 24), (120, 40))
PATIENCE = 120.0
"""Seconds after which something that was waited for counts as never coming."""

Driven = Callable[["Seat"], Awaitable[None]]


class Seat:
    """A person in front of the app."""

    def __init__(self, app: EdgeTuneApp, pilot: Pilot[None]) -> None:
        self.app, self.pilot = app, pilot

    async def press(self, *keys: str, but: str = "") -> None:
        """Press keys, then wait until all is done that they began. but: a group of workers that is not waited for."""
        for key in keys:
            await self.pilot.press(key)
        await self.settle(but)

    async def write(self, text: str) -> None:
        """Type a text."""
        names = {" ": "space", ".": "full_stop", "-": "minus", "?": "question_mark", "'": "apostrophe", "/": "slash"}
        for sign in text:
            await self.pilot.press(names.get(sign, sign))
        await self.pilot.pause()

    async def settle(self, *but: str) -> None:
        """Wait for the workers and for what they posted. but: groups of workers that are not waited for, since they wait for us."""
        for _ in range(3):
            working = [worker for worker in self.app.workers if worker.group not in ("dialog", *but)]
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
        return "\n".join(line.rstrip() for line in picture.words(picture.cells(self.app))).rstrip() + "\n"


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No models of this machine, a working folder without surprises, and colours whatever the terminal of the tests wants."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "no-cache"))
    folder = tmp_path / "examples"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("EDGETUNE_WORKSPACE", str(tmp_path / "workspace"))


@pytest.fixture
def wrong_screens() -> list[str]:
    """What `snapshot` found different in this test, for `drive` to fail with once the scene is over."""
    return []


@pytest.fixture
def drive(workspace: Workspace, wrong_screens: list[str]) -> Callable[..., None]:
    """Runs a scene: the app in a terminal of a size, and what is done in it. first: with the tour, as for who opens it the first time.

    Fails where the scene fails, and where a screen in it does not look as it did.
    """

    def run(scene: Driven, size: tuple[int, int] = (80, 24), first: bool = False, **options: Any) -> None:
        path = workspace.path / "app.json"
        if not first and not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text('{"toured": true}', encoding="utf-8")

        async def play() -> None:
            app = EdgeTuneApp(workspace, **options)
            app.animation_level = "none"
            async with app.run_test(size=size, notifications=True) as pilot:
                seat = Seat(app, pilot)
                await seat.settle()
                await scene(seat)

        try:
            asyncio.run(play())
        except BaseException as error:
            for wrong in wrong_screens:
                error.add_note(wrong)
            raise
        assert not wrong_screens, "\n".join(wrong_screens)

    return run


@pytest.fixture
def make_run(workspace: Workspace, facts: Path) -> Callable[..., Run]:
    """A real run's folder whose worker never started, with these events in its log."""

    def make(name: str, events: list[dict[str, Any]], **options: Any) -> Run:
        recipe, sources = build_recipe({"base": "nano", "data": [str(facts)], "threads": 1, "max_steps": 100, **options})
        run = create.create_run(create.plan_run(recipe, sources, workspace), workspace, name)
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


def masked(lines: Cells) -> Cells:
    """What differs from machine to machine replaced, in as many cells."""
    found = []
    for row in lines:
        text = "".join(cell.sign or "\0" for cell in row)  # a place for each cell
        now = text
        if " cores, " in text:
            now = " This machine …".ljust(len(text))
        if "GFLOP/s" in text or "a rough guess" in text:
            now = "│ …".ljust(len(text))
        for pattern, sign in MASKS:
            now = pattern.sub(lambda found, sign=sign: sign.ljust(len(found[0]), "#")[: len(found[0])], now)  # type: ignore[misc]
        found.append(row if now == text else [_said(cell, was, is_now) for cell, was, is_now in zip(row, text, now, strict=False)])
    return found


def _said(cell: Cell, was: str, now: str) -> Cell:
    """A cell with another sign in it, whose look must not tell what was there."""
    return cell if was == now else Cell(now, "" if now == " " else "fill:#888888", cell.ground)


MACHINE = "This machine trains on its processor, of so many cores and so much memory, in the number format that it multiplies fastest."


def still(app: EdgeTuneApp) -> None:
    """What moves with time stands: cursors do not blink, toasts are gone. Home speaks of no machine in particular."""
    for screen in app.screen_stack:
        for line in screen.query("#machine").results(Static):
            line.update(MACHINE)
        for hint in screen.query("#hint").results(Static):
            text, here = str(hint.render()), str(app.workspace.path)
            if here in text:
                hint.update(text.replace(here, "/home/ada/edgetune"))
    for widget in app.screen.query("Input, TextArea"):
        if isinstance(widget, Input | TextArea):
            widget.cursor_blink, widget._cursor_visible = False, True
    app.clear_notifications()


Snapshot = Callable[..., Awaitable[None]]


@pytest.fixture
def snapshot(tmp_path: Path, wrong_screens: list[str]) -> Snapshot:
    """Holds a screen, in a small and in a large terminal, against snapshots/NAME-SIZE.svg. busy: group of workers that are under way.
    EDGETUNE_SNAPSHOTS=write writes them."""

    async def check(name: str, seat: Seat, *sizes: tuple[int, int], busy: str = "") -> None:
        before = seat.app.size
        for width, height in sizes or SIZES:
            await seat.pilot.resize_terminal(width, height)
            await seat.settle(busy)
            still(seat.app)
            await seat.pilot.pause()
            now = masked(picture.cells(seat.app))
            path = SNAPSHOTS / f"{name}-{width}x{height}.svg"
            if os.environ.get("EDGETUNE_SNAPSHOTS") == "write":
                path.write_text(picture.svg(now, small=True), encoding="utf-8", newline="\n")
                continue
            found = picture.differences(picture.read(path.read_text(encoding="utf-8")), now) if path.is_file() else ["there is none yet"]
            if found:
                actual = tmp_path / path.name
                actual.write_text(picture.svg(now), encoding="utf-8", newline="\n")
                wrong_screens.append("\n  ".join([f"{path.name} looks different now (see {actual}):", *found]))
        await seat.pilot.resize_terminal(*before)
        await seat.settle(busy)

    return check


async def chat_with(seat: Seat, path: Path, **sampling: Any) -> tuple[Chat, ChatSession]:
    """A chat with the model loaded. sampling: how it answers, where that is not as usual."""
    chat = Chat(str(path))
    await seat.app.push_screen(chat)
    await seat.until(lambda: chat.session)
    assert chat.session is not None
    chat.session.settings.sampling = replace(chat.session.settings.sampling, **sampling)
    return chat, chat.session


def draft_of(workspace: Workspace) -> dict[str, Any]:
    """The draft as it is kept."""
    value: dict[str, Any] = json.loads((workspace.path / "draft.json").read_text(encoding="utf-8"))
    return value


@pytest.fixture(scope="session")
def make_nano(nano: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Makes the bundled model a GGUF file of a type."""
    from converters.convert import plan_gguf

    folder = tmp_path_factory.mktemp("nano")
    template = (nano / "chat_template.jinja").read_text(encoding="utf-8")

    def make(kind: str) -> Path:
        path = folder / f"nano-{kind}.gguf"
        with open(path, "w+b") as file:
            plan_gguf(nano, None, [kind], chat_template=template, name="nano", extra={}).write(kind, file)
        return path

    return make


@pytest.fixture(scope="session")
def nano_gguf(make_nano: Callable[[str], Path]) -> Path:
    """The bundled model, F32."""
    return make_nano("F32")


@pytest.fixture(scope="session")
def nano_q4(make_nano: Callable[[str], Path]) -> Path:
    """The bundled model in 4 bits, which answers otherwise now and then."""
    return make_nano("Q4_0")


OPPOSITES = ("hot", "big", "up", "fast")


@pytest.fixture
def opposites(tmp_path: Path) -> Path:
    """A file of prompts, one a line."""
    path = tmp_path / "opposites.txt"
    path.write_text("".join(f"What is the opposite of {word}?\n" for word in OPPOSITES), encoding="utf-8")
    return path
