"""Every screen that may keep somebody waiting, while it does: what it shows then says so."""

import asyncio
import importlib
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from textual.widgets import Button, Static

from edgetune.runs.history import History
from edgetune.runs.overview import Overview
from edgetune.storage.workspace import Run, Workspace
from tests.tui.conftest import FINISHED, Seat, Snapshot, chat_with, life
from tests.tui.held import Halting, Hold
from tests.tui.replay import Replay
from tui import command
from tui.widgets.bubbles import Reply
from tui.widgets.candidates import Candidate
from tui.widgets.prompt import Prompt

pytestmark = pytest.mark.usefixtures("steady")
Drive = Callable[..., None]
MakeRun = Callable[..., Run]


def test_home_and_models(drive: Drive, snapshot: Snapshot, hold: Hold, workspace: Workspace) -> None:
    from tui.dialogs.choose_models import ChooseModels
    from tui.screens.home import Home

    async def scene(seat: Seat) -> None:
        looks = hold(Overview, "look")
        await seat.app.push_screen(Home())
        await seat.until(lambda: "looking for runs" in seat.text())
        await snapshot("home-busy", seat, busy="runs")
        looks.set()
        found = hold(importlib.import_module("tui.dialogs.choose_models"), "list_models")
        await seat.app.push_screen(ChooseModels(workspace, [], 2))
        await seat.until(lambda: "looking for models" in seat.text())
        await snapshot("models-busy", seat, busy="default")
        found.set()
        await seat.settle()

    drive(scene)


