"""How the screens look: empty, busy, full and failed, in a small and in a large terminal."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from textual.widgets import DataTable, OptionList

from edgetune.errors import EdgeTuneError
from edgetune.runs import launch
from edgetune.sessions.vote_plan import VotePlan
from edgetune.storage.workspace import Run, Workspace
from tests.tui.conftest import FAILED, FINISHED, Seat, Snapshot, chat_with, life
from tests.tui.picture import cells
from tui.settings import Settings
from tui.themes import LIGHT

Drive = Callable[..., None]
MakeRun = Callable[..., Run]


@pytest.fixture
def three_runs(make_run: MakeRun) -> list[Run]:
    """One finished, one failed, one that 'runs': this process owns it."""
    runs = [make_run("old", life(100, 100, FINISHED)), make_run("bad", life(39, 100, FAILED)), make_run("live", life(60))]
    launch.claim(runs[-1].folder)
    return runs


def test_home_empty(drive: Drive, snapshot: Snapshot) -> None:
    async def scene(seat: Seat) -> None:
        assert "Press  t  to try it" in seat.text()
        await snapshot("home-empty", seat)

    drive(scene)


def test_home_full(drive: Drive, snapshot: Snapshot, three_runs: list[Run]) -> None:
    async def scene(seat: Seat) -> None:
        text = seat.text()
        assert "running" in text and "failed" in text and "finished" in text
        await snapshot("home-full", seat, (80, 24), (120, 40), (200, 60))

    drive(scene)


def test_home_in_ascii(drive: Drive, snapshot: Snapshot, three_runs: list[Run]) -> None:
    async def scene(seat: Seat) -> None:
        assert seat.text().isascii()
        await snapshot("home-ascii", seat, (80, 24))

    drive(scene, ascii_only=True)


def test_without_colours(drive: Drive, snapshot: Snapshot, three_runs: list[Run], monkeypatch: pytest.MonkeyPatch) -> None:
    from tui.screens.run import RunScreen

    monkeypatch.setenv("NO_COLOR", "1")

    def colours(seat: Seat) -> set[str]:
        return {colour for row in cells(seat.app) for cell in row for colour in re.findall("#[0-9a-f]{6}", f"{cell.ink} {cell.ground}")}

    async def scene(seat: Seat) -> None:
        assert all(colour[1:3] == colour[3:5] == colour[5:] for colour in colours(seat)), "only greys"
        await snapshot("home-mono", seat, (80, 24))
        await seat.app.push_screen(RunScreen(three_runs[1]))
        await seat.settle()
        assert all(colour[1:3] == colour[3:5] == colour[5:] for colour in colours(seat)), "only greys"
        await snapshot("run-mono", seat, (80, 24))
        await seat.press("f2")
        await snapshot("run-mono-light", seat, (80, 24))

    drive(scene)


def test_run_in_ascii_and_in_light(drive: Drive, snapshot: Snapshot, three_runs: list[Run], workspace: Workspace) -> None:
    from tui.screens.run import RunScreen

    async def scene(seat: Seat) -> None:
        await seat.app.push_screen(RunScreen(three_runs[0]))
        await seat.settle()
        for key, name in (("1", "charts"), ("2", "more"), ("3", "answers")):
            await seat.press(key)
            assert seat.text().isascii()
            await snapshot(f"run-ascii-{name}", seat, (80, 24))
        await seat.press("question_mark")
        assert seat.text().isascii()
        await snapshot("help-ascii", seat, (80, 24))

    drive(scene, ascii_only=True)

    Settings(theme=LIGHT, toured=True).save(workspace.path / "app.json")

    async def light(seat: Seat) -> None:
        await snapshot("home-light", seat, (80, 24))
        await seat.app.push_screen(RunScreen(three_runs[0]))
        await seat.settle()
        await snapshot("run-light", seat, (120, 40))

    drive(light)


@pytest.mark.parametrize("name", ["old", "bad", "live"])
def test_run(drive: Drive, snapshot: Snapshot, three_runs: list[Run], name: str) -> None:
    from tui.screens.run import RunScreen

    async def scene(seat: Seat) -> None:
        await seat.app.push_screen(RunScreen(next(run for run in three_runs if run.name == name)))
        await seat.settle()
        await snapshot(f"run-{name}", seat)
        if name == "old":
            await seat.press("2")
            await snapshot("run-more", seat)
            await seat.press("3")
            await snapshot("run-answers", seat)

    drive(scene)


def test_dialogs(drive: Drive, snapshot: Snapshot) -> None:
    from tui.dialogs.ask import Confirm
    from tui.dialogs.error import ErrorDialog

    async def scene(seat: Seat) -> None:
        await seat.press("question_mark")
        await snapshot("help", seat)
        await seat.press("escape")
        await seat.app.push_screen(ErrorDialog(EdgeTuneError("It [b]broke[/b]", "\x1b[31mwhy\x1b[0m", "Do [this].")))
        await seat.pilot.pause()
        assert "It [b]broke[/b]" in seat.text() and "Do [this]." in seat.text()
        await snapshot("error", seat)
        await seat.press("escape")
        await seat.app.push_screen(Confirm("Delete it? This cannot be undone.", "Delete"))
        await seat.pilot.pause()
        await snapshot("confirm", seat)

    drive(scene)


def test_new_run(drive: Drive, snapshot: Snapshot, facts: Path) -> None:
    shutil.copy(facts, Path.cwd() / "facts.jsonl")

    async def scene(seat: Seat) -> None:
        await seat.press("n")
        await snapshot("new-model", seat)
        await seat.press("enter")
        await snapshot("new-data-empty", seat)
        await seat.press("down", "enter")
        await snapshot("new-data", seat)
        await seat.press("ctrl+n")
        assert "Teach facts or a style" in seat.text() and "sft, preset balanced" in seat.text()
        await seat.press("enter")
        await snapshot("new-recipe", seat)
        await seat.press("v")
        shown = {row.value for row in seat.app.screen.query_one("RecipeStep DataTable", DataTable).rows}
        assert {"weight_decay", "rslora"} < shown and not {"label_smoothing", "simpo_gamma", "reward"} & shown
        await seat.press("ctrl+n")
        assert "It can start." in seat.text() and "weights" in seat.text()
        await seat.press("ctrl+n")
        text = seat.text()
        assert "Start training" in text

    drive(scene)


def test_compare(drive: Drive, snapshot: Snapshot, make_run: MakeRun) -> None:
    make_run("one", life(100, 100, FINISHED))
    make_run("two", life(60), rank=8, epochs=1.0)

    async def scene(seat: Seat) -> None:
        await seat.pilot.press("v")
        await seat.until(lambda: seat.app.screen.query(OptionList))
        await seat.press("enter")
        await seat.until(lambda: "What differs" in seat.text() and "rank" in seat.text())
        await seat.settle()
        await snapshot("compare", seat)

    drive(scene)


def test_export(drive: Drive, snapshot: Snapshot, three_runs: list[Run], monkeypatch: pytest.MonkeyPatch) -> None:
    from edgetune.estimate import generation_speed
    from tui.screens.export import Export

    monkeypatch.setattr(generation_speed, "bandwidth", lambda: 1e10)  # every machine has another
    monkeypatch.setattr(generation_speed, "UNPACK_SECONDS", 0.0)

    async def scene(seat: Seat) -> None:
        await seat.app.push_screen(Export(three_runs[0]))
        await seat.settle()
        await snapshot("export", seat)

    drive(scene)


def test_rank(drive: Drive, snapshot: Snapshot, nano_gguf: Path, opposites: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import threading

    from edgetune.sessions.live_ranking import LiveRanking
    from edgetune.sessions.models import Model
    from edgetune.sessions.vote_plan import VotePlan
    from tui.pages.voting import DONE, FAILED, READY
    from tui.screens.rank import Rank

    opposites.write_text("What is the opposite of hot?\n", encoding="utf-8")
    plan = VotePlan([Model("file", str(nano_gguf))], "file", str(opposites), count=4, max_tokens=40)
    real, loaded = LiveRanking.open, threading.Event()

    def slow(self: LiveRanking, paths: list[Path]) -> None:
        assert loaded.wait(60)
        real(self, paths)

    async def scene(seat: Seat) -> None:
        await seat.press("k")
        await snapshot("rank-setup", seat)
        monkeypatch.setattr(LiveRanking, "open", slow)
        screen = Rank(plan)
        await seat.app.push_screen(screen)
        await seat.until(lambda: "loading …" in seat.text())
        loaded.set()
        await seat.until(lambda: screen.status == READY)
        await seat.pilot.press("2")
        await snapshot("rank-full", seat)
        await seat.press("1", "4", "enter")
        await seat.until(lambda: screen.status == DONE)
        await snapshot("rank-done", seat)
        screen = Rank(VotePlan([Model("file", str(nano_gguf))], "file", "gone.txt"))
        await seat.app.push_screen(screen)
        await seat.until(lambda: screen.status == FAILED)
        await snapshot("rank-failed", seat)

    drive(scene)


def test_arena(drive: Drive, snapshot: Snapshot, nano_gguf: Path, nano_q4: Path, opposites: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import threading

    from edgetune.sessions.live_arena import LiveArena
    from edgetune.sessions.models import Model
    from tui.pages.voting import DONE, FAILED, READY
    from tui.screens.arena import ArenaScreen

    models = [Model("file", str(nano_gguf)), Model("file", str(nano_q4))]
    plan = VotePlan(models, "file", str(opposites), temperature=1.0, max_tokens=40, into="arena")
    words = ["hot", "big", "up", "fast", "day", "old", "open", "happy", "early", "full", "rich", "soft"]
    opposites.write_text("".join(f"What is the opposite of {word}?\n" for word in words), encoding="utf-8")
    real, go = LiveArena.write, threading.Event()

    def slow(self: LiveArena, progress: Callable[[int, int, int], None]) -> int:
        progress(1, 3, 4)
        assert go.wait(60)
        return real(self, progress)

    async def scene(seat: Seat) -> None:
        await seat.press("a")
        await snapshot("arena-setup", seat)
        monkeypatch.setattr(LiveArena, "write", slow)
        screen = ArenaScreen(plan)
        await seat.app.push_screen(screen)
        await seat.until(lambda: "model 1 of 2 answers: 3 of 4" in seat.text())
        go.set()
        await seat.until(lambda: screen.status == READY)
        await snapshot("arena-none", seat)
        await seat.press("1")
        assert screen.status == READY, "there is more to compare"
        await snapshot("arena-full", seat)
        while screen.status == READY:
            await seat.press("t")
        assert screen.status == DONE
        await snapshot("arena-done", seat)
        screen = ArenaScreen(VotePlan(models[:1], "file", str(opposites), into="arena"))
        await seat.app.push_screen(screen)
        await seat.until(lambda: screen.status == FAILED)
        await snapshot("arena-failed", seat)

    drive(scene)


def test_chat(drive: Drive, snapshot: Snapshot, nano_gguf: Path) -> None:
    from dataclasses import replace

    from tui.dialogs.second_answer import SecondAnswer
    from tui.widgets.prompt import Prompt

    async def scene(seat: Seat) -> None:
        chat, talk = await chat_with(seat, nano_gguf)
        await snapshot("chat-empty", seat)
        await seat.press("f9")
        await snapshot("chat-adapters", seat)
        await seat.press("escape")
        talk.settings.sampling = replace(talk.settings.sampling, seed=3, temperature=1.0)
        chat.query_one(Prompt).text = "What is the opposite of hot?"
        await seat.press("enter")
        await seat.pilot.press("f4")
        await seat.until(lambda: isinstance(seat.app.screen, SecondAnswer) and seat.app.screen.ready)
        await snapshot("chat-second", seat)

    drive(scene)
