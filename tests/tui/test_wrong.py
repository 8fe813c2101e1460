"""Every screen where something can go wrong, when it has: what happened, why and what to do next stand there, and nothing is cut."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from textual.widgets import Input

from edgetune.storage.workspace import Run, Workspace
from tests.tui.conftest import FINISHED, Seat, Snapshot, chat_with, life
from tests.tui.replay import Replay
from tui.dialogs.ask import AskText
from tui.dialogs.error import ErrorDialog
from tui.widgets.listing import Listing

Drive = Callable[..., None]
MakeRun = Callable[..., Run]


async def typed(seat: Seat, text: str) -> None:
    """Answer the question that is asked."""
    await seat.until(lambda: isinstance(seat.app.screen, AskText))
    seat.app.screen.query_one(Input).value = text
    await seat.press("enter")


async def marked(seat: Seat, name: str) -> None:
    """Mark a line of the list."""
    listing = seat.app.screen.query_one(Listing)
    listing.table.move_cursor(row=listing.table.get_row_index(name))
    await seat.settle()


def test_steps_of_a_new_run(drive: Drive, snapshot: Snapshot) -> None:
    rows = [{"prompt": f"What is {n}?", "chosen": f"It is {n}.", "rejected": "I cannot say, or will not."} for n in range(24)]
    Path("pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")

    async def scene(seat: Seat) -> None:
        await seat.press("n")
        await seat.pilot.press("f")
        await typed(seat, "/no/such/folder")
        await snapshot("new-model-failed", seat)
        await seat.press("escape")
        await seat.press("enter")
        await seat.press("down", "enter")
        await seat.press("ctrl+n")
        await snapshot("new-goal-failed", seat)
        await seat.press("enter")
        await marked(seat, "learning_rate")
        await seat.pilot.press("enter")
        await typed(seat, "-1")
        await snapshot("new-recipe-failed", seat)

    drive(scene)


def test_settings_and_models(drive: Drive, snapshot: Snapshot, workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    from tui.dialogs.choose_models import ChooseModels
    from tui.dialogs.fetch import Fetch

    async def scene(seat: Seat) -> None:
        await seat.press("s")
        await marked(seat, "key home.new")
        await seat.pilot.press("enter")
        await typed(seat, "hyper+nothing")
        await snapshot("settings-failed", seat)
        await seat.press("escape", "escape")
        await seat.app.push_screen(ChooseModels(workspace, [], 2))
        await seat.settle()
        await seat.pilot.press("f")
        await typed(seat, "/no/such/file.gguf")
        await snapshot("models-failed", seat)
        await seat.press("escape", "escape")
        Replay(monkeypatch, "tui.dialogs.fetch", "gated")
        await seat.app.push_screen(Fetch())
        seat.app.screen.query_one("#wanted", Input).value = "acme/small"
        await seat.pilot.press("enter")
        await seat.until(lambda: isinstance(seat.app.screen, ErrorDialog))
        await snapshot("fetch-failed", seat)

    drive(scene)


def test_compare(drive: Drive, snapshot: Snapshot, make_run: MakeRun) -> None:
    from tui.screens.compare import Compare

    one, two = make_run("one", life(100, 100, FINISHED)), make_run("two", [])

    async def scene(seat: Seat) -> None:
        (two.folder / "recipe.toml").write_text("rank = ", encoding="utf-8")
        await seat.app.push_screen(Compare(one, two))
        await seat.until(lambda: isinstance(seat.app.screen, ErrorDialog))
        await snapshot("compare-failed", seat)

    drive(scene)


def test_around_a_chat(drive: Drive, snapshot: Snapshot, nano_gguf: Path) -> None:

    Path("notes.gguf").write_bytes(b"Dear diary, " * 100)

    async def scene(seat: Seat) -> None:
        await chat_with(seat, nano_gguf)
        await seat.press("ctrl+t")
        await marked(seat, "temperature")
        await seat.pilot.press("enter")
        await typed(seat, "hot")
        await snapshot("chat-ways-failed", seat)
        await seat.press("escape", "escape")
        await seat.press("f9")
        await seat.pilot.press("f")
        await typed(seat, "notes.gguf")
        await seat.until(lambda: isinstance(seat.app.screen, ErrorDialog))
        await snapshot("chat-adapters-failed", seat)

    drive(scene)


@pytest.mark.parametrize("name", ["rank", "arena"])
def test_before_voting(drive: Drive, snapshot: Snapshot, name: str) -> None:
    async def scene(seat: Seat) -> None:
        await seat.press({"rank": "k", "arena": "a"}[name])
        await seat.press("s")
        assert isinstance(seat.app.screen, ErrorDialog)
        await snapshot(f"{name}-setup-failed", seat)

    drive(scene)


def test_a_run_whose_base_was_moved_asks_for_its_folder(drive: Drive, make_run: MakeRun, nano: Path, tmp_path: Path) -> None:
    from tui.screens.run import RunScreen

    before, now = tmp_path / "base", tmp_path / "now"
    shutil.copytree(nano, before)
    run = make_run("moved", [*life(4), {"kind": "stopped", "step": 4}], base=str(before))
    before.rename(now)

    async def scene(seat: Seat) -> None:
        await seat.app.push_screen(RunScreen(run))
        await seat.settle()
        assert "Its base is not in" in seat.text() and "Base moved" in seat.text()
        await seat.pilot.press("m")
        await typed(seat, str(tmp_path))
        await seat.until(lambda: isinstance(seat.app.screen, ErrorDialog))
        await seat.press("escape")
        await seat.pilot.press("m")
        await typed(seat, str(now))
        await seat.until(lambda: run.moved_base_file.exists())
        await seat.settle()
        assert run.request()["base"] == str(now) and "Base moved" not in seat.text()

    drive(scene)
