"""Two models side by side: the same questions to both, the same settings, each with its own conversation."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgetune.chat.conversation import Answer, Conversation
from edgetune.chat.engine import Engine
from edgetune.chat.sampling import Sampling
from edgetune.cli.chat_terminal import Terminal
from edgetune.sessions.side_by_side import SideBySide
from edgetune.sessions.slash_commands import ChatCommands

HOT = "What is the opposite of hot?"


def test_both_hear_the_same(nano_gguf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Engine(nano_gguf) as one, Engine(nano_gguf) as other:
        talks = [
            (name, ChatCommands(engine, Terminal(), Sampling(), 40, Conversation(engine)))
            for name, engine in (("one", one), ("other", other))
        ]
        two = SideBySide(talks, Terminal())
        assert all([two.line("/temp 0"), two.line(HOT), two.line("/save"), two.line("")]) and not two.line("/quit")
        out, err = capsys.readouterr()
        assert out == "[one] Cold.\n[other] Cold.\n" and "no command /save with two models" in err
        assert all(typed.conversation and len(typed.conversation.messages) == 2 and not typed.sampling.temperature for _, typed in talks)
        two.line("/system Be short.")
        begun = [(typed.conversation.system, typed.conversation.messages) for _, typed in talks if typed.conversation]
        assert begun == [("Be short.", [])] * 2


def test_a_question_that_was_stopped_is_taken_back_from_both(nano_gguf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Engine(nano_gguf) as one, Engine(nano_gguf) as other:
        talks = [
            (name, ChatCommands(engine, Terminal(), Sampling(temperature=0), 40, Conversation(engine)))
            for name, engine in (("a", one), ("b", other))
        ]
        two = SideBySide(talks, Terminal())
        two.question(HOT)
        asked = two.chats[0][1].ask

        def stopped(text: str, sampling: Sampling) -> Answer:
            answer = asked(text, sampling)
            answer.cancel()
            return answer

        monkeypatch.setattr(two.chats[0][1], "ask", stopped)
        assert two.question("What is the opposite of cold?") == "cancelled"
        heard = [[turn["content"] for turn in typed.conversation.messages] for _, typed in two.chats if typed.conversation]
        assert heard == [[HOT, "Cold."]] * 2


def test_on_the_command_line(chat: Callable[..., Any], nano_gguf: Path, tmp_path: Path) -> None:
    common = (nano_gguf, "--workspace", tmp_path, "--temperature", 0, "--side-by-side", nano_gguf)
    document = json.loads(chat(*common, "--prompt", HOT, "--json").stdout)
    answers = [(one["model"], one["answer"]) for one in document["answers"]]
    assert document["prompt"] == HOT and answers == [("nano", "Cold."), ("nano-2", "Cold.")]
    assert chat(*common, stdin=f"{HOT}\n{HOT}\n".encode()).stdout.decode().count("[nano-2] Cold.") == 2
    refused = {
        ("--save",): b"--save",
        ("--raw",): b"--raw",
        ("--side-by-side", "base"): b"is no run",
        ("--side-by-side", "x.gguf"): b"no file",
    }
    for words, why in refused.items():
        done = chat(*common, "--prompt", "x", *words)
        assert done.returncode == 2 and not done.stdout and why in done.stderr and b"do:" in done.stderr
