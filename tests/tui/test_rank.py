"""Ranking in the app, on the real engine with the bundled model: votes on disk before they are shown, left and gone on with."""

import errno
import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from textual.widgets import Input, TextArea

from edgetune.preferences import store as storing
from edgetune.preferences.store import Store
from edgetune.sessions.models import Model
from edgetune.sessions.vote_plan import VotePlan
from edgetune.storage.workspace import Workspace
from tests.tui.conftest import OPPOSITES, Seat
from tui.dialogs.ask import AskText
from tui.dialogs.choose import Choose
from tui.dialogs.choose_models import ChooseModels
from tui.dialogs.edit_answer import EditAnswer
from tui.dialogs.error import ErrorDialog
from tui.pages.voting import DONE, FAILED, READY
from tui.screens.rank import Rank
from tui.screens.rank_setup import RankSetup
from tui.widgets.candidates import Candidate, Candidates

Drive = Callable[..., None]


@pytest.fixture
def plan(nano_gguf: Path, opposites: Path) -> VotePlan:
    """The bundled model twice on four prompts."""
    return VotePlan([Model("file", str(nano_gguf))], "file", str(opposites), count=2, max_tokens=40)


async def opened(seat: Seat, plan: VotePlan) -> Rank:
    """The ranking, ready for the first vote."""
    screen = Rank(plan)
    await seat.app.push_screen(screen)
    await seat.until(lambda: screen.status in (READY, FAILED))
    assert screen.status == READY, seat.text()
    return screen


async def drag(seat: Seat, one: Candidate, onto: Candidate) -> None:
    """Drag an answer onto another."""
    assert await seat.pilot.mouse_down(one)
    assert await seat.pilot.mouse_up(onto)
    await seat.pilot.pause()


def shown(seat: Seat) -> str:
    return next(word for word in OPPOSITES if f"opposite of {word}?" in seat.text())


def test_from_home_to_votes_and_on_where_it_was_left(drive: Drive, workspace: Workspace, nano_gguf: Path, opposites: Path) -> None:
    votes = Store(workspace.preferences / "prefs.jsonl")

    async def first(seat: Seat) -> None:
        await seat.press("k")
        setup = seat.app.screen
        assert isinstance(setup, RankSetup) and "prefs holds no vote yet" in seat.text()
        await seat.press("s")
        assert isinstance(seat.app.screen, ErrorDialog) and "A model is needed" in seat.text()
        await seat.press("escape")
        await seat.pilot.press("enter")
        await seat.until(lambda: isinstance(seat.app.screen, ChooseModels))
        await seat.settle()
        assert "nano" in seat.text(), "the bundled model is always there"
        await seat.pilot.press("f")
        await seat.until(lambda: isinstance(seat.app.screen, AskText))
        seat.app.screen.query_one(Input).value = str(nano_gguf)
        await seat.press("enter")
        await seat.press("s")
        assert setup.plan.models == [Model("file", str(nano_gguf))]
        await seat.pilot.press("down", "enter")
        await seat.until(lambda: isinstance(seat.app.screen, Choose))
        await seat.pilot.press("enter")
        await seat.until(lambda: isinstance(seat.app.screen, AskText))
        seat.app.screen.query_one(Input).value = str(opposites)
        await seat.press("enter")
        await seat.until(lambda: setup.plan.prompts == "file")
        await seat.pilot.press("s")
        await seat.until(lambda: isinstance(seat.app.screen, Rank))
        rank = seat.app.screen
        assert isinstance(rank, Rank)
        await seat.until(lambda: rank.status == READY)
        asked = shown(seat)
        task = rank.to_vote
        assert task is not None and len(task.candidates) == 3
        await seat.pilot.press("2")
        assert "2 best" in seat.text() and not votes.votes()
        await seat.press("backspace", "3", "1")
        assert "✓ saved: 3 > 1 > 2" in seat.text()
        [vote] = votes.votes()
        assert vote.choice.value == [2, 3, 1] and [c.text for c in vote.candidates] == [c.text for c in task.candidates]
        await seat.press("u")
        assert not votes.votes() and shown(seat) == asked and rank.to_vote == task, "its answers are asked again"
        await seat.press("e", "1")
        await seat.until(lambda: isinstance(seat.app.screen, EditAnswer))
        seat.app.screen.query_one(TextArea).text = "My own words."
        await seat.press("ctrl+s")
        await seat.until(lambda: rank.status == READY and rank.to_vote is not task)
        [vote] = votes.votes()
        assert [(good.text, bad.text) for good, bad in vote.pairs()] == [("My own words.", task.candidates[0].text)]
        await seat.press("s")
        assert rank.asking is not None
        engines = list(rank.asking._engines)
        await seat.press("escape")
        await seat.until(lambda: not any(engine._child.alive for engine in engines))
        assert "prefs holds 2 votes" in seat.text()

    async def later(seat: Seat) -> None:
        await seat.press("k")
        await seat.pilot.press("s")
        await seat.until(lambda: isinstance(seat.app.screen, Rank) and seat.app.screen.status == READY)
        rank = seat.app.screen
        assert isinstance(rank, Rank) and shown(seat) == OPPOSITES[2] and "2 of 4 prompts done" in seat.text()
        panels = rank.query_one(Candidates)
        await drag(seat, panels.all[2], panels.all[0])
        assert rank.order == [2, 0, 1] == [panel.number for panel in panels.all if panel.display] and "3 best" in seat.text()
        await seat.press("backspace")
        assert not rank.order and [panel.number for panel in panels.all][:3] == [0, 1, 2]
        await drag(seat, panels.all[0], panels.all[1])
        await seat.press("enter")
        assert [panel.number for panel in panels.all] == [0, 1, 2, 3], "the next answers stand in order"
        await seat.press("b")
        assert rank.status == DONE and "All prompts are done" in seat.text()
        assert [vote.choice.value for vote in votes.votes()][-2:] == [[2, 1, 3], [1] * 3]
        await seat.press("u")
        assert rank.status == READY and shown(seat) == OPPOSITES[3]

    drive(first)
    drive(later, (120, 40))


