"""A conversation in the terminal with its branches: answered again, gone back in, voted on, saved, and resumed where the app would."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgetune.chat import saved
from edgetune.chat.engine import Engine
from edgetune.chat.sampling import Sampling
from edgetune.cli.answering import ChatOptions, open_chat
from edgetune.errors import InputError
from edgetune.preferences.store import existing
from edgetune.sessions.slash_commands import ChatCommands
from edgetune.storage.workspace import Workspace

COLD = Sampling(temperature=0, seed=1)
HOT, BIG = "What is the opposite of hot?", "What is the opposite of big?"


def options(resume: saved.SavedConversation | None = None) -> ChatOptions:
    return ChatOptions(COLD, 40, resume=resume)


@pytest.fixture
def typed(nano_gguf: Path, workspace: Workspace) -> Any:
    """A conversation with the bundled model, which is not saved yet."""
    with Engine(nano_gguf) as engine:
        yield open_chat(engine, options(), workspace)


def test_branches_are_followed_voted_on_and_taken_up(typed: ChatCommands, workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    for line in (HOT, "/again", "/go 1", BIG):
        assert typed.line(line)
    assert not workspace.conversations.exists(), "nothing is saved that was not asked for"
    typed.line("/save")
    for line in ("/edit Little.", "/up", "/go 2", "/down"):
        typed.line(line)
    talk = saved.list_conversations(workspace.conversations)[0]
    said = [(turn.role, turn.content, turn.parent) for turn in talk.branches.turns]
    cold = ("assistant", "Cold.", 0)
    big = [("user", BIG, -1), ("assistant", "Small.", 3), ("assistant", "Little.", 3)]
    assert said == [("user", HOT, -1), cold, cold, *big] and talk.branches.tip == 1
    assert talk.branches.turns[4].provenance["sampling"]["temperature"] == 0 and talk.branches.turns[5].provenance["model"] != "nano"
    votes = existing(workspace, "prefs").votes()
    assert [(vote.choice.type, vote.prompt[-1]["content"], vote.candidates[-1].text) for vote in votes] == [
        ("edit", BIG, "Little."),
        ("thumbs", BIG, "Little."),
        ("thumbs", HOT, "Cold."),
    ]
    capsys.readouterr()
    typed.line("/turns")
    assert "* 2 assistant: Cold." in capsys.readouterr().err
    again = open_chat(typed.engine, options(talk), workspace)
    assert again.conversation and again.conversation.messages == talk.messages
    again.line("/up")
    again.line(BIG)
    kept = saved.list_conversations(workspace.conversations)
    assert len(kept) == 1 and [turn["content"] for turn in kept[0].messages] == [HOT, "Cold.", BIG, "Small."]
    again.line("/reset")
    again.line(HOT)
    assert len(saved.list_conversations(workspace.conversations)) == 2, "what starts again is a separate conversation"


@pytest.mark.parametrize(("line", "why"), [("/again", "no question"), ("/go 1", "no turn"), ("/go x", "no turn"), ("/go 0", "no turn")])
def test_what_cannot_be_is_refused_in_words(typed: ChatCommands, line: str, why: str) -> None:
    with pytest.raises(InputError, match=why) as error:
        typed.line(line)
    assert error.value.remedy


def test_settings_are_turned_while_talking(typed: ChatCommands, capsys: pytest.CaptureFixture[str]) -> None:
    for line in ("/top-k 5", "/min-p 0.5", "/seed", "/penalty 1.5", "/top-p x"):
        typed.line(line)
    assert typed.sampling == Sampling(0, 5, COLD.top_p, 0.5, 1.5, None) and "/top-p needs a number" in capsys.readouterr().err
    with pytest.raises(InputError, match="out of bounds"):
        typed.line("/top-p 7")


def test_on_the_command_line(chat: Callable[..., Any], nano_gguf: Path, tmp_path: Path) -> None:
    common = ("--workspace", tmp_path, "--temperature", 0)
    done = chat(nano_gguf, *common, "--save", stdin=f"{HOT}\n/again\n".encode())
    assert (done.returncode, done.stdout) == (0, b"Cold.\nCold.\n"), done.stderr
    talk = saved.list_conversations(tmp_path / "conversations")[0]
    done = chat(nano_gguf, *common, "--resume", talk.name, "--prompt", BIG, "--json")
    assert json.loads(done.stdout)["answer"] == "Small."
    assert [turn["content"] for turn in saved.list_conversations(tmp_path / "conversations")[0].messages] == [HOT, "Cold.", BIG, "Small."]
    for words, why in (
        (("--resume", "x"), b"There is no conversation"),
        (("--resume", talk.name, "--system", "y"), b"--system"),
        (("--save", "--raw"), b"--raw"),
    ):
        done = chat(nano_gguf, *common, "--prompt", "x", *words)
        assert done.returncode == 2 and not done.stdout and why in done.stderr and b"do:" in done.stderr
