"""How the screens look: empty, busy, full and failed, in a small and in a large terminal."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from textual.widgets import OptionList

from edgetune.errors import EdgeTuneError
from edgetune.jobs import launch
from edgetune.workspace import Run
from tests.tui.conftest import FAILED, FINISHED, Seat, life

SIZES = [(80, 24), (120, 40)]
Drive = Callable[..., None]
Snapshot = Callable[[str, Seat], None]
MakeRun = Callable[..., Run]


@pytest.fixture
def three_runs(make_run: MakeRun) -> list[Run]:
    """One finished, one failed, one that 'runs': this process owns it."""
    runs = [make_run("old", life(100, 100, FINISHED)), make_run("bad", life(39, 100, FAILED)), make_run("live", life(60))]
    launch.claim(runs[-1].folder)
    return runs


@pytest.mark.parametrize("size", SIZES)
def test_home_empty(drive: Drive, snapshot: Snapshot, size: tuple[int, int]) -> None:
    async def scene(seat: Seat) -> None:
        assert "Press  t  to try it" in seat.text()
        snapshot("home-empty", seat)

    drive(scene, size)


@pytest.mark.parametrize("size", [*SIZES, (200, 60)])
def test_home_full(drive: Drive, snapshot: Snapshot, three_runs: list[Run], size: tuple[int, int]) -> None:
    async def scene(seat: Seat) -> None:
        text = seat.text()
        assert "running" in text and "failed" in text and "finished" in text
        snapshot("home-full", seat)

    drive(scene, size)


def test_home_in_ascii(drive: Drive, snapshot: Snapshot, three_runs: list[Run]) -> None:
    async def scene(seat: Seat) -> None:
        assert seat.text().isascii()
        snapshot("home-ascii", seat)

    drive(scene, ascii_only=True)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", ["old", "bad", "live"])
def test_run(drive: Drive, snapshot: Snapshot, three_runs: list[Run], size: tuple[int, int], name: str) -> None:
    from tui.screens.run import RunScreen

    async def scene(seat: Seat) -> None:
        await seat.app.push_screen(RunScreen(next(run for run in three_runs if run.name == name)))
        await seat.settle()
        snapshot(f"run-{name}", seat)
        if name == "old":
            await seat.press("2")
            snapshot("run-more", seat)
            await seat.press("3")
            snapshot("run-answers", seat)

    drive(scene, size)


@pytest.mark.parametrize("size", SIZES)
def test_dialogs(drive: Drive, snapshot: Snapshot, size: tuple[int, int]) -> None:
    from tui.screens.ask import Confirm
    from tui.screens.error import ErrorDialog

    async def scene(seat: Seat) -> None:
        await seat.press("question_mark")
        snapshot("help", seat)
        await seat.press("escape")
        await seat.app.push_screen(ErrorDialog(EdgeTuneError("It [b]broke[/b]", "\x1b[31mwhy\x1b[0m", "Do [this].")))
        await seat.pilot.pause()
        assert "It [b]broke[/b]" in seat.text() and "Do [this]." in seat.text()
        snapshot("error", seat)
        await seat.press("escape")
        await seat.app.push_screen(Confirm("Delete it? This cannot be undone.", "Delete"))
        await seat.pilot.pause()
        snapshot("confirm", seat)

    drive(scene, size)


@pytest.mark.parametrize("size", SIZES)
def test_new_run(drive: Drive, snapshot: Snapshot, facts: Path, size: tuple[int, int]) -> None:
    shutil.copy(facts, Path.cwd() / "facts.jsonl")

    async def scene(seat: Seat) -> None:
        await seat.press("n")
        snapshot("new-model", seat)
        await seat.press("enter")
        snapshot("new-data-empty", seat)
        await seat.press("down", "enter")
        snapshot("new-data", seat)
        await seat.press("ctrl+n")
        snapshot("new-goal", seat)
        await seat.press("enter")
        snapshot("new-recipe", seat)
        await seat.press("v")
        snapshot("new-recipe-full", seat)
        await seat.press("ctrl+n")
        assert "It can start." in seat.text() and "weights" in seat.text()
        await seat.press("ctrl+n")
        text = seat.text()
        assert "Start training" in text

    drive(scene, size)


@pytest.mark.parametrize("size", SIZES)
def test_compare(drive: Drive, snapshot: Snapshot, make_run: MakeRun, size: tuple[int, int]) -> None:
    make_run("one", life(100, 100, FINISHED))
    make_run("two", life(60), rank=8, epochs=1.0)

    async def scene(seat: Seat) -> None:
        await seat.pilot.press("v")
        await seat.until(lambda: seat.app.screen.query(OptionList))
        await seat.press("enter")
        await seat.until(lambda: "What differs" in seat.text() and "rank" in seat.text())
        await seat.settle()
        snapshot("compare", seat)

    drive(scene, size)


@pytest.mark.parametrize("size", SIZES)
def test_export(drive: Drive, snapshot: Snapshot, three_runs: list[Run], size: tuple[int, int]) -> None:
    from tui.screens.export import Export

    async def scene(seat: Seat) -> None:
        await seat.app.push_screen(Export(three_runs[0]))
        await seat.settle()
        snapshot("export", seat)

    drive(scene, size)
