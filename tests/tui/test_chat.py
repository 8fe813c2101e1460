"""The chat on the real engine with the bundled model: branches, votes on any answer, adapters turned while talking."""

import re
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from textual.widgets import Input, Static, TextArea

from edgetune.chat import saved
from edgetune.preferences import store as storing
from edgetune.preferences.candidates import alike
from edgetune.preferences.store import Store
from edgetune.sessions.chat_session import ChatSession
from edgetune.storage.workspace import Workspace
from tests.tui.conftest import Seat, chat_with
from tui.dialogs.adapters import Adapters
from tui.dialogs.ask import AskText
from tui.dialogs.edit_answer import EditAnswer
from tui.dialogs.error import ErrorDialog
from tui.dialogs.second_answer import SecondAnswer
from tui.screens.chat import Chat
from tui.widgets.bubbles import Question, Reply
from tui.widgets.listing import Listing
from tui.widgets.prompt import Prompt

Drive = Callable[..., None]
HOT, BIG, UP = (f"What is the opposite of {word}?" for word in ("hot", "big", "up"))


async def opened(seat: Seat, path: Path, seed: int | None = None) -> tuple[Chat, ChatSession]:
    """A chat with the model loaded, short answers."""
    chat, talk = await chat_with(seat, path, temperature=1.0, seed=seed)
    talk.settings.max_tokens = 30
    return chat, talk


async def ask(seat: Seat, text: str) -> None:
    seat.app.screen.query_one(Prompt).text = text
    await seat.press("enter")


def test_branches_are_made_switched_and_kept(drive: Drive, workspace: Workspace, nano_gguf: Path) -> None:
    async def scene(seat: Seat) -> None:
        chat, talk = await opened(seat, nano_gguf)
        await ask(seat, HOT)
        await ask(seat, BIG)
        first = list(talk.messages)
        await seat.press("ctrl+r")
        second = list(talk.messages)
        assert second[:3] == first[:3] and talk.branches.branch_number(talk.branches.tip) == (2, 2)
        assert "branch 2/2" in seat.text() and len(chat.query(Reply)) == 2
        await seat.press("ctrl+n")
        assert talk.messages == first and "branch 1/2" in seat.text()
        await seat.press("ctrl+up", "ctrl+up", "ctrl+up", "ctrl+up")
        assert chat.query(Question).first().has_class("-selected")
        await seat.press("ctrl+o")
        assert chat.query_one(Prompt).text == HOT and not chat.query(Reply)
        await ask(seat, UP)
        assert [m["content"] for m in talk.messages if m["role"] == "user"] == [UP] and "branch 2/2" in seat.text()
        await ask(seat, BIG)
        other = list(talk.messages)
        await seat.press("ctrl+b")
        assert talk.messages == first, "back in the branch where it was left"
        await ask(seat, UP)
        assert talk.messages[:4] == first, "the model goes on from the branch that is open"
        assert talk._conversation is not None and talk._conversation.messages == talk.messages
        [kept] = saved.list_conversations(workspace.conversations)
        assert kept.branches.turns == talk.branches.turns and kept.messages == talk.messages
        await seat.press("escape")
        chat, talk = await opened(seat, nano_gguf)
        await seat.press("f3")
        await seat.until(lambda: len(seat.app.screen.query("Listing DataTable")))
        await seat.settle()
        await seat.pilot.press("enter")
        await seat.until(lambda: talk.messages)
        assert len(talk.branches.turns) == len(kept.branches.turns)
        below = [str(static.content) for static in chat.query(".how").results(Static)]
        assert below and all(re.search(r"\d+ tokens, [\d,]+ tokens/s; .*; seed \d+$", how) for how in below), below
        await seat.press("ctrl+up", "ctrl+up", "ctrl+up", "ctrl+up", "ctrl+up", "ctrl+up", "ctrl+n")
        assert talk.messages == other, "a talk that is taken up has all its branches"

    drive(scene, (120, 40))


