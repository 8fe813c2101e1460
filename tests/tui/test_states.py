"""Further states of the screens as pictures: what is seldom seen, is under way, or went wrong."""

import json
import os
import shutil
import signal
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from textual.widgets import Input

from edgetune.chat import saved
from edgetune.chat.branches import Branches, Turn
from edgetune.runs import launch
from edgetune.sessions.live_ranking import LiveRanking
from edgetune.sessions.vote_plan import VotePlan
from edgetune.storage.workspace import Run, Workspace
from tests.tui.conftest import FAILED, FINISHED, Seat, Snapshot, chat_with, draft_of, life
from tests.tui.held import Halting
from tests.tui.replay import Replay
from tui.dialogs.error import ErrorDialog
from tui.dialogs.help import Help
from tui.screens.new_run import NewRun
from tui.widgets.bubbles import Reply
from tui.widgets.prompt import Prompt

Drive = Callable[..., None]
MakeRun = Callable[..., Run]
pytestmark = pytest.mark.usefixtures("steady")
STOPPED = {"kind": "stopped", "step": 48}


@pytest.fixture
def keeper(make_run: MakeRun) -> Run:
    """A finished run."""
    return make_run("keeper", life(100, 100, FINISHED))


async def opened(seat: Seat, screen: object) -> None:
    """A screen in front."""
    await seat.app.push_screen(screen)  # type: ignore[call-overload]
    await seat.settle()


async def dialog(seat: Seat, kind: type = ErrorDialog) -> None:
    """Wait for a dialog."""
    await seat.until(lambda: isinstance(seat.app.screen, kind))


def test_home_in_every_state(drive: Drive, snapshot: Snapshot, make_run: MakeRun, keeper: Run) -> None:
    kept = make_run("lighthouse-keeper-of-the-northern-island", life(100, 100, FINISHED))
    for run, files in ((keeper, ("Q4_K_M", "Q8_0")), (kept, ("Q4_K_M",))):
        run.exports.mkdir()
        for kind in files:
            (run.exports / f"{run.name}-{kind}.gguf").write_bytes(b"GGUF" * 900)
    make_run("stopped", life(48, 100, STOPPED))
    make_run("interrupted", life(31))
    make_run("failed", life(39, 100, FAILED))
    waiting, stopping = make_run("waiting", [{"kind": "waiting"}]), make_run("stopping", life(70))
    for run in (waiting, stopping):
        launch.claim(run.folder)
    launch.request_stop(stopping)
    (make_run("damaged", life(3)).folder / "request.json").write_text("{", encoding="utf-8")

    async def scene(seat: Seat) -> None:
        for status in ("stopped", "interrupted", "failed", "waiting", "stopping", "damaged", "finished"):
            assert f" {status} " in seat.text()
        await seat.press("end")
        await snapshot("home-states", seat)
        await seat.press("slash", "z", "q")
        assert "interrupted" not in seat.text()
        await snapshot("home-filter", seat)

    drive(scene)


def test_home_the_first_time(drive: Drive, snapshot: Snapshot) -> None:
    async def scene(seat: Seat) -> None:
        await snapshot("home-tour", seat)

    drive(scene, first=True)


def test_run_before_and_between(drive: Drive, snapshot: Snapshot, make_run: MakeRun) -> None:
    from tui.screens.run import RunScreen

    begun, paused = make_run("begun", [{"kind": "launched"}]), make_run("paused", life(48, 100, STOPPED))
    bad = make_run("bad", life(39, 100, FAILED))
    launch.claim(begun.folder)

    async def scene(seat: Seat) -> None:
        for run in (begun, paused):
            await opened(seat, RunScreen(run))
            await snapshot(f"run-{run.name}", seat)
            if run is begun:
                await seat.press("3")
                await snapshot("run-answers-empty", seat)
            await seat.press("escape")
        await opened(seat, RunScreen(bad))
        await seat.press("w")
        await snapshot("run-why", seat)

    drive(scene)