def test_a_vote_is_shown_when_the_disk_has_it_and_the_keys_answer_meanwhile(
    drive: Drive, plan: VotePlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk, threads = threading.Event(), list[threading.Thread]()
    real = storing.append_synced

    def slow(path: Path, line: bytes) -> None:
        threads.append(threading.current_thread())
        assert disk.wait(60)
        real(path, line)

    async def scene(seat: Seat) -> None:
        rank = await opened(seat, plan)
        monkeypatch.setattr(storing, "append_synced", slow)
        await seat.pilot.press("1")
        await seat.until(lambda: threads)
        assert "writing the vote" in seat.text() and "saved" not in seat.text() and not rank.asking.store.votes()  # type: ignore[union-attr]
        await seat.pilot.press("2", "f1")
        assert "Help" in seat.app.screen.__class__.__name__, "a key is answered while the disk is slow"
        await seat.pilot.press("escape")
        disk.set()
        await seat.until(lambda: "✓ saved: 1 is better" in seat.text())
        assert len(rank.asking.store.votes()) == 1 and threads[0] is not threading.main_thread()  # type: ignore[union-attr]

    drive(scene)


def test_a_full_disk_takes_no_vote_and_loses_no_answer(drive: Drive, plan: VotePlan, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.fsync

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    async def scene(seat: Seat) -> None:
        rank = await opened(seat, plan)
        task = rank.to_vote
        monkeypatch.setattr(os, "fsync", full)
        await seat.press("2")
        assert isinstance(seat.app.screen, ErrorDialog) and "full" in seat.text()
        await seat.press("escape")
        assert "The vote was not saved" in seat.text() and rank.to_vote is task and rank.status == READY
        monkeypatch.setattr(os, "fsync", real)
        await seat.press("2")
        assert "✓ saved: 2 is better" in seat.text()
        [vote] = rank.asking.store.votes()  # type: ignore[union-attr]
        assert vote.choice.value == "right"

    drive(scene)


def test_a_dead_engine_is_said_and_loaded_anew(drive: Drive, plan: VotePlan) -> None:
    async def scene(seat: Seat) -> None:
        rank = await opened(seat, plan)
        assert rank.asking is not None
        os.kill(rank.asking._engines[0].pid, signal.SIGKILL)
        await seat.press("1")
        assert isinstance(seat.app.screen, ErrorDialog) and "llama.cpp stopped" in seat.text()
        await seat.press("escape")
        assert rank.status == FAILED and "no vote is lost" in seat.text()
        await seat.press("r")
        assert rank.status == READY and "1 of 4 prompts done" in seat.text()

    drive(scene)
