"""The whole way in the app, on the real engine with the bundled model: new run, training, export, chat; left and re-attached."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

from textual.widgets import Input

from edgetune.runs import launch
from edgetune.storage.workspace import Workspace
from tests.tui.conftest import Seat, draft_of
from tui.dialogs.ask import AskText
from tui.dialogs.conversations import Conversations
from tui.screens.chat import Chat
from tui.screens.export import Export
from tui.screens.home import Home
from tui.screens.new_run import NewRun
from tui.screens.run import RunScreen
from tui.screens.versus import Versus
from tui.widgets.bubbles import Reply
from tui.widgets.prompt import Prompt

Drive = Callable[..., None]


def test_new_run_to_chat(drive: Drive, workspace: Workspace, facts: Path) -> None:
    shutil.copy(facts, Path.cwd() / "facts.jsonl")

    async def begin(seat: Seat) -> None:
        await seat.press("n")
        await seat.press("ctrl+n")
        assert "Choose a base first" in seat.text(), "a step must be valid before the next"
        await seat.press("enter")
        await seat.press("down", "enter")
        screen = seat.app.screen
        assert isinstance(screen, NewRun) and screen.draft.kind == "conversation"
        assert "good with warnings" in seat.text(), "each of the facts stands there three times"
        await seat.press("ctrl+n")
        await seat.press("enter")
        assert screen.at == 3
        await change(seat, "max_steps", "6")
        await change(seat, "batch_size", "2")

    async def change(seat: Seat, name: str, value: str) -> None:
        listing = seat.app.screen.query_one("#options")
        row = next(number for number, line in enumerate(listing.lines) if line.key == name)  # type: ignore[attr-defined]
        listing.table.move_cursor(row=row)  # type: ignore[attr-defined]
        await seat.pilot.press("enter")
        await seat.until(lambda: seat.app.screen.query(Input))
        seat.app.screen.query_one(Input).value = value
        await seat.press("enter")

    drive(begin)
    kept = draft_of(workspace)
    assert kept["options"]["max_steps"] == 6 and kept["options"]["batch_size"] == 2 and kept["step"] == 3

    async def go_on(seat: Seat) -> None:
        await seat.press("n")
        screen = seat.app.screen
        assert isinstance(screen, NewRun) and screen.at == 3, "it goes on where it was left"
        assert "* max steps" in seat.text()
        await seat.press("ctrl+n")
        assert "It can start." in seat.text()
        await seat.press("ctrl+n")
        await seat.write("first")
        await seat.press("tab", "shift+tab", "ctrl+s")
        assert isinstance(seat.app.screen, RunScreen)

    drive(go_on, (120, 40))
    assert not (workspace.path / "draft.json").exists()
    run = workspace.runs()[0]

    async def attach(seat: Seat) -> None:
        await seat.until(lambda: "finished" in seat.text() or "failed" in seat.text())
        await seat.press("enter")
        screen = seat.app.screen
        assert isinstance(screen, RunScreen)
        await seat.until(lambda: screen.status == "finished")
        assert "6/6 steps" in seat.text()
        assert len(screen.history.curves["loss"]) == 6
        await seat.press("e")
        export = seat.app.screen
        assert isinstance(export, Export)
        offered = export.offers["Q4_K_M"]
        assert offered.speed > 1 and not offered.measured and "Loss 0.031: published" in seat.text()
        for place in ("ctrl+end", "up"):  # llama-server, LM Studio
            await seat.pilot.press(place)
        await seat.press("space", "w")
        assert "Q4_K_M" in seat.text() and (run.exports / f"{run.name}-Q4_K_M.gguf").is_file()
        assert (run.exports / f"{run.name}-Q4_K_M-lmstudio").is_dir()
        checks = ["text", "weights", "meaning", "behaviour"]
        assert [line.split(": ")[1].split(" ")[0:2] for line in export.findings] == [[check, "passed"] for check in checks]
        proof = json.loads((run.exports / f"{run.name}-Q4_K_M.proof.json").read_text(encoding="utf-8"))
        offered = export.offers["Q4_K_M"]
        assert offered.proven and offered.measured and offered.loss == proof["checks"]["behaviour"]["figures"]["kl_mean"]
        await seat.press("c")
        chat = seat.app.screen
        assert isinstance(chat, Chat) and chat.session is not None
        await seat.write("What is the number of the door?")
        await seat.press("enter")
        assert chat.session.questions == 1
        first = chat.query_one(Reply).markdown.source
        assert first.strip()
        await seat.press("ctrl+r")
        assert chat.session.questions == 1 and len(chat.query(Reply)) == 1
        await seat.press("ctrl+o")
        assert chat.query_one(Prompt).text == "What is the number of the door?" and not chat.query(Reply)
        await seat.press("enter")
        assert len(chat.query(Reply)) == 1
        said = list(chat.session.messages)
        await seat.press("f5")
        await seat.until(lambda: isinstance(seat.app.screen, AskText))
        seat.app.screen.query_one(Input).value = "mine.jsonl"
        await seat.press("enter")
        await seat.until(lambda: Path("mine.jsonl").is_file())
        assert json.loads(Path("mine.jsonl").read_text(encoding="utf-8")) == {"messages": said}
        await seat.press("ctrl+l")
        assert not chat.query(Reply) and not chat.session.messages
        await seat.press("f3")
        await seat.until(lambda: isinstance(seat.app.screen, Conversations))
        await seat.settle()
        await seat.press("enter")
        await seat.until(lambda: len(chat.query(Reply)) == 1)
        assert chat.session.messages == said
        engine = chat.session.load()
        await seat.press("escape")
        await seat.until(lambda: not engine._child.alive)
        assert isinstance(seat.app.screen, Export)
        await seat.press("escape")
        await seat.press("b")
        versus = seat.app.screen
        assert isinstance(versus, Versus) and len(versus.sessions) == 2
        await seat.write("What is the opposite of hot?")
        await seat.press("enter")
        assert [versus.query_one(name).query_one(Reply).markdown.source.strip() != "" for name in ("#base", "#tuned")] == [True, True]
        assert versus.sessions[0].path.parent == workspace.chat_cache and versus.sessions[1].path.parent == run.exports
        await seat.press("escape", "escape")
        assert isinstance(seat.app.screen, Home)

    drive(attach)
    assert launch.state(run).status == "finished"
