"""Exports of a trained run: a correct one passes its proof, a wrong one fails it, and the first cause says what is wrong."""

import dataclasses
import math
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from edgetune.gguf.source import from_folder
from tests.gguf.proof.conftest import Bench
from tests.gguf.proof.faults import FAULTS, plan, write

TYPES = ("Q8_0", "Q4_K_M", "Q4_0")


@pytest.mark.parametrize("type_name", TYPES)
def test_a_correct_export_passes(bench: Callable[..., Bench], type_name: str) -> None:
    proof = bench("stories", "medium").right(type_name)
    assert proof.passed, proof.causes
    assert [check.name for check in proof.checks] == ["text", "weights", "meaning", "behaviour"]
    assert proof.figure("weights", "tensors_learned") == 35  # seven linear layers in each of five blocks
    assert proof.figure("weights", "strength") == pytest.approx(1, abs=0.03)
    assert proof.figure("behaviour", "answer_tokens") > 50
    # Trained on a 4-bit base: the merge onto the full base is some way off it, and the file its own way further. The KL of a small
    # change is half its squared length, so the three KLs obey the law of cosines; two roundings of the same weights are nowhere near
    # parallel (at most half, either way), so the two ways nearly add up.
    merge, own = proof.figure("behaviour", "kl_four_bit"), proof.figure("behaviour", "kl_mean")
    assert 1e-4 < merge < 0.5
    assert abs(proof.figure("behaviour", "kl_trained") - (merge + own)) < math.sqrt(merge * own)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_wrong_export_fails_by_name(bench: Callable[..., Bench], fault: str) -> None:
    proof = bench("stories", "medium").wrong(fault, "Q4_0")
    assert not proof.passed
    assert re.search(FAULTS[fault][1], proof.causes[0]), proof.causes


def test_only_llama_cpp_sees_what_exporter_and_reader_get_wrong_alike(bench: Callable[..., Bench]) -> None:
    proof = bench("stories", "medium").wrong("not permuted", "Q8_0")
    passed = {check.name: check.passed for check in proof.checks}
    assert passed["text"] and passed["weights"] and not passed["meaning"], proof.causes


def test_a_model_without_adapter_leaves_out_what_speaks_of_one(nano: Path, tmp_path: Path) -> None:
    from edgetune.gguf.proof.prove import Prover

    source = from_folder(nano, None)
    path = write(plan(source, None), "F32", tmp_path / "m.gguf")
    proof = Prover(source, tmp_path / "cache", tokens=128).prove(path)
    assert proof.passed, proof.causes
    assert proof.figure("meaning", "kl_mean") < 1e-7
    assert proof.figure("weights", "strength") is None and proof.figure("behaviour", "slope") is None
    assert not (tmp_path / "cache").exists()


def test_a_file_llama_cpp_cannot_load_fails(bench: Callable[..., Bench], tmp_path: Path) -> None:
    bench_run = bench("stories", "medium")
    whole = plan(bench_run.source, bench_run.source.adapter)
    path = write(dataclasses.replace(whole, _tensors=whole.tensors[:-1]), "Q8_0", tmp_path / "m.gguf")
    proof = bench_run.prover.prove(path)
    assert not proof.passed and "cannot load" in proof.causes[0]
