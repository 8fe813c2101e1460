"""The commands as scripts use them: keys from stdin, one JSON document, exit codes."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgetune.storage.workspace import Workspace

Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def questions(nano: Path, tmp_path: Path) -> Path:
    """Six questions with what an answer should contain."""
    lines = (nano / "questions.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)[:6]
    path = tmp_path / "questions.jsonl"
    path.write_text("".join(lines), encoding="utf-8")
    return path


@pytest.fixture
def keys(edgetune: Call, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[int, Any, str]]:
    """Runs a command with keys on stdin and --json; gives exit code, document and stderr."""

    def call(pressed: str, *words: object) -> tuple[int, Any, str]:
        monkeypatch.setattr("sys.stdin", io.StringIO("".join(f"{key}\n" for key in pressed.split())))
        code, out, err = edgetune(*words, "--json")
        return code, json.loads(out), err

    return call


def test_collect_rank_list_and_export(keys: Any, edgetune: Call, files: dict[str, Path], questions: Path, tmp_path: Path) -> None:
    code, made, err = keys("1 nonsense e2 Better! +1 t u b s q", "collect", files["F32"], "--prompts", questions)
    assert (
        code == 0 and err.count("saved ") == 5 and err.count("last vote removed") == 1 and "is not a key" in err and "Better!" not in err
    ), err
    assert (made["done"], made["total"], made["votes"], made["pairs"]) == (4, 6, 4, 2)
    votes = json.loads(edgetune("prefs", "list", "prefs", "--json")[1])
    assert [vote["choice"]["type"] for vote in votes] == ["pair", "edit", "thumbs", "pair", "skip"]
    assert all(c["sampling"]["seed"] >= 0 and c["model"] == "nano-F32" for c in votes[0]["candidates"])
    code, made, err = keys("213 2=1 0 e2 Better! e9 q", "rank", files["F32"], "--prompts", questions)
    assert code == 0 and made["done"] == 4 and made["votes"] == 8 and "'e9'" in err
    assert json.loads(edgetune("prefs", "list", "prefs", "--json")[1])[-1]["choice"]["type"] == "edit"
    code, made, _ = keys("t b q", "rank", files["F32"], "--prompts", questions, "--candidates", 2, "--into", "two")
    assert [vote["choice"]["value"] for vote in json.loads(edgetune("prefs", "list", "two", "--json")[1])] == ["tie", "bad"]
    out = tmp_path / "pairs.jsonl"
    code, made, _ = keys("", "prefs", "export", "--out", out)
    rows = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    assert code == 0 and made["written"] == len(rows) > 4 and list(rows[0]) == ["prompt", "chosen", "rejected"]
    assert edgetune("data", "check", out, "--json")[0] in (0, 1)
    first = votes[0]["id"]
    assert edgetune("prefs", "edit", first[:8], "right")[1] == f"{first}: right\n"
    assert edgetune("prefs", "delete", first)[0] == 2 and edgetune("prefs", "delete", first, "--yes")[0] == 0
    assert edgetune("prefs", "show", first)[0] == 2 and edgetune("prefs", "restore", first)[0] == 0
    assert "choice: right" in edgetune("prefs", "show", first)[1]
    assert keys("", "prefs", "import", out, "--into", "other")[1]["taken"] == len(rows)
    assert [f["name"] for f in json.loads(edgetune("prefs", "list", "--json")[1])] == ["other", "prefs", "two"]
    assert keys("", "prefs", "dedupe", "other", "--yes")[1]["removed"] == []


def test_prompts_are_typed_and_votes_given_where_no_file_is_named(
    edgetune: Call, files: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("What is the opposite of hot?\n2\nAnd of big?\nu\n1\nb\n"))
    code, out, err = edgetune("collect", files["F32"], "--other", files["Q4_0"], "--max-tokens", 30)
    assert code == 0 and out.count("[1] ") >= 2 and "nano-Q4_0" in err, err
    votes = json.loads(edgetune("prefs", "list", "prefs", "--json")[1])
    assert [v["prompt"][0]["content"] for v in votes] == ["What is the opposite of hot?", "And of big?"]
    assert [v["choice"]["value"] for v in votes] == ["left", "bad"]
    assert {c["model"] for c in votes[0]["candidates"]} == {"nano-F32", "nano-Q4_0"}


def test_a_rule_votes_through_the_same_path(keys: Any, edgetune: Call, files: dict[str, Path], questions: Path) -> None:
    code, made, err = keys("", "collect", files["F32"], "--prompts", questions, "--judge", "shortest")
    assert code == 0 and made["done"] == 6 and made["pairs"] >= 3, err
    for vote in json.loads(edgetune("prefs", "list", "prefs", "--json")[1]):
        texts = [candidate["completion"][0]["content"] for candidate in vote["candidates"]]
        if vote["choice"]["type"] == "pair":
            assert vote["judge"] == "shortest"
        if vote["choice"]["value"] in ("left", "right"):
            assert min(texts, key=len) == texts[vote["choice"]["value"] == "right"]
    assert keys("", "collect", files["F32"], "--prompts", questions, "--judge", "shortest")[1]["votes"] == made["votes"]
    words = ["--prompts", questions, "--judge", "shortest", "--into", "few", "--pairs"]
    code, made, err = keys("", "collect", files["F32"], *words, 2)
    assert code == 0 and made["pairs"] == 2 and made["done"] < 6, err
    assert keys("", "rank", files["F32"], *words, 4)[1]["pairs"] >= 4


def test_arena(keys: Any, edgetune: Call, files: dict[str, Path], nano: Path, tmp_path: Path) -> None:
    many = tmp_path / "many.jsonl"
    many.write_text("".join((nano / "questions.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)[:24]), encoding="utf-8")
    words = ["arena", files["F32"], files["Q4_0"], "--prompts", many, "--temperature", 1]
    code, made, err = keys("q", *words)
    left = made["left"]
    assert code == 0 and left > 0 and "nano-" not in err, err
    code, made, err = keys("1 u 2 q", *words)
    assert code == 0 and made["left"] < left and err.count("last vote removed") == 1 and err.count("saved ") == 2, err
    code, made, _ = keys("t b " + "1 2 " * 12, *words)
    assert code == 0 and made["left"] == 0 and made["votes"] == 24 and len(made["ratings"]) == 2
    [duel] = made["duels"]
    assert duel["wins"] + duel["losses"] + duel["ties"] == 24 and "covers 50 %" in duel["verdict"]
    code, out, _ = edgetune(*words)
    assert code == 0 and "95 % interval" in out and "No difference shown" in out
    ruled = keys("", *words, "--judge", "shortest")[1]
    assert ruled["judge"] == "shortest" and ruled["votes"] == 24


def test_votes_in_chat(edgetune: Call, files: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    lines = "What is the opposite of hot?\n/up\n/edit Cold, dear.\nAnd of big?\n/down\n"
    monkeypatch.setattr("sys.stdin", io.StringIO(lines))
    code, out, err = edgetune("chat", files["F32"], "--system", "Be kind.")
    assert code == 0 and "/up" not in out and err.count("saved ") == 3, err
    up, edit, down = json.loads(edgetune("prefs", "list", "prefs", "--json")[1])
    assert (up["choice"]["value"], down["choice"]["value"], edit["choice"]["type"]) == (True, False, "edit")
    assert edit["candidates"][1] == {"completion": [{"role": "assistant", "content": "Cold, dear."}], "model": "person"}
    assert [turn["content"] for turn in down["prompt"]] == ["Be kind.", "What is the opposite of hot?", "Cold, dear.", "And of big?"]
    assert out.splitlines()[0] == up["candidates"][0]["completion"][0]["content"]


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["collect", "/nowhere.gguf"], "no file"),
        (["collect", "F32", "--prompts", "/nowhere.jsonl"], "/nowhere.jsonl"),
        (["collect", "F32", "--judge", "shortest"], "--prompts"),
        (["collect", "F32", "--prompts", "Q", "--judge", "best"], "no judge"),
        (["collect", "F32", "--prompts", "Q", "--judge", "regex:("], "pattern"),
        (["collect", "F32", "--temperature", "-1"], "temperature"),
        (["collect", "F32", "--into", "../x"], "cannot be a name"),
        (["rank", "F32"], "--prompts"),
        (["rank", "F32", "--voted"], "No vote"),
        (["rank", "F32", "--prompts", "P", "--judge", "exact"], "expected"),
        (["rank", "F32", "--propose", "3", "--judge", "exact"], "expected"),
        (["rank", "F32", "--propose", "3", "--prompts", "Q"], "one of four places"),
        (["arena", "F32", "--prompts", "Q"], "two models"),
        (["arena", "F32", "F32"], "--prompts"),
        (["prefs", "list", "nothing"], "no preferences"),
        (["prefs", "export", "nothing"], "no preferences"),
        (["prefs", "import", "P"], "prefer"),
        (["prefs", "show", "abc"], "no preferences"),
    ],
)
def test_wrong_input_is_refused(
    words: list[str], why: str, edgetune: Call, files: dict[str, Path], questions: Path, tmp_path: Path, workspace: Workspace
) -> None:
    plain = tmp_path / "plain.jsonl"
    plain.write_text('{"prompt": "What is far?"}\n', encoding="utf-8")
    places = {"F32": str(files["F32"]), "Q": str(questions), "P": str(plain)}
    code, out, err = edgetune(*[places.get(word, word) for word in words])
    assert code == 2 and out == "" and why in err and "do:" in err and "Traceback" not in err, err
    assert not list(workspace.path.rglob("*.jsonl"))
