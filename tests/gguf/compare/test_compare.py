"""`edgetune compare`: its figures are the proof's, llama.cpp's and the evaluation's; what it makes for itself is gone afterwards."""

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edgetune.chat.engine import Engine
from edgetune.data.labels import IGNORE_INDEX
from edgetune.gguf.compare import comparison
from edgetune.gguf.compare.comparison import Comparison, ComparisonResult
from edgetune.gguf.compare.measure import last_prompt
from edgetune.gguf.compare.page import comparison_page
from edgetune.gguf.compare.picture import decades, draw_picture, letter
from edgetune.gguf.proof.prove import Prover
from edgetune.gguf.proof.rows import ProofRow
from edgetune.gguf.source import from_folder, from_run
from edgetune.gguf.write import export_gguf
from edgetune.storage.workspace import Run, Workspace
from tests.conftest import ROOT, Train, write_facts

Call = Callable[..., tuple[int, str, str]]
TYPES = ["F32", "Q8_0", "Q2_K"]


@pytest.fixture(scope="module")
def shared_workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return Workspace(tmp_path_factory.mktemp("compare") / "workspace")


@pytest.fixture(scope="module")
def run(shared_workspace: Workspace, train_in: Train) -> Run:
    """A short run that changes the model's answers."""
    facts = write_facts(shared_workspace.path.parent / "facts.jsonl")
    return train_in(shared_workspace, "mine", base="nano", data=[str(facts)], max_steps=6)


@pytest.fixture(scope="module")
def result(shared_workspace: Workspace, run: Run) -> ComparisonResult:
    """Three types compared; Q8_0 is one of the run's exports."""
    source = from_run(run)
    export_gguf(source, ["Q8_0"], None)
    return Comparison(source, shared_workspace, TYPES, [], None, None, lambda _: None).run(lambda *_: None)


@pytest.fixture
def workspace(shared_workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workspace]:
    monkeypatch.setenv("EDGETUNE_WORKSPACE", str(shared_workspace.path))
    yield shared_workspace


def test_full_precision_costs_nothing_and_types_cost_more_the_smaller_they_are(result: ComparisonResult) -> None:
    exact, eight, two = result.files
    assert [file.name for file in result.files] == TYPES
    assert exact.kl_mean < 1e-7 and exact.top1 == 1 and exact.slope == pytest.approx(1, abs=1e-4)
    assert exact.perplexity == pytest.approx(result.perplexity, rel=1e-5) and exact.worse == pytest.approx(0, abs=1e-5)
    assert exact.kl_mean < eight.kl_mean < two.kl_mean and eight.kl_99 < two.kl_99
    assert exact.bits == pytest.approx(32, abs=0.01) and eight.bits == pytest.approx(8.5, abs=0.1)
    assert all(file.speed and file.memory > file.bytes for file in result.files)


def test_the_figures_are_the_proofs_and_llama_cpps(result: ComparisonResult, shared_workspace: Workspace, run: Run) -> None:
    eight = result.files[1]
    assert eight.path is not None
    proof = Prover(from_run(run), shared_workspace.proof_cache).prove(eight.path)
    for name, figure in {"kl_mean": eight.kl_mean, "kl_99": eight.kl_99, "top1": eight.top1, "slope": eight.slope}.items():
        assert proof.figure("behaviour", name) == figure, name
    assert proof.figure("behaviour", "perplexity") == pytest.approx(result.perplexity, rel=1e-12)
    assert proof.figure("behaviour", "perplexity_file") == eight.perplexity
    with Engine(eight.path) as engine:
        assert eight.bits == pytest.approx(8 * engine.info.size / engine.info.n_params, rel=1e-6)
    assert eight.bytes == eight.path.stat().st_size


def test_the_perplexity_is_that_of_the_evaluation(result: ComparisonResult, run: Run, edgetune: Call) -> None:
    """Which scores the same answers with llama.cpp another way, with the chat's F16 cache. In full precision, for what llama.cpp rounds
    the inputs of quantized matrices to differs with the processor and with how many rows it takes at once."""
    exact = run.exports / f"{run.name}-F32.gguf"
    assert edgetune("export", run.name, "--type", "F32", "--no-proof")[0] == 0
    code, out, err = edgetune("eval", exact, "--json")
    exact.unlink()
    assert code == 0, err
    assert json.loads(out)["gguf"]["perplexity"] == pytest.approx(result.files[0].perplexity, rel=1e-3)


