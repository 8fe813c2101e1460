"""`edgetune chat` from outside: what reaches stdout, what stderr, and the exit codes."""

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from edgetune.chat.engine import Engine
from edgetune.chat.sampling import Sampling

Chat = Callable[..., subprocess.CompletedProcess[bytes]]


def test_stdout_is_the_published_text_and_nothing_else(chat: Chat, stories_gguf: Path, stories_text: str) -> None:
    done = chat(stories_gguf, "--raw", "--prompt", "", "--temperature", 0, "--max-tokens", 180)
    assert done.returncode == 0
    text = done.stdout.decode()
    assert text.endswith("\n") and len(text) > 400
    assert stories_text.startswith(text[:-1])
    assert b"180 tokens" in done.stderr


def test_json_is_one_document(chat: Chat, stories_gguf: Path) -> None:
    done = chat(stories_gguf, "--prompt", "Who is Lily?", "--max-tokens", 12, "--json", "--seed", 5)
    document = json.loads(done.stdout)
    assert list(document) == ["prompt", "rendered", "answer", "tokens", "tokens_per_second", "stop_reason", "seed"]
    assert (document["prompt"], document["tokens"], document["stop_reason"], document["seed"]) == ("Who is Lily?", 12, "length", 5)
    assert document["rendered"] == "User: Who is Lily?\n\nAssistant:"
    again = json.loads(chat(stories_gguf, "--prompt", "Who is Lily?", "--max-tokens", 12, "--json", "--seed", 5).stdout)
    assert again["answer"] == document["answer"]


def test_a_base_is_talked_to_by_its_folder_and_its_file_is_kept(chat: Chat, nano: Path, tmp_path: Path) -> None:
    asked = ("--prompt", "What is the opposite of hot?", "--temperature", 0, "--workspace", tmp_path)
    for name in ("nano", nano):
        done = chat(name, *asked)
        assert (done.returncode, done.stdout) == (0, b"Cold.\n"), done.stderr
        assert (b"Writing nano" in done.stderr) == (name == "nano"), "the second time it is there"
    done = chat(tmp_path, *asked)
    assert done.returncode == 2 and b"is not a model folder" in done.stderr and b"do:" in done.stderr


def test_questions_come_from_stdin(chat: Chat, stories_gguf: Path) -> None:
    done = chat(stories_gguf, "--temperature", 0, "--max-tokens", 5, stdin=b"Who is Lily?\n\nAnd Tom?\n")
    assert done.returncode == 0 and len(done.stdout.splitlines()) >= 2 and done.stderr.count(b"tokens/s") == 2


def test_a_control_sequence_never_reaches_the_terminal(chat: Chat, stories_gguf: Path, tmp_path: Path) -> None:
    with Engine(stories_gguf) as engine:
        tokens = engine.generate([1], max_tokens=30, sampling=Sampling(temperature=0)).finished().tokens
        word = next(info.data.decode() for info in engine.describe(tokens) if len(info.data) >= 5)
    written = word.replace(" ", "▁").encode()
    # The model's own vocabulary now sets the window title (OSC 0 … BEL) where it wrote that word.
    evil = b"\x1b]0;" + b"x" * (len(written) - 5) + b"\x07"
    content = stories_gguf.read_bytes()
    assert content.count(len(written).to_bytes(8, "little") + written) == 1
    path = tmp_path / "evil.gguf"
    path.write_bytes(content.replace(len(written).to_bytes(8, "little") + written, len(evil).to_bytes(8, "little") + evil))
    with Engine(path) as engine:
        assert "\x1b]0;" in engine.generate([1], max_tokens=30, sampling=Sampling(temperature=0)).finished().text
    done = chat(path, "--raw", "--prompt", "", "--temperature", 0, "--max-tokens", 30)
    assert b"]0;x" in done.stdout
    assert not set(done.stdout + done.stderr) & (set(range(32)) - {9, 10})
    assert b"\x1b" not in chat(path, "--raw", "--prompt", "", "--temperature", 0, "--max-tokens", 30, "--json").stdout


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["nowhere.gguf", "--prompt", "x"], "nowhere.gguf"),
        (["GGUF", "--prompt", "x", "--temperature", "-1", "--top-p", "0"], "top-p"),
        (["GGUF", "--prompt", "x", "--max-tokens", "0"], "max-tokens"),
        (["GGUF", "--prompt", "x", "--seed", "-1"], "seed"),
        (["GGUF", "--prompt", "x", "--ctx", "0"], "context"),
        (["GGUF", "--json"], "--json"),
        (["GGUF", "--prompt", ""], "empty"),
        (["GGUF", "--raw", "--prompt", "x", "--system", "y"], "--system"),
        (["GGUF"], "stdin"),
        (["no-such-run", "--prompt", "x"], "no-such-run"),
    ],
)
def test_wrong_input_exits_2_with_a_reason(chat: Chat, stories_gguf: Path, tmp_path: Path, arguments: list[str], word: str) -> None:
    done = chat(*[str(stories_gguf) if argument == "GGUF" else argument for argument in arguments], "--workspace", tmp_path)
    assert (done.returncode, done.stdout if "--json" not in arguments else b"") == (2, b"")
    said = done.stderr + done.stdout
    assert word.encode() in said and b"Traceback" not in said


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX terminals")
def test_in_a_terminal(stories_gguf: Path, environment: dict[str, str]) -> None:
    import pty

    pid, terminal = pty.fork()
    if pid == 0:
        arguments = ["-m", "edgetune", "chat", str(stories_gguf), "--ctx", "4096", "--max-tokens", "4000"]
        os.execve(sys.executable, [sys.executable, *arguments], environment)
    seen = b""

    def until(word: bytes, limit: float = 15) -> None:
        nonlocal seen
        deadline = time.monotonic() + limit
        while word not in seen:
            assert select.select([terminal], [], [], max(0.0, deadline - time.monotonic()))[0], f"{word!r} did not come, but {seen!r}"
            seen += os.read(terminal, 65536)
        seen = seen[seen.index(word) + len(word) :]

    until(b"> ")
    os.write(terminal, b"/temp 0\n")
    until(b"temperature: 0.0")
    until(b"> ")
    os.write(terminal, b"/nonsense\n")
    until(b"no command")
    until(b"> ")
    os.write(terminal, b"Tell me a story\n")
    until(b"story")
    until(b"\n")
    until(b" a ")
    os.write(terminal, b"\x03")  # Ctrl-C while the answer is being written
    until(b"stopped]")
    until(b"> ")
    os.write(terminal, b"\x04")  # Ctrl-D
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_ctrl_c_keeps_the_partial_answer_and_exits_130(stories_gguf: Path, environment: dict[str, str]) -> None:
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "edgetune",
            "chat",
            str(stories_gguf),
            "--ctx",
            "8192",
            "--max-tokens",
            "8000",
            "--temperature",
            "0",
            "--prompt",
            "Tell me a story",
        ],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    first = process.stdout.read(1)
    process.send_signal(signal.SIGINT)
    rest, said = process.communicate(timeout=20)
    assert process.returncode == 130 and (first + rest).endswith(b"\n") and b"stopped" in said and b"Traceback" not in said
