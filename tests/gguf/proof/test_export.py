"""Every export of a run is proven before it gets its name; one that fails is kept aside, and what stood there before stays."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from converters.gguf_file import read_header
from converters.merge import ModuleChange
from converters.weights import RowSelection
from edgetune.gguf.current import current_gguf
from edgetune.gguf.proof.certificate import PROOF_BYTES, PROOF_KEY
from edgetune.storage.files import sha256
from edgetune.storage.workspace import Run
from tests.gguf.proof.conftest import Bench

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(bench: Callable[..., Bench], edgetune: Command, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """A trained run, in the workspace that the command line uses."""
    trained = bench("nano", "light").run
    capfd.readouterr()  # what training said
    monkeypatch.setenv("EDGETUNE_WORKSPACE", str(trained.folder.parent.parent))
    return trained


def spoil(monkeypatch: pytest.MonkeyPatch, factor: float) -> None:
    """Let the converter merge every adapter at so many times its strength."""
    right = ModuleChange.add

    def wrong(self: ModuleChange, values: np.ndarray, rows: RowSelection, weight: float) -> None:
        right(self, values, rows, weight * factor)

    monkeypatch.setattr(ModuleChange, "add", wrong)


def test_a_run_is_exported_with_its_proof(run: Run, edgetune: Command) -> None:
    code, out, err = edgetune("export", run.name, "--type", "Q8_0", "--type", "Q4_0", "--json")
    assert code == 0, err
    for export in json.loads(out):
        path, proof = Path(export["path"]), export["proof"]
        record = json.loads(Path(proof["json"]).read_text(encoding="utf-8"))
        assert proof["passed"] and record["passed"] and record["file"] == path.name
        assert record["sha256"] == export["sha256"] == sha256(path)
        assert list(record["checks"]) == ["text", "weights", "meaning", "behaviour"]
        assert "Passed:" in Path(proof["page"]).read_text(encoding="utf-8")
        short = str(read_header(path).metadata[PROOF_KEY])
        assert len(short) == PROOF_BYTES and json.loads(short)["passed"] is True
        assert json.loads(short)["strength"] == pytest.approx(1, abs=0.02)


def test_a_failed_proof_is_a_failed_export(run: Run, edgetune: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    assert edgetune("export", run.name, "--type", "Q8_0")[0] == 0
    path = run.exports / f"{run.name}-Q8_0.gguf"
    before = sha256(path)
    spoil(monkeypatch, 0.8)
    code, out, err = edgetune("export", run.name, "--type", "Q8_0")
    assert code == 1 and out == ""
    assert f"{run.name}-Q8_0.failed.gguf failed its proof" in err and "holds 0.80 of what was learned" in err and "Traceback" not in err
    aside = run.exports / f"{run.name}-Q8_0.failed.gguf"
    assert sha256(path) == before
    assert json.loads(str(read_header(aside).metadata[PROOF_KEY]))["passed"] is False
    assert "went in at the wrong strength" in aside.with_suffix(".proof.html").read_text(encoding="utf-8")
    assert not list(run.exports.glob(".*"))


def test_after_a_failed_proof_chat_uses_another_type_that_passes(run: Run, edgetune: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.rmtree(run.exports, ignore_errors=True)
    with monkeypatch.context() as spoiled:
        spoil(spoiled, 0.8)
        code, _, err = edgetune("chat", run.name, "--prompt", "Who are you?")
    assert code == 1 and "failed its proof" in err and "--type Q8_0" in err
    assert edgetune("export", run.name, "--type", "Q8_0")[0] == 0
    assert current_gguf(run) == run.exports / f"{run.name}-Q8_0.gguf"


def test_without_a_proof_when_told(run: Run, edgetune: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    spoil(monkeypatch, 0.8)
    path = tmp_path / "m.gguf"
    code, out, _ = edgetune("export", run.name, "--type", "Q8_0", "--out", path, "--no-proof", "--json")
    assert code == 0 and "proof" not in json.loads(out)[0]
    assert str(read_header(path).metadata[PROOF_KEY]).strip() == "not proven"
    assert [written.name for written in tmp_path.glob("m*")] == ["m.gguf"]


def test_by_hand(run: Run, nano: Path, edgetune: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    held_out = run.data / "held_out.jsonl"
    for factor, expected in ((1.0, 0), (0.8, 1)):
        spoil(monkeypatch, factor)
        path = tmp_path / f"{expected}.gguf"
        assert edgetune("export", nano, "--adapter", run.adapter, "--type", "Q8_0", "--out", path)[0] == 0
        arguments: list[Any] = ["prove", nano, path, "--adapter", run.adapter, "--data", held_out, "--json"]
        code, out, err = edgetune(*arguments)
        assert code == expected, err
        record = json.loads(path.with_suffix(".proof.json").read_text(encoding="utf-8"))
        assert json.loads(out)["causes"] == record["causes"] and record["passed"] == (expected == 0)
        assert "<script" not in path.with_suffix(".proof.html").read_text(encoding="utf-8")
        monkeypatch.undo()
        monkeypatch.setenv("EDGETUNE_WORKSPACE", str(run.folder.parent.parent))


def test_what_cannot_be_proven_is_told_before(run: Run, nano: Path, edgetune: Command, tmp_path: Path) -> None:
    code, _, err = edgetune("prove", nano, tmp_path / "none.gguf")
    assert code == 2 and "none.gguf" in err
    code, _, err = edgetune("export", nano, "--adapter", f"{run.adapter}:0.5", "--proof", "--out", tmp_path / "m.gguf")
    assert code == 2 and "several adapters" in err and not list(tmp_path.iterdir())