def test_votes_on_any_answer(drive: Drive, workspace: Workspace, nano_gguf: Path) -> None:
    votes = Store(workspace.preferences / "prefs.jsonl")

    async def scene(seat: Seat) -> None:
        chat, talk = await opened(seat, nano_gguf)
        talk.settings.system = "Be short."
        await ask(seat, HOT)
        await ask(seat, BIG)
        answers = [m["content"] for m in talk.messages if m["role"] == "assistant"]
        await seat.press("f7")
        assert "thumb down: saved in prefs" in seat.text()
        await seat.press("ctrl+up", "ctrl+up", "ctrl+up", "f6")
        down, up = votes.votes()
        assert (down.choice.value, down.candidates[0].text) == (False, answers[1])
        assert (up.choice.value, up.candidates[0].text) == (True, answers[0])
        assert [m["content"] for m in up.prompt] == ["Be short.", HOT] and len(down.prompt) == 4
        assert up.candidates[0].model == nano_gguf.stem and up.candidates[0].sampling["temperature"] == 1.0
        await seat.press("f8")
        await seat.until(lambda: isinstance(seat.app.screen, EditAnswer))
        seat.app.screen.query_one(TextArea).text = answers[0]
        await seat.press("ctrl+s")
        await seat.until(lambda: isinstance(seat.app.screen, ErrorDialog))
        assert "changes nothing" in seat.text() and len(votes.votes()) == 2
        await seat.press("escape")
        await seat.press("ctrl+up", "ctrl+up", "ctrl+up", "f8")
        await seat.until(lambda: isinstance(seat.app.screen, EditAnswer))
        seat.app.screen.query_one(TextArea).text = "Cold, that is all."
        await seat.press("ctrl+s")
        await seat.until(lambda: talk.messages[-1]["content"] == "Cold, that is all.")
        await seat.settle()
        assert votes.votes()[2].pairs()[0][0].text == "Cold, that is all." and "your version: saved" in seat.text()
        await seat.press("ctrl+n")
        assert talk.messages[1]["content"] == answers[0] and len(talk.messages) == 4, "the old branch is still there"
        assert chat.query(Reply)
        await seat.press("ctrl+t")
        ways = seat.app.screen
        table = ways.query_one(Listing).table
        table.move_cursor(row=table.row_count - 1)
        await seat.pilot.press("enter")
        await seat.until(lambda: isinstance(seat.app.screen, AskText))
        for name, taken in (("../prefs", False), ("curt", True)):
            seat.app.screen.query_one(Input).value = name
            await seat.press("enter")
            assert (seat.app.screen is ways) == taken
        await seat.press("escape", "f6")
        assert "thumb up: saved in curt" in seat.text() and talk.settings.sampling.seed is None
        assert len(Store(workspace.preferences / "curt.jsonl").votes()) == 1 and len(votes.votes()) == 3

    drive(scene, (120, 40))


def test_a_question_that_cannot_be_taken_leaves_the_branches_right(drive: Drive, nano_gguf: Path) -> None:
    async def scene(seat: Seat) -> None:
        chat, talk = await opened(seat, nano_gguf)
        await ask(seat, HOT)
        await ask(seat, "word " * 2000)
        assert isinstance(seat.app.screen, ErrorDialog) and "too long" in seat.text()
        await seat.press("escape")
        await ask(seat, BIG)
        assert [m["content"] for m in talk.messages if m["role"] == "user"] == [HOT, BIG]
        assert [reply.at for reply in chat.query(Reply)] == [1, None, 3]
        assert [question.at for question in chat.query(Question)] == [0, None, 2]

    drive(scene)