def test_steps_of_a_new_run(drive: Drive, snapshot: Snapshot, hold: Hold, facts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copy(facts, Path.cwd() / "facts.jsonl")
    begun = asyncio.Event()

    async def begin(workspace: Workspace, words: list[str]) -> Run:
        await begun.wait()
        raise OSError(28, "No space left on device", "/home/ada/edgetune/runs/r")

    async def scene(seat: Seat) -> None:
        bases = hold(importlib.import_module("tui.steps.model"), "_bases")
        await seat.pilot.press("n")
        await seat.until(lambda: "looking for models" in seat.text())
        await snapshot("new-model-busy", seat, busy="default")
        bases.set()
        await seat.settle()
        await seat.press("enter", "down")
        with monkeypatch.context() as for_now:
            reads = Replay(for_now, "tui.steps.data", "unreadable", held=0)
            await seat.pilot.press("enter")
            await snapshot("new-data-busy", seat, busy="xray")
            reads.go.set()
            await seat.settle()
            await snapshot("new-data-failed", seat)
        await seat.press("escape", "enter")
        await seat.press("ctrl+n")
        await seat.press("enter")
        checks = Replay(monkeypatch, "tui.steps.fit", "fit", "nothing-left", held=0)
        await seat.pilot.press("ctrl+n")
        await seat.until(lambda: "weights" in seat.text() and "checking" in seat.text())
        await snapshot("new-fit-busy", seat, busy="fit")
        checks.go.set()
        await seat.settle()
        await snapshot("new-fit-failed", seat)
        await seat.press("escape")
        Replay(monkeypatch, "tui.steps.fit", "fit", "check")
        await seat.press("g")
        seat.app.screen.step.draft.data = ["/home/ada/examples/facts.jsonl"]  # type: ignore[attr-defined]
        await seat.press("ctrl+n")
        monkeypatch.setattr("tui.steps.start.begin", begin)
        await seat.pilot.press("ctrl+s")  # the button itself, pressed, would be lit for a moment
        await seat.until(lambda: "starting" in str(seat.app.screen.query_one(Button).label))
        await snapshot("new-start-busy", seat, busy="start")
        begun.set()
        await seat.settle()
        await snapshot("new-start-failed", seat)

    drive(scene)


def test_looks(drive: Drive, snapshot: Snapshot, hold: Hold, make_run: MakeRun, facts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tui.screens.compare import Compare

    shutil.copy(facts, Path.cwd() / "facts.jsonl")
    one, two = make_run("one", life(100, 100, FINISHED)), make_run("two", life(60))

    async def scene(seat: Seat) -> None:
        await seat.press("x")
        reads = Replay(monkeypatch, "tui.steps.data", "unreadable", held=0)
        await seat.press("down")
        await seat.pilot.press("enter")
        await snapshot("data-busy", seat, busy="xray")
        await seat.press("x")
        assert "Reading was stopped" in seat.text() and "x Stop" not in seat.text() and not reads.go.is_set()
        await seat.press("escape")
        looks = Replay(monkeypatch, "tui.screens.doctor", "doctor", held=0)
        await seat.pilot.press("o")
        await seat.until(lambda: "looking …" in seat.text())
        await snapshot("doctor-busy", seat, busy="default")
        looks.go.set()
        await seat.press("escape")
        log = hold(History, "read")
        await seat.app.push_screen(Compare(one, two))
        await seat.until(lambda: "What differs" in seat.text())
        await snapshot("compare-busy", seat, busy="default")
        log.set()
        await seat.settle()

    drive(scene)


def test_another_file_while_one_is_read(drive: Drive, facts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copy(facts, Path.cwd() / "facts.jsonl")
    line = facts.read_text(encoding="utf-8").splitlines()[0] + "\n"
    Path("more.jsonl").write_text(line * 30_000, encoding="utf-8")
    leaves = command._end

    async def late(process: Any) -> None:
        await leaves(process)
        await asyncio.sleep(1.5)

    async def scene(seat: Seat) -> None:
        await seat.press("x", "down", "enter")
        assert "rows, all used" in seat.text()
        await seat.press("right_square_bracket")
        await seat.press("down")
        await seat.pilot.press("enter")
        await seat.until(lambda: "reading" in seat.text())
        await seat.press("f2", "f2", but="xray")
        assert "reading" in seat.text() and "rows, all used" not in seat.text() and "] Next row" not in seat.text()
        assert "Your rows as the model" in seat.text()
        await seat.pilot.press("up")
        monkeypatch.setattr(command, "_end", late)  # the one before takes its time to leave
        await seat.press("enter")
        await asyncio.sleep(2)
        assert "rows, all used" in seat.text() and "Data check of facts.jsonl" in seat.text() and "Reading was stopped" not in seat.text()

    drive(scene)


def test_around_a_chat(
    drive: Drive, snapshot: Snapshot, hold: Hold, workspace: Workspace, nano_gguf: Path, make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:

    keeper = make_run("keeper", life(100, 100, FINISHED))
    keeper.adapter.mkdir()
    (keeper.adapter / "adapter_config.json").write_text("{}", encoding="utf-8")

    async def scene(seat: Seat) -> None:
        await chat_with(seat, nano_gguf, temperature=0.0, seed=1)
        talks = hold(importlib.import_module("tui.dialogs.conversations"), "list_conversations")
        await seat.pilot.press("f3")
        await seat.until(lambda: "Conversations" in seat.text())
        await snapshot("talks-busy", seat, busy="default")
        talks.set()
        await seat.press("escape", "f9")
        writes = Replay(monkeypatch, "tui.dialogs.adapters", "export", held=0)
        await seat.pilot.press("enter")
        await seat.until(lambda: "Writing the adapter" in str(seat.app.screen.query_one(".how", Static).render()))
        await snapshot("chat-adapters-busy", seat, busy="turn")
        writes.go.set()
        await seat.settle()

    drive(scene)


def test_answers_being_written(
    drive: Drive, snapshot: Snapshot, nano_gguf: Path, nano_q4: Path, halting: Halting, monkeypatch: pytest.MonkeyPatch
) -> None:
    from edgetune.sessions.models import Model
    from tui.dialogs.second_answer import SecondAnswer
    from tui.screens.versus import Versus

    async def scene(seat: Seat) -> None:
        chat, _ = await chat_with(seat, nano_gguf, temperature=1.0, seed=3)
        chat.query_one(Prompt).text = "What is the number of the boat?"
        await seat.press("enter")
        halting.halt()
        await seat.pilot.press("f4")
        await seat.until(lambda: isinstance(seat.app.screen, SecondAnswer) and seat.app.screen.query(Candidate))
        new = seat.app.screen.query(Candidate)[1]
        await seat.until(lambda: len(str(new.query_one(Static).render())) == Halting.SIGNS)
        await snapshot("second-busy", seat, busy="second")
        monkeypatch.setattr("edgetune.sessions.chat_votes.alike", lambda one, other: True)
        halting.go()
        await seat.settle()
        await snapshot("second-alike", seat)
        await seat.press("escape", "escape")
        versus = Versus(None, (Model("file", str(nano_gguf)), Model("file", str(nano_q4))))
        await seat.app.push_screen(versus)
        await seat.until(lambda: len(versus.sessions) == 2)
        halting.halt()
        versus.query_one(Prompt).text = "What is the number of the boat?"
        await seat.pilot.press("enter")
        await seat.until(lambda: [len(one.markdown.source) for one in versus.query(Reply)] == [Halting.SIGNS])
        await snapshot("versus-busy", seat, busy="talk")
        halting.go()
        await seat.settle()

    drive(scene)
