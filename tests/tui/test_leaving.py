"""Screens that are left while they work: nothing breaks, what was begun is ended, and what was said is kept."""

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgetune.chat.engine import Engine
from edgetune.sessions.models import Model
from edgetune.sessions.vote_plan import VotePlan
from edgetune.storage.workspace import Run, Workspace
from tests.tui.conftest import FINISHED, Seat, chat_with, life
from tests.tui.held import Halting, Hold
from tests.tui.replay import Replay
from tui.dialogs.adapters import Adapters
from tui.dialogs.ask import Confirm, Consent
from tui.dialogs.conversations import Conversations
from tui.dialogs.fetch import Fetch
from tui.screens.export import Export
from tui.screens.home import Home
from tui.screens.rank import Rank
from tui.screens.versus import Versus
from tui.widgets.bubbles import Reply
from tui.widgets.listing import Listing
from tui.widgets.prompt import Prompt

Drive = Callable[..., None]
MakeRun = Callable[..., Run]


@pytest.fixture
def keeper(make_run: MakeRun) -> Run:
    """A run that is done."""
    run = make_run("keeper", life(100, 100, FINISHED))
    run.adapter.mkdir()
    (run.adapter / "adapter_config.json").write_text("{}", encoding="utf-8")
    return run


class Running(list[str]):
    """The files that llama.cpp processes run with; how many were started in all."""

    started = 0


@pytest.fixture
def engines(monkeypatch: pytest.MonkeyPatch) -> Running:
    """The llama.cpp processes of this test."""
    running = Running()
    start, close = Engine.__init__, Engine.close

    def started(engine: Engine, path: Path, **options: Any) -> None:
        start(engine, path, **options)
        running.append(str(path))
        running.started += 1

    def closed(engine: Engine) -> None:
        close(engine)
        if str(engine.path) in running:
            running.remove(str(engine.path))

    monkeypatch.setattr(Engine, "__init__", started)
    monkeypatch.setattr(Engine, "close", closed)
    return running


async def writing(seat: Seat, run: Run, monkeypatch: pytest.MonkeyPatch) -> Replay:
    """An export that is under way, in front of Home."""
    await seat.app.push_screen(Export(run))
    await seat.settle()
    busy = Replay(monkeypatch, "tui.screens.export", "export", held=16)
    await seat.pilot.press("w")
    await seat.until(lambda: "behaviour passed" in seat.text())
    return busy


