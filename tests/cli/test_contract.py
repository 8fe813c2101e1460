"""stdout is data; --json is one document, also on failure; exit codes 0, 1, 2; bad input is refused before torch and leaves nothing."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgetune.cli.app import COMMANDS
from edgetune.storage.workspace import Workspace

Call = Callable[..., tuple[int, str, str]]


@pytest.mark.parametrize("name", list(COMMANDS))
def test_every_command_has_help_with_an_example(name: str, edgetune: Call) -> None:
    code, out, _ = edgetune(name, "--help")
    assert code == 0 and "Usage: edgetune" in out and f"edgetune {name}" in out.split("Usage:")[1].split("\n", 1)[1]


def test_version_help_and_no_words(edgetune: Call) -> None:
    assert edgetune("--version")[1].startswith("edgetune 0.")
    assert edgetune("--help")[0] == 0
    code, out, err = edgetune()
    assert code == 0 and "edgetune demo" in out and "terminal app" in err


@pytest.mark.parametrize(
    ("words", "code", "why"),
    [
        (["train", "--base", "/nowhere", "--data", "{facts}"], 2, "no base model"),
        (["train", "--data", "{facts}"], 2, "No base model"),
        (["train", "--base", "nano"], 2, "No examples"),
        (["train", "--base", "nano", "--data", "/nowhere.jsonl"], 2, "no file"),
        (["train", "--base", "nano", "--data", "{binary}"], 2, "not text"),
        (["train", "--base", "nano", "--data", "{facts}", "--quantization", "nf5"], 2, "not valid"),
        (["train", "--base", "nano", "--data", "{facts}", "--rank", "x"], 2, "rank"),
        (["train", "--base", "nano", "--data", "{facts}", "--preset", "fast"], 2, "no preset"),
        (["train", "--base", "nano", "--data", "{facts}", "--name", "../x"], 2, "cannot be a name"),
        (["train", "--base", "nano", "--data", "{facts}", "--max-length", "8"], 2, "Nothing is left"),
        (["train", "--base", "nano", "--data", "{facts}", "--device", "mps"], 2, "mps"),
        (["train", "--base", "{empty}", "--data", "{facts}"], 2, "not a model folder"),
        (["train", "--base", "nano", "--data", "{facts}", "--bogus"], 2, "bogus"),
        (["export", "nano", "--type", "Q9"], 2, "Q9"),
        (["export", "nobody"], 2, "no run"),
        (["chat", "/nowhere.gguf", "--prompt", "x"], 2, "no file"),
        (["chat", "{binary}", "--prompt", "x"], 2, ""),
        (["eval", "nobody"], 2, "no run"),
        (["show", "nobody"], 2, "no run"),
        (["resume", "nobody"], 2, "no run"),
        (["delete", "nobody"], 2, "no run"),
        (["frobnicate"], 2, "frobnicate"),
    ],
)
def test_wrong_input_is_refused_with_a_remedy(
    words: list[str], code: int, why: str, edgetune: Call, facts: Path, tmp_path: Path, workspace: Workspace
) -> None:
    (tmp_path / "bad.jsonl").write_bytes(bytes(range(256)))
    (tmp_path / "empty").mkdir()
    places = {"{facts}": str(facts), "{binary}": str(tmp_path / "bad.jsonl"), "{empty}": str(tmp_path / "empty")}
    given = [places.get(w, w) for w in words]
    got, out, err = edgetune(*given)
    assert got == code, err
    assert out == "" and "Traceback" not in err and why in err and "do:" in err
    if "--json" in (edgetune(words[0], "--help")[1]):
        got, out, _ = edgetune(*given, "--json")
        error = json.loads(out)["error"]
        assert got == code and error["title"] and error["remedy"]
    assert not workspace.path.exists() or not any(workspace.path.rglob("request.json"))


def test_bad_input_is_refused_before_torch(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom edgetune.cli.app import run\nsys.argv = ['edgetune', *sys.argv[1:]]\ncode = run(sys.argv[1:])\n"
        "assert code == 2, code\nassert not {'torch', 'transformers', 'llama_cpp'} & set(sys.modules)\nprint('clean', file=sys.stderr)\n"
    )
    (tmp_path / "x.jsonl").write_text('{"a": 1}\n', encoding="utf-8")
    environment = {**os.environ, "EDGETUNE_WORKSPACE": str(tmp_path / "w"), "PYTHONPATH": str(Path(__file__).parents[2])}
    for words in (
        ["train", "--base", "nano", "--data", str(tmp_path / "x.jsonl")],
        ["export", "nobody"],
        ["chat", str(tmp_path / "no.gguf"), "--prompt", "x"],
    ):
        done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, env=environment, check=False)
        assert "clean" in done.stderr, done.stderr


def test_full_disk_and_no_memory_are_refused_beforehand(
    edgetune: Call, facts: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    import dataclasses

    from edgetune.machine import hardware
    from edgetune.storage import files

    small = dataclasses.replace(hardware.this_machine(), memory_free=10_000_000)
    with monkeypatch.context() as patch:
        patch.setattr(hardware, "this_machine", lambda: small)
        code, _, err = edgetune("train", "--base", "nano", "--data", facts)
        assert code == 1 and "Not enough memory" in err and "do:" in err
        for arguments in (("export", "nano", "--out", workspace.path / "x.gguf"), ("compare", "nano", "--type", "Q8_0")):
            code, _, err = edgetune(*arguments)
            assert code == 1 and "Not enough memory" in err and "do:" in err
    with monkeypatch.context() as patch:
        patch.setattr(files, "free_bytes", lambda path: 1000)
        code, _, err = edgetune("train", "--base", "nano", "--data", facts)
        assert code == 1 and "Not enough disk" in err
        code, _, err = edgetune("export", "nano", "--out", workspace.path / "x.gguf")
        assert code == 1 and "Not enough disk" in err
    assert not workspace.path.exists() or not [p for p in workspace.path.rglob("*") if p.is_file()]


def test_dry_run_shows_the_recipe_with_sources(edgetune: Call, facts: Path) -> None:
    code, out, err = edgetune("train", "--base", "nano", "--data", facts, "--rank", 4, "--dry-run")
    assert code == 0 and "rank = 4  # LoRA rank. [flag]" in out and "automatic" in out and "36 rows read" in err


def test_the_life_of_a_run(edgetune: Call, facts: Path, workspace: Workspace, tmp_path: Path) -> None:
    words: list[Any] = [
        "--base",
        "nano",
        "--data",
        facts,
        "--batch-size",
        4,
        "--gradient-accumulation",
        1,
        "--max-length",
        128,
        "--threads",
        1,
    ]
    code, out, err = edgetune("train", *words, "--max-steps", 6, "--save-steps", 2, "--name", "mine", "--json")
    assert code == 0, err
    made = json.loads(out)
    assert (made["name"], made["status"], made["step"], made["read"]) == ("mine", "finished", 6, 36)
    assert edgetune("train", *words, "--name", "mine")[0] == 2
    code, out, err = edgetune("resume", "mine")
    assert code == 2 and "finished" in err
    code, out, err = edgetune("resume", "mine", "--max-steps", 9, "--json")
    assert code == 0 and json.loads(out)["step"] == 9, err
    assert "mine" in edgetune("runs")[1]
    assert "rank = 16" in edgetune("show", "mine")[1]
    shown = json.loads(edgetune("show", "mine", "--json")[1])
    assert shown["status"] == "finished" and shown["samples"]
    code, out, err = edgetune("export", "mine", "--type", "Q4_0", "--type", "F16", "--json")
    assert code == 0 and [Path(e["path"]).is_file() for e in json.loads(out)] == [True, True]
    code, out, _ = edgetune("export", "mine", "--type", "Q8_0", "--checkpoint", "best", "--out", tmp_path / "b.gguf")
    assert code == 0 and (tmp_path / "b.gguf").is_file()
    code, out, err = edgetune(
        "chat", "mine", "--prompt", "What is the number of the door?", "--temperature", 0, "--max-tokens", 20, "--json"
    )
    assert code == 0 and json.loads(out)["tokens"] > 0, err
    code, out, err = edgetune("chat", "mine", "--beside", "base", "--prompt", "What is the opposite of hot?", "--temperature", 0, "--json")
    assert code == 0 and [one["model"] for one in json.loads(out)["answers"]] == ["mine", "base"], err
    assert json.loads(out)["answers"][1]["answer"] == "Cold."
    code, out, _ = edgetune("eval", "mine", "--json", "--answers", 2)
    result = json.loads(out)
    assert code == 0 and result["tuned"]["loss"] < result["base"]["loss"]
    code, out, _ = edgetune("eval", workspace.runs_folder / "mine" / "exports" / "mine-F16.gguf", "--json", "--answers", 2)
    assert code == 0 and abs(json.loads(out)["gguf"]["loss"] - result["tuned"]["loss"]) < 0.02
    elsewhere = tmp_path / "some" / "folder" / "b.gguf"  # beside rows that are not the run's
    elsewhere.parent.mkdir(parents=True)
    (tmp_path / "some" / "data").mkdir()
    (tmp_path / "some" / "data" / "held_out.jsonl").write_text("{}\n", encoding="utf-8")
    shutil.copy(tmp_path / "b.gguf", elsewhere)
    code, out, _ = edgetune("eval", elsewhere, "--json", "--answers", 0)
    assert code == 0 and Path(json.loads(out)["data"]) == workspace.run("mine").data / "held_out.jsonl"
    assert edgetune("stop", "mine")[0] == 1
    assert edgetune("rename", "mine", "yours")[0] == 0
    code, out, _ = edgetune("eval", workspace.run("yours").exports / "yours-F16.gguf", "--json", "--answers", 0)
    assert code == 0 and Path(json.loads(out)["data"]) == workspace.run("yours").data / "held_out.jsonl"
    code, _, err = edgetune("eval", elsewhere)
    assert code == 2 and "exported from the run mine, which is not in" in err and "--data" in err
    freed = json.loads(edgetune("prune", "--json")[1])
    assert freed["would_free"] > 0
    code, _, err = edgetune("prune")
    assert code == 2 and "--yes" in err
    assert edgetune("prune", "--yes")[0] == 0
    assert json.loads(edgetune("prune", "--json")[1])["would_free"] == 0
    assert json.loads(edgetune("disk", "--json")[1])["runs"][0]["run"] == "yours"
    assert edgetune("delete", "yours")[0] == 2
    assert edgetune("delete", "yours", "--yes")[0] == 0
    assert json.loads(edgetune("runs", "--json")[1]) == []


def test_a_command_line_is_what_it_is_given_whatever_the_process_was_started_with(edgetune: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    for started in ([], ["edgetune", "runs"], ["edgetune", "train"]):
        monkeypatch.setattr(sys, "argv", started)
        code, out, _ = edgetune("doctor", "--json")
        assert code == 0 and json.loads(out)["device"]
        code, out, _ = edgetune("train", "--help")
        assert code == 0 and "--base" in out


def test_doctor_and_bases(edgetune: Call, nano: Path) -> None:
    code, out, _ = edgetune("doctor", "--json")
    assert code == 0 and json.loads(out)["device_reason"]
    code, out, _ = edgetune("bases", "--json")
    assert code == 0 and json.loads(out)[0]["name"] == "nano"
