"""Rewards by rule: what each gives, what is refused, and what a user's code may not do."""

import json
from pathlib import Path

import pytest

from edgetune.errors import EdgeTuneError, InputError
from edgetune.training import rewards
from edgetune.training.rewards import Answer, Context, python_file


def given(spec: str, *texts: str, expected: str = "", sizes: tuple[int, ...] = ()) -> list[float]:
    """A reward's values for some answers."""
    context = Context(Path("/nowhere"), Path("/nowhere"))
    rewards.check_rewards([spec], context)
    (reward,) = rewards.make_rewards([spec], context)
    return reward([Answer("", text, expected, [], size) for text, size in zip(texts, sizes or (0,) * len(texts), strict=True)])


def test_exact_and_regex_and_length() -> None:
    assert given("exact", "It is 5!", "it is 5", "5", expected="It is 5.") == [1.0, 1.0, 0.0]
    assert given("exact", "anything") == [0.0]
    assert given("regex:^\\d+$", "12", "12a", "") == [1.0, 0.0, 0.0]
    assert given("length:10", "a", "b", "c", "d", sizes=(10, 5, 20, 40)) == [1.0, 0.5, 0.0, 0.0]


def test_json_schema(tmp_path: Path) -> None:
    schema = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}
    (tmp_path / "s.json").write_text(json.dumps(schema), encoding="utf-8")
    assert given(f"json_schema:{tmp_path / 's.json'}", '{"name": "a"}', '{"name": 1}', "{name", "[" * 100_000) == [1.0, 0.1, 0.0, 0.0]
    (tmp_path / "far.json").write_text(json.dumps({"$ref": "http://localhost/x.json"}), encoding="utf-8")
    with pytest.raises(InputError, match="another file"):
        given(f"json_schema:{tmp_path / 'far.json'}")


@pytest.mark.parametrize(
    ("spec", "why"),
    [
        ("nothing", "not a kind"),
        ("exact:5", "no argument"),
        ("regex:(", "not a pattern"),
        ("regex:", "not a pattern"),
        ("length:-1", "not a length"),
        ("json_schema:/no/such", "no schema"),
        ("python_file:/no/such.py", "no file"),
        ("model:none", "no run"),
    ],
)
def test_what_cannot_be_used_is_refused(spec: str, why: str) -> None:
    with pytest.raises(InputError, match=why):
        given(spec)


def code(tmp_path: Path, text: str) -> Path:
    """A file with a reward."""
    (tmp_path / "mine.py").write_text(text, encoding="utf-8")
    return tmp_path / "mine.py"


ONE = [Answer("Who?", "Me.", "You.")]


def test_a_function_of_the_users(tmp_path: Path) -> None:
    path = code(tmp_path, "print('talk')\ndef reward(prompt, answer, expected):\n    print('more')\n    return len(prompt) + len(answer)\n")
    assert python_file.run(path, ONE) == [7.0]
    assert given(f"python_file:{path}", "abc") == [3.0]


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("import socket; socket.create_connection(('127.0.0.1', 9)); return 1", "may not use socket"),
        ("import os; os.system('true'); return 1", "may not use os.system"),
        ("import subprocess; subprocess.run(['true']); return 1", "may not use subprocess"),
        ("open(__file__ + '.out', 'w').write('x' * 100000); return 1", "File too large"),
        ("x = bytearray(2 ** 31); return 1", "MemoryError"),
        ("return 'many'", "could not convert"),
        ("print('{}'); import os; os._exit(0)", "ended with 0"),
        ("raise RuntimeError('mine')", "mine"),
        ("import os; os._exit(3)", "ended with 3"),
    ],
)
def test_what_a_users_code_may_not_do(tmp_path: Path, body: str, why: str) -> None:
    path = code(tmp_path, f"def reward(prompt, answer, expected):\n    {body}\n")
    with pytest.raises(EdgeTuneError) as caught:
        python_file.run(path, ONE)
    assert why in caught.value.cause


def test_endless_code_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(python_file, "SECONDS", 1)
    with pytest.raises(EdgeTuneError, match="failed"):
        python_file.run(code(tmp_path, "def reward(prompt, answer, expected):\n    while True: pass\n"), ONE)


def test_code_is_named_and_asked_for_before_it_runs(tmp_path: Path, edgetune: object) -> None:
    path = code(tmp_path, "def reward(prompt, answer, expected):\n    return 1\n")
    (tmp_path / "p.jsonl").write_text('{"prompt": "a"}\n' * 9, encoding="utf-8")
    words = ("train", "--base", "nano", "--method", "rl", "--data", tmp_path / "p.jsonl", "--reward", f"python_file:{path}", "--dry-run")
    result, out, err = edgetune(*words)  # type: ignore[operator]
    assert result == 2 and str(path) in err and "--yes" in err and out == ""
    assert edgetune(*words, "--yes")[0] == 0  # type: ignore[operator]
