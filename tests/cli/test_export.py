"""`edgetune export`: the types it offers and the importance matrix it takes."""

import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np

from converters import imatrix
from converters.file_types import FILE_TYPES
from converters.gguf_file import read_header
from converters.imatrix import Entry, ImportanceMatrix
from edgetune.estimate.gguf_types import FACTS, TYPES, type_facts

Call = Callable[..., tuple[int, str, str]]


def test_types_are_those_of_the_converter_and_named_in_the_help(edgetune: Call) -> None:
    assert [one.name for one in FACTS] == [type_facts(name).name for name in TYPES] == list(FILE_TYPES)
    assert ", ".join(TYPES) in " ".join(edgetune("export", "--help")[1].split())


def test_types_go_from_the_largest_to_the_smallest(nano: Path) -> None:
    """As the choice of a run's smallest export counts on."""
    from converters import convert

    plan = convert.plan_gguf(nano, None, [], chat_template=None, name="n", extra={})
    sizes = [sum(info.size for info in plan.layout(name) if info.name == "blk.1.attn_q.weight") for name in TYPES]
    assert all(larger >= smaller for larger, smaller in itertools.pairwise(sizes))


def test_an_importance_matrix_changes_what_is_written(edgetune: Call, nano: Path, tmp_path: Path) -> None:
    from converters import convert

    plan = convert.plan_gguf(nano, None, [], chat_template=None, name="n", extra={})
    rng = np.random.default_rng(0)
    entries = {
        info.name: Entry((rng.normal(size=(1, info.shape[0])) ** 2).astype(np.float32), np.array([64]))
        for info in plan.layout("Q8_0")
        if info.name.startswith("blk.") and info.type != "F32" and info.name != "blk.0.ffn_up.weight"
    }
    with open(tmp_path / "m.gguf", "wb") as file:
        imatrix.write_imatrix(file, ImportanceMatrix(entries))
    assert edgetune("export", "nano", "--type", "IQ4_NL", "--out", tmp_path / "plain.gguf")[0] == 0
    code, _, err = edgetune("export", "nano", "--type", "IQ4_NL", "--out", tmp_path / "weighed.gguf", "--imatrix", tmp_path / "m.gguf")
    assert code == 0 and "blk.0.ffn_up.weight" in err
    plain, weighed = read_header(tmp_path / "plain.gguf"), read_header(tmp_path / "weighed.gguf")
    assert weighed.metadata["quantize.imatrix.file"] == "m.gguf"
    same = {name for name in plain.tensors if np.array_equal(plain.raw(name), weighed.raw(name))}
    assert "blk.0.ffn_up.weight" in same and "blk.0.ffn_gate.weight" not in same


def test_a_wrong_importance_matrix_leaves_nothing(edgetune: Call, tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("This is no importance matrix.")
    for file, code, why in ((tmp_path / "nowhere", 2, "not a file"), (tmp_path / "text.txt", 1, "not a valid importance matrix")):
        got, out, err = edgetune("export", "nano", "--out", tmp_path / "out" / "x.gguf", "--imatrix", file)
        assert (got, out) == (code, "") and why in err
    assert not (tmp_path / "out").exists()