def test_what_was_made_for_it_is_gone_also_after_a_failure(
    result: ComparisonResult, shared_workspace: Workspace, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert [file.path is not None for file in result.files] == [False, True, False]
    assert [path.name for path in run.exports.iterdir() if path.suffix == ".gguf"] == ["mine-Q8_0.gguf"]
    assert not list(shared_workspace.proof_cache.glob(".*"))

    def interrupted(*_: Any, **__: Any) -> None:
        assert list(shared_workspace.proof_cache.rglob("Q4_0.gguf"))
        raise KeyboardInterrupt

    monkeypatch.setattr(comparison, "measure_file", interrupted)
    with pytest.raises(KeyboardInterrupt):
        Comparison(from_run(run), shared_workspace, ["Q4_0"], [], None, None, lambda _: None).run(lambda *_: None)
    assert not list(shared_workspace.proof_cache.glob(".*"))


def test_the_command_shows_table_picture_and_advice(
    run: Run, result: ComparisonResult, edgetune: Call, tmp_path: Path, workspace: Workspace
) -> None:
    code, out, err = edgetune("compare", "mine", run.exports / "mine-Q8_0.gguf", "--type", "Q2_K", "--out", tmp_path / "types.html")
    assert code == 0, err
    for text in ("mine-Q8_0.gguf", "Q2_K", "mean KL from full precision", "Recommended: "):
        assert text in out
    assert "full precision: perplexity" in err and "next: edgetune" in err
    page = (tmp_path / "types.html").read_text(encoding="utf-8")
    assert "mine-Q8_0.gguf" in page and "<svg" in page
    code, out, _ = edgetune("compare", "mine", "--type", "Q8_0", "--json")
    (only,) = json.loads(out)["files"]
    assert code == 0 and only["path"].endswith("mine-Q8_0.gguf") and json.loads(out)["recommended"]["name"] == "Q8_0"
    assert only["kl_mean"] == result.files[1].kl_mean


def test_an_export_made_with_an_importance_matrix_does_not_stand_in_for_one_without(
    run: Run, result: ComparisonResult, shared_workspace: Workspace
) -> None:
    from edgetune.gguf.importance.matrix_cache import cached_matrix

    source = from_run(run)
    matrix = cached_matrix(source, shared_workspace).path
    export_gguf(source, ["Q3_K_M"], None, imatrix=matrix)
    for imatrix, reused in ((matrix, True), (None, False)):
        (only,) = Comparison(source, shared_workspace, ["Q3_K_M"], [], imatrix, None, lambda _: None).run(lambda *_: None).files
        assert (only.path is not None) == reused
    (run.exports / "mine-Q3_K_M.gguf").unlink()


def test_the_page_and_the_picture(result: ComparisonResult) -> None:
    odd = replace(result.files[0], name="<script>alert(1)</script>.gguf")
    page = comparison_page(replace(result, name="<b>x", files=(odd, *result.files[1:])))
    assert "<script" not in page and "<b>x" not in page and "http" not in page and "prefers-color-scheme: dark" in page
    assert page.count("<circle") == 3 and result.advice.why in page.replace("&#39;", "'")
    drawn = draw_picture(result, 80)
    body = [line for line in drawn.splitlines() if "│" in line or "┤" in line]
    assert [sum(line.count(letter(index)) for line in body) for index in range(3)] == [1, 1, 1]
    assert max(map(len, drawn.splitlines())) <= 80
    assert decades([3e-4, 2e-2]) == pytest.approx([1e-4, 1e-3, 1e-2, 1e-1]) and len(decades([1e-3])) == 2


def test_prompts_end_where_the_last_answer_begins() -> None:
    x = IGNORE_INDEX
    assert last_prompt(ProofRow([1, 2, 3, 4, 5, 6, 7], [x, x, 3, x, 5, 6, x], True)) == [1, 2, 3, 4]
    assert last_prompt(ProofRow([1, 2, 3, 4], [1, 2, 3, 4], False)) == [1, 2]
    assert last_prompt(ProofRow([1, 2], [x, x], True)) == [1]


def test_wrong_input_is_refused_before_the_work(edgetune: Call, stories: Path, tmp_path: Path, nano: Path) -> None:
    export_gguf(from_folder(stories, None), ["F16"], tmp_path / "stories.gguf")
    (tmp_path / "broken.gguf").write_bytes(b"GGUF")
    for arguments, why in (
        (("nano", tmp_path / "stories.gguf"), "not a file of nano"),
        (("nano", tmp_path / "broken.gguf"), "broken.gguf"),
        (("nano", tmp_path / "nowhere.gguf"), "no file"),
        ((tmp_path / "stories.gguf",), "The model comes first"),
        (("nano", "--type", "Q9"), "Q9"),
        (("nano", "--data", tmp_path / "nowhere"), "no file"),
        (("nano", "--imatrix", tmp_path / "nowhere"), "importance matrix"),
        (("nano", "--out", tmp_path), "is a folder"),
        (("nothing",), "no run"),
    ):
        code, out, err = edgetune("compare", *arguments)
        assert out == "" and code == (1 if "broken" in why else 2) and why in err, (arguments, code, err)


@pytest.mark.parametrize("flags", [(), ("--json",)])
def test_ctrl_c_is_said_and_leaves_nothing(workspace: Workspace, flags: tuple[str, ...]) -> None:
    command = [sys.executable, "-m", "edgetune", "compare", "nano", "--type", "F32", "--type", "Q8_0", *flags]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stderr is not None
        while "0/2 F32" not in process.stderr.readline():
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert json.loads(out)["error"]["title"] == "Interrupted" if flags else (out, err.splitlines()[-1]) == ("", "interrupted")
    assert not list(workspace.proof_cache.glob(".*"))