def test_new_run_steps(drive: Drive, snapshot: Snapshot, facts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copy(facts, Path.cwd() / "facts.jsonl")

    async def scene(seat: Seat) -> None:
        await seat.press("n", "enter")
        await seat.press("down", "enter")
        await seat.press("ctrl+n")
        await snapshot("new-goal", seat)
        await seat.press("enter", "v")
        await snapshot("new-recipe-all", seat)
        await seat.press("v")
        busy = Replay(monkeypatch, "tui.steps.fit", "fit", "check", held=2)
        await seat.pilot.press("ctrl+n")
        await seat.until(lambda: "weights" in seat.text() and "data: good" in seat.text())
        busy.go.set()
        await seat.settle()
        assert "It can start." in seat.text()
        await snapshot("new-fit", seat)
        Replay(monkeypatch, "tui.steps.fit", "too-much", "check")
        await seat.press("g")
        assert "Press a for the smallest change" in seat.text()
        await snapshot("new-fit-too-much", seat)
        screen = seat.app.screen
        assert isinstance(screen, NewRun)
        screen.draft.data = ["/home/ada/examples/facts.jsonl"]
        await seat.press("ctrl+n")
        await snapshot("new-start", seat)
        await seat.press("shift+tab")
        await seat.write("keeper")
        await seat.settle()
        await snapshot("new-start-full", seat)
        await seat.write("/")
        await seat.settle()
        await snapshot("new-start-wrong", seat)

    drive(scene)


def test_data_that_teaches_nothing(drive: Drive, snapshot: Snapshot, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [{"messages": [{"role": "user", "content": "?"}, {"role": "assistant", "content": ""}]}] * 6
    Path("hollow.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")

    async def scene(seat: Seat) -> None:
        await seat.press("x")
        await snapshot("data-empty", seat)
        await seat.press("enter")
        await snapshot("data-bad", seat)
        Replay(monkeypatch, "tui.steps.data", "unreadable")
        await seat.press("enter")
        await dialog(seat)
        await snapshot("data-failed", seat)

    drive(scene)


def test_dialogs_that_ask(drive: Drive, snapshot: Snapshot, keeper: Run) -> None:
    from tui.dialogs.choose import Choose
    from tui.dialogs.edit_answer import EditAnswer

    async def scene(seat: Seat) -> None:
        await seat.pilot.press("r")
        await seat.until(lambda: seat.app.screen.query("AskText Input"))
        await snapshot("ask", seat)
        await seat.pilot.press("f1")
        assert isinstance(seat.app.screen, Help) and "Type it and press Enter." in seat.text()
        await seat.pilot.press("escape")
        seat.app.screen.query_one(Input).value = "no/name"
        await seat.press("enter")
        await snapshot("ask-wrong", seat)
        await seat.press("escape")
        await opened(seat, Choose("Prompts", ["a file of prompts", "questions of kept talks", "what the model proposes"]))
        await snapshot("choose", seat)
        await seat.press("escape")
        await opened(seat, EditAnswer("Seven. That is the number of the door."))
        await snapshot("edit-answer", seat)
        await seat.press("escape")
        await seat.press("ctrl+p")
        await seat.settle()
        await snapshot("palette", seat)

    drive(scene)


def test_export_under_way_and_after(drive: Drive, snapshot: Snapshot, keeper: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    from edgetune.estimate import generation_speed
    from tui.screens.export import Export

    monkeypatch.setattr(generation_speed, "bandwidth", lambda: 1e10)
    monkeypatch.setattr(generation_speed, "UNPACK_SECONDS", 0.0)

    async def scene(seat: Seat) -> None:
        await opened(seat, Export(keeper))
        busy = Replay(monkeypatch, "tui.screens.export", "export", held=16)
        await seat.pilot.press("w")
        await seat.until(lambda: "behaviour passed" in seat.text())
        await snapshot("export-busy", seat, busy="write")
        busy.go.set()
        await seat.settle()
        await snapshot("export-done", seat)
        Replay(monkeypatch, "tui.screens.export", "not-proven")
        await seat.pilot.press("w")
        await dialog(seat)
        await snapshot("export-failed", seat)

    drive(scene)


MARKDOWN = """Take the **ferry**; it leaves on Thursday.

1. Buy a ticket at the *pier*.
2. Ask for `the keeper`.

| boat | day |
|---|---|
| mail | Monday |
| ferry | Thursday |

```python
print("Biscuit")
```
"""


def kept(workspace: Workspace) -> None:
    """Two conversations, one with branches."""
    turns = [Turn("user", "How do I get to the island?"), Turn("assistant", "Swim.", 0), Turn("assistant", MARKDOWN, 0)]
    turns += [Turn("user", "What is the name of the cat?", 2), Turn("assistant", "Biscuit. Every helper of the keeper knows that.", 3)]
    saved.save(workspace.conversations / "20260102-100000-1.json", "keeper-Q4_K_M.gguf", "", Branches(turns))
    turns = [Turn("user", "What is the opposite of hot?"), Turn("assistant", "Cold.", 0)]
    saved.save(workspace.conversations / "20260101-100000-1.json", "nano.gguf", "Be short.", Branches(turns))
    for number, path in enumerate(sorted(workspace.conversations.iterdir())):
        os.utime(path, (number, number))


def test_chat_in_every_state(
    drive: Drive, snapshot: Snapshot, workspace: Workspace, nano_gguf: Path, halting: Halting, keeper: Run
) -> None:

    async def scene(seat: Seat) -> None:
        chat, talk = await chat_with(seat, nano_gguf, temperature=0.0, seed=1)
        await seat.press("f3")
        await snapshot("talks-empty", seat)
        await seat.press("escape")
        kept(workspace)
        halting.halt()
        chat.query_one(Prompt).text = "What is the number of the boat?"
        await seat.pilot.press("enter")
        await seat.until(lambda: chat.query(Reply) and len(chat.query_one(Reply).markdown.source) == Halting.SIGNS)
        await snapshot("chat-busy", seat, busy="talk")
        halting.go()
        await seat.settle()
        await seat.press("f3")
        await snapshot("talks", seat)
        await seat.press("down", "enter")
        await seat.until(lambda: len(chat.query(Reply)) == 2)
        await seat.press("ctrl+up", "ctrl+up", "ctrl+up")
        await snapshot("chat-full", seat)
        await seat.press("ctrl+t")
        await snapshot("chat-ways", seat)
        await seat.press("escape")
        os.kill(talk.load().pid, signal.SIGKILL)
        chat.query_one(Prompt).text = "Hello?"
        await seat.pilot.press("enter")
        await dialog(seat)
        await snapshot("chat-failed", seat)

    drive(scene)


def test_adapters(drive: Drive, snapshot: Snapshot, workspace: Workspace, nano: Path, nano_gguf: Path, keeper: Run, tmp_path: Path) -> None:
    from tests.tui.test_chat import make_lora
    from tui.dialogs.choose_models import ChooseModels

    keeper.adapter.mkdir()
    (keeper.adapter / "adapter_config.json").write_text("{}", encoding="utf-8")

    async def scene(seat: Seat) -> None:
        _, talk = await chat_with(seat, nano_gguf)
        talk.set_adapter(make_lora(nano, tmp_path), 0.8)
        await seat.press("f9")
        await snapshot("chat-adapters-full", seat)
        await seat.press("escape")
        await seat.pilot.press("ctrl+g")
        await dialog(seat, ChooseModels)
        await seat.settle()
        await snapshot("models", seat)

    drive(scene)


def test_two_models(drive: Drive, snapshot: Snapshot, nano_gguf: Path, nano_q4: Path) -> None:
    from edgetune.sessions.models import Model
    from tui.screens.versus import Versus

    async def scene(seat: Seat) -> None:
        versus = Versus(None, (Model("file", str(nano_gguf)), Model("file", str(nano_q4))))
        await seat.app.push_screen(versus)
        await seat.until(lambda: len(versus.sessions) == 2)
        for talk in versus.sessions:
            talk.settings.sampling = replace(talk.settings.sampling, seed=1)
        await snapshot("versus-empty", seat)
        versus.query_one(Prompt).text = "What is the opposite of hot?"
        await seat.press("enter")
        await snapshot("versus", seat)
        await opened(seat, Versus(None, (Model("file", "gone.gguf"), Model("file", str(nano_q4)))))
        await dialog(seat)
        await snapshot("versus-failed", seat)

    drive(scene)


def test_getting_a_model(drive: Drive, snapshot: Snapshot, monkeypatch: pytest.MonkeyPatch) -> None:
    from tui.dialogs.ask import Consent
    from tui.dialogs.fetch import Fetch

    async def scene(seat: Seat) -> None:
        await seat.press("n", "g")
        await snapshot("fetch", seat)
        busy = Replay(monkeypatch, "tui.dialogs.fetch", "offered", "fetched", held=7)
        fetch = seat.app.screen
        assert isinstance(fetch, Fetch)
        fetch.query_one("#wanted", Input).value = "acme/small"
        await seat.pilot.press("enter")
        await dialog(seat, Consent)
        await snapshot("fetch-asked", seat, busy="fetch")
        await seat.pilot.press("y")
        await seat.until(lambda: "model.safetensors" in seat.text())
        await snapshot("fetch-busy", seat, busy="fetch")
        await seat.pilot.press("escape")
        await seat.until(lambda: "What came is kept" in seat.text())
        await snapshot("fetch-stopped", seat)
        assert not busy.go.is_set() and "base" in draft_of(seat.app.workspace)

    drive(scene)


def test_doctor_and_settings(drive: Drive, snapshot: Snapshot, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene(seat: Seat) -> None:
        doctor = Replay(monkeypatch, "tui.screens.doctor", "doctor", "doctor")
        await seat.press("o")
        await snapshot("doctor", seat)
        doctor.records[0]["document"]["packages"]["llama-cpp-python"] = None
        doctor.records[0]["document"]["missing"] = ["llama-cpp-python"]
        await seat.press("g")
        await seat.press("end")
        await snapshot("doctor-failed", seat)
        await seat.press("escape")
        await seat.press("s")
        await snapshot("settings", seat)

    drive(scene)


def test_voting_under_way(
    drive: Drive, snapshot: Snapshot, nano_gguf: Path, nano_q4: Path, opposites: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from edgetune.sessions.live_arena import LiveArena
    from edgetune.sessions.models import Model
    from tui.screens.arena import ArenaScreen
    from tui.screens.rank import Rank

    models, go, real = [Model("file", str(nano_gguf)), Model("file", str(nano_q4))], threading.Event(), LiveArena.write
    opposites.write_text("What is the opposite of hot?\n", encoding="utf-8")

    def held(self: LiveRanking, paths: list[Path]) -> None:
        go.wait(60)

    def write(self: LiveArena, progress: Callable[[int, int, int], None]) -> int:
        progress(1, 3, 4)
        go.wait(60)
        return real(self, progress)

    async def scene(seat: Seat) -> None:
        monkeypatch.setattr(LiveRanking, "open", held)
        await seat.app.push_screen(Rank(VotePlan(models[:1], "file", str(opposites), count=4)))
        await seat.until(lambda: "loading …" in seat.text())
        await snapshot("rank-busy", seat, busy="voting")
        monkeypatch.setattr(LiveArena, "write", write)
        await seat.app.push_screen(ArenaScreen(VotePlan(models, "file", str(opposites), into="arena", max_tokens=20)))
        await seat.until(lambda: "3 of 4" in seat.text())
        await snapshot("arena-busy", seat, busy="voting")
        go.set()
        await seat.settle()

    drive(scene)