@pytest.mark.parametrize(("key", "value"), [("1", "left"), ("2", "right"), ("t", "tie"), ("b", "bad")])
def test_a_second_answer_beside_the_first(drive: Drive, workspace: Workspace, nano_gguf: Path, key: str, value: str) -> None:
    async def scene(seat: Seat) -> None:
        chat, talk = await opened(seat, nano_gguf, seed=3)
        await ask(seat, HOT)
        first = talk.messages[-1]["content"]
        await seat.press("f4")
        second = seat.app.screen
        assert isinstance(second, SecondAnswer)
        await seat.until(lambda: second.ready)
        await seat.pilot.press(key)
        await seat.until(lambda: seat.app.screen is chat)
        await seat.settle()
        [vote] = Store(workspace.preferences / "prefs.jsonl").votes()
        one, other = (candidate.text for candidate in vote.candidates)
        assert vote.choice.value == value and one == first and not alike(one, other)
        assert talk.messages[-1]["content"] == (other if value == "right" else first)
        assert talk.branches.branch_number(talk.branches.tip)[1] == 2 and "saved in prefs" in seat.text()

    drive(scene)


def test_leaving_the_second_answer_leaves_all_as_it_was(drive: Drive, workspace: Workspace, nano_gguf: Path) -> None:
    async def scene(seat: Seat) -> None:
        chat, talk = await opened(seat, nano_gguf)
        await ask(seat, HOT)
        before = list(talk.branches.turns)
        await seat.pilot.press("f4")
        await seat.until(lambda: isinstance(seat.app.screen, SecondAnswer))
        await seat.pilot.press("escape")
        await seat.until(lambda: seat.app.screen is chat)
        await seat.settle()
        assert talk.branches.turns[:2] == before and talk.messages == [turn.message for turn in before]
        await ask(seat, BIG)
        assert len(talk.messages) == 4 and not (workspace.preferences / "prefs.jsonl").exists()

    drive(scene)