def test_leaving_an_export_that_writes_asks_first(drive: Drive, keeper: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene(seat: Seat) -> None:
        busy = await writing(seat, keeper, monkeypatch)
        await seat.pilot.press("escape")
        await seat.until(lambda: isinstance(seat.app.screen, Confirm))
        await seat.press("n", but="write")
        assert isinstance(seat.app.screen, Export)
        busy.go.set()
        await seat.settle()
        assert "Q4_K_M" in seat.text() and "chat" in seat.text()

    drive(scene)


def test_an_export_that_is_left_is_stopped_before_the_screen_goes(drive: Drive, keeper: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene(seat: Seat) -> None:
        await writing(seat, keeper, monkeypatch)
        await seat.pilot.press("escape")
        await seat.until(lambda: isinstance(seat.app.screen, Confirm))
        await seat.pilot.press("y")
        await seat.until(lambda: isinstance(seat.app.screen, Home))
        assert not [worker for worker in seat.app.workers if worker.group == "write"]

    drive(scene)


def test_an_export_that_is_taken_away_while_it_writes_breaks_nothing(drive: Drive, keeper: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene(seat: Seat) -> None:
        await writing(seat, keeper, monkeypatch)
        await seat.app.pop_screen()
        await seat.settle()
        assert isinstance(seat.app.screen, Home)

    drive(scene)


def test_two_models_left_while_they_load_end_their_processes(
    drive: Drive, nano_gguf: Path, nano_q4: Path, engines: Running, hold: Hold
) -> None:
    async def scene(seat: Seat) -> None:
        versus = Versus(None, (Model("file", str(nano_gguf)), Model("file", str(nano_q4))))
        await seat.app.push_screen(versus)
        await seat.until(lambda: engines == [str(nano_gguf)])
        go = hold(Engine, "__init__")
        await seat.until(lambda: nano_q4.name in seat.text())
        await seat.app.pop_screen()
        await seat.settle()
        assert isinstance(seat.app.screen, Home)
        go.set()
        await seat.until(lambda: engines.started == 2 and not engines)

    drive(scene)


def test_a_chat_left_while_it_loads_ends_its_process(drive: Drive, nano_gguf: Path, engines: Running, hold: Hold) -> None:
    from tui.screens.chat import Chat

    async def scene(seat: Seat) -> None:
        go = hold(Engine, "__init__")
        await seat.app.push_screen(Chat(str(nano_gguf)))
        await seat.until(lambda: f"loading {nano_gguf.name}" in seat.text())
        await seat.press("escape")
        assert isinstance(seat.app.screen, Home)
        go.set()
        await seat.until(lambda: engines.started == 1 and not engines)

    drive(scene)


def test_a_ranking_left_while_it_loads_ends_its_processes(
    drive: Drive, nano_gguf: Path, nano_q4: Path, opposites: Path, engines: Running, hold: Hold
) -> None:
    async def scene(seat: Seat) -> None:
        models = [Model("file", str(nano_gguf)), Model("file", str(nano_q4))]
        go = hold(Engine, "__init__")
        await seat.app.push_screen(Rank(VotePlan(models, "file", str(opposites), count=2)))
        await seat.until(lambda: "loading" in seat.text())
        await seat.press("escape")
        assert isinstance(seat.app.screen, Home)
        go.set()
        await seat.until(lambda: engines.started == 1 and not engines)

    drive(scene)


def test_a_chat_taken_away_in_the_middle_of_an_answer_is_kept(
    drive: Drive, workspace: Workspace, nano_gguf: Path, halting: Halting
) -> None:
    async def scene(seat: Seat) -> None:
        chat, _ = await chat_with(seat, nano_gguf, temperature=1.0, seed=3)
        halting.halt()
        chat.query_one(Prompt).text = "What is the number of the boat?"
        await seat.pilot.press("enter")
        await seat.until(lambda: [len(one.markdown.source) for one in chat.query(Reply)] == [Halting.SIGNS])
        await seat.app.pop_screen()
        halting.go()
        await seat.settle()
        assert isinstance(seat.app.screen, Home)
        await seat.until(lambda: list(workspace.conversations.glob("*.json*")))

    drive(scene)


def test_adapters_closed_while_one_is_written_break_nothing(
    drive: Drive, keeper: Run, nano_gguf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scene(seat: Seat) -> None:
        chat, _ = await chat_with(seat, nano_gguf)
        await seat.press("f9")
        Replay(monkeypatch, "tui.dialogs.adapters", "export", held=0)
        await seat.pilot.press("enter")
        await seat.until(lambda: "Writing the adapter" in seat.text())
        assert isinstance(seat.app.screen, Adapters)
        await seat.press("escape")
        assert chat.is_current

    drive(scene)


def test_a_fetch_taken_away_breaks_nothing(drive: Drive, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene(seat: Seat) -> None:
        Replay(monkeypatch, "tui.dialogs.fetch", "offered", "fetched", held=7)
        seat.app.push_screen(Fetch())
        await seat.settle("fetch")
        await seat.pilot.press("down", "enter")
        await seat.until(lambda: isinstance(seat.app.screen, Consent))
        await seat.pilot.press("y")
        await seat.until(lambda: "model.safetensors" in seat.text())
        await seat.app.pop_screen()
        await seat.settle()
        assert isinstance(seat.app.screen, Home)

    drive(scene)


def test_a_list_that_is_read_after_its_dialog_was_left_breaks_nothing(drive: Drive, hold: Hold) -> None:
    async def scene(seat: Seat) -> None:
        go = hold(importlib.import_module("tui.dialogs.conversations"), "list_conversations")
        dialog = Conversations(seat.app.workspace)
        await seat.app.push_screen(dialog)
        await dialog.query_one(Listing).remove_children()  # as a screen that is going loses its widgets one after the other
        go.set()
        await seat.settle()
        await seat.app.pop_screen()

    drive(scene)