def test_keys_are_answered_while_a_vote_is_written(drive: Drive, nano_gguf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk, threads = threading.Event(), list[threading.Thread]()
    real = storing.append_synced

    def slow(path: Path, line: bytes) -> None:
        threads.append(threading.current_thread())
        assert disk.wait(60)
        real(path, line)

    async def scene(seat: Seat) -> None:
        chat, _ = await opened(seat, nano_gguf)
        await ask(seat, HOT)
        monkeypatch.setattr(storing, "append_synced", slow)
        await seat.pilot.press("f6")
        await seat.until(lambda: threads)
        await seat.write("hello")
        assert chat.query_one(Prompt).text == "hello" and "thumb up" not in seat.text()
        disk.set()
        await seat.until(lambda: "thumb up: saved in prefs" in seat.text())
        assert threads[0] is not threading.main_thread()

    drive(scene, (120, 40))


def test_adapters_are_turned_without_loading_again(drive: Drive, workspace: Workspace, nano: Path, nano_gguf: Path, tmp_path: Path) -> None:
    lora = make_lora(nano, tmp_path)

    async def scene(seat: Seat) -> None:
        _, talk = await opened(seat, nano_gguf, seed=1)
        pid = talk.load().pid
        await ask(seat, HOT)
        plain = talk.messages[-1]["content"]
        await seat.press("f9")
        assert isinstance(seat.app.screen, Adapters)
        await seat.pilot.press("f")
        await seat.until(lambda: isinstance(seat.app.screen, AskText))
        seat.app.screen.query_one(Input).value = str(lora)
        await seat.press("enter")
        await seat.until(lambda: talk.adapters == {lora.stem: 1.0})
        await seat.press("right", "right", "left")
        assert talk.adapters == {lora.stem: 1.1} and talk.load().adapters[lora.stem].scale == 1.1
        await seat.press("escape")
        assert f"adapters: {lora.stem} 1.1" in seat.text()
        await seat.press("ctrl+r")
        assert talk.messages[-1]["content"] != plain and talk.branches.turns[-1].provenance["adapters"] == {lora.stem: 1.1}
        await seat.press("f9", "enter")
        assert talk.adapters == {lora.stem: 0.0}
        await seat.press("escape", "ctrl+r")
        assert talk.messages[-1]["content"] == plain and talk.load().pid == pid
        talk.close()
        await ask(seat, BIG)
        assert talk.load().pid != pid and list(talk.load().adapters) == [lora.stem], "a process that starts anew has them too"
        await seat.press("f9", "f")
        await seat.until(lambda: isinstance(seat.app.screen, AskText))
        seat.app.screen.query_one(Input).value = str(nano_gguf)
        await seat.press("enter")
        await seat.until(lambda: isinstance(seat.app.screen, ErrorDialog))
        assert "it is a model, not an adapter" in " ".join(seat.text().split()) and list(talk.adapters) == [lora.stem]

    drive(scene, (120, 40))


def make_lora(nano: Path, folder: Path) -> Path:
    """A GGUF LoRA for the bundled model that changes what it says: random, but large."""
    import json

    import numpy
    from safetensors.numpy import save_file

    from converters import lora

    config = json.loads((nano / "config.json").read_text(encoding="utf-8"))
    width, draw = config["hidden_size"], numpy.random.default_rng(0)
    stem = "base_model.model.model.layers.0.mlp.down_proj"
    inner = config["intermediate_size"]
    weights = {
        f"{stem}.lora_A.weight": draw.normal(size=(4, inner)).astype("float32"),
        f"{stem}.lora_B.weight": draw.normal(size=(width, 4)).astype("float32"),
    }
    adapter = folder / "adapter"
    adapter.mkdir()
    save_file(weights, adapter / "adapter_model.safetensors")
    settings = {"peft_type": "LORA", "r": 4, "lora_alpha": 4, "target_modules": ["down_proj"], "task_type": "CAUSAL_LM"}
    (adapter / "adapter_config.json").write_text(json.dumps(settings), encoding="utf-8")
    path = folder / "other.gguf"
    with open(path, "w+b") as file:
        lora.plan_lora(nano, adapter, "F32", name="other", extra={}).write(file)
    return path


def test_a_reward_model_is_not_offered_and_it_is_said_why(drive: Drive, make_run: Callable[..., object], tmp_path: Path) -> None:
    import json

    from tests.tui.conftest import FINISHED, life
    from tui.screens.run import RunScreen

    pairs = tmp_path / "pairs.jsonl"
    rows = [{"prompt": f"What is {n}?", "chosen": f"It is {n}.", "rejected": f"It is {n + 1}, I think."} for n in range(40)]
    pairs.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    run = make_run("judge", life(100, 100, FINISHED), method="reward", data=[str(pairs)])

    async def scene(seat: Seat) -> None:
        assert "Chat" not in seat.text().splitlines()[-1]
        await seat.press("c")
        assert type(seat.app.screen).__name__ == "Home"
        screen = RunScreen(run)  # type: ignore[arg-type]
        await seat.app.push_screen(screen)
        await seat.settle()
        assert screen.status == "finished" and screen.check_action("chat", ()) is False
        await seat.app.push_screen(Chat("judge"))
        await seat.until(lambda: isinstance(seat.app.screen, ErrorDialog))
        assert "judge is a reward model" in seat.text() and "gives scores, not answers" in seat.text()

    drive(scene)


def test_two_models_side_by_side(drive: Drive, nano_gguf: Path, nano_q4: Path) -> None:
    from tui.dialogs.choose_models import ChooseModels
    from tui.screens.versus import Versus

    async def scene(seat: Seat) -> None:
        await opened(seat, nano_gguf)
        await seat.pilot.press("f12")
        await seat.until(lambda: isinstance(seat.app.screen, ChooseModels))
        await seat.settle()
        await seat.pilot.press("f")
        await seat.until(lambda: isinstance(seat.app.screen, AskText))
        seat.app.screen.query_one(Input).value = str(nano_q4)
        await seat.press("enter")
        await seat.pilot.press("s")
        await seat.until(lambda: isinstance(seat.app.screen, Versus) and len(seat.app.screen.sessions) == 2)
        versus = seat.app.screen
        assert isinstance(versus, Versus) and "nano-F32" in seat.text() and "nano-Q4_0" in seat.text()
        await ask(seat, HOT)
        assert [talk.path for talk in versus.sessions] == [nano_gguf, nano_q4]
        assert all(reply.markdown.source.strip() for reply in versus.query(Reply)) and len(versus.query(Reply)) == 2

    drive(scene, (120, 40))
