"""What is gathered in torch is what llama.cpp multiplies its matrices with, for every architecture, in its own names and its own order."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from converters import convert
from converters.archs import supported
from converters.imatrix import Entry
from edgetune.gguf.importance.gather import TOKENS_PER_BATCH, gather_entries, group_by_length, load_merged_model, stream_merged_model
from tests.converters.adapters import train
from tests.converters.conftest import MakeModel
from tests.converters.reference import write_gguf
from tests.converters.test_archs import VARIANTS, tiny
from tests.gguf.importance.llama_sums import sums

ROWS = [np.random.default_rng(seed).integers(3, 90, length).tolist() for seed, length in enumerate((64, 17, 40, 40))]
ROUNDING, GELU = 5e-5, 1e-2
"""How far sums may be apart, relative to their matrix's mean: float32 (seen: 1e-5 at most), and where ggml looks GELU up in a table of
F16 (2^-11 before and after it, squared; seen: 5e-3). A channel in another's place is off by about one."""


def ours(folder: Path, adapter: Path | None = None, rows: list[list[int]] = ROWS, stream: bool = False) -> dict[str, Entry]:
    """What is gathered of a folder."""
    plan = convert.plan_gguf(folder, adapter, [], chat_template=None, name="", extra={})
    model = stream_merged_model(plan, folder, "cpu") if stream else load_merged_model(plan, folder, "cpu", "float32")
    return gather_entries(model, plan.inputs(), rows, "cpu")


def check(folder: Path, library: Any, path: Path, kind: str, adapter: Path | None = None) -> None:
    """Hold every matrix that can be quantized against what llama.cpp multiplies it with in the F32 file."""
    plan = write_gguf(folder, path, "F32", adapter)
    theirs, counts = sums(library, path, ROWS)
    entries = ours(folder, adapter)
    assert theirs.keys() - {"token_embd.weight"} == entries.keys() == {entry.name for entry in plan.inputs()}
    for name, entry in entries.items():
        assert entry.counts.tolist() == [counts[name]] == [sum(map(len, ROWS))], name
        away = np.abs(entry.sums[0] - theirs[name]).max() / theirs[name].mean()
        assert away <= (GELU if kind.startswith(("gemma", "gpt2")) else ROUNDING), (name, away)


@pytest.mark.parametrize("kind", supported())
def test_the_sums_are_llama_cpps(make_model: MakeModel, llama_cpp: Any, tmp_path: Path, kind: str) -> None:
    check(make_model(tiny(kind)), llama_cpp, tmp_path / "m.gguf", kind)


@pytest.mark.parametrize("variant", ["qwen2-untied", "phi3-plain", "gemma4-plain", "gpt2-untied"])
def test_the_sums_of_variants_are_llama_cpps(make_model: MakeModel, llama_cpp: Any, tmp_path: Path, variant: str) -> None:
    kind, changes = VARIANTS[variant]
    check(make_model(tiny(kind, **changes)), llama_cpp, tmp_path / "m.gguf", kind)


@pytest.mark.parametrize("targets", ["all-linear", ["embed_tokens", "q_proj"]], ids=["linear", "embeddings untied"])
def test_the_sums_are_those_of_the_merged_model(make_model: MakeModel, llama_cpp: Any, tmp_path: Path, targets: Any) -> None:
    folder = make_model(tiny("llama", tie_word_embeddings=True))
    train(folder, tmp_path / "adapter", target_modules=targets)
    check(folder, llama_cpp, tmp_path / "m.gguf", "llama", tmp_path / "adapter")
    merged, base = ours(folder, tmp_path / "adapter"), ours(folder)
    assert not np.allclose(merged["blk.1.attn_q.weight"].sums, base["blk.1.attn_q.weight"].sums, rtol=0.01)


def test_a_model_read_layer_by_layer_gives_the_same_sums(make_model: MakeModel, tmp_path: Path) -> None:
    for kind in supported():
        folder = make_model(tiny(kind))
        whole = ours(folder)
        for name, entry in ours(folder, stream=True).items():
            assert np.allclose(entry.sums, whole[name].sums, rtol=1e-5), (kind, name)
    folder = make_model(tiny("llama", tie_word_embeddings=True))
    train(folder, tmp_path / "adapter", target_modules=["embed_tokens", "q_proj"])
    whole, parts = ours(folder, tmp_path / "adapter"), ours(folder, tmp_path / "adapter", stream=True)
    assert whole.keys() == parts.keys()
    assert all(np.allclose(parts[name].sums, whole[name].sums, rtol=1e-5) for name in whole)


def test_a_text_counts_the_same_alone_and_beside_longer_ones(make_model: MakeModel) -> None:
    """Also where layers keep a state or look at their neighbours."""
    for kind in ("qwen3_5_text", "lfm2", "gemma3_text"):
        folder = make_model(tiny(kind))
        alone = [ours(folder, rows=[row]) for row in ROWS]
        for name, entry in ours(folder).items():
            added = np.sum([entry[name].sums for entry in alone], axis=0)
            assert np.allclose(entry.sums, added, rtol=1e-4, atol=1e-5 * added.mean()), (kind, name)


def test_batches_hold_every_row_once_and_stay_small() -> None:
    rows = [[index] * length for index, length in enumerate((5, TOKENS_PER_BATCH, 3, 700, 700, 700, 1, TOKENS_PER_BATCH + 9))]
    groups = list(group_by_length(rows))
    assert sorted(row for batch in groups for row in batch) == sorted(rows)
    assert all(len(batch) == 1 or max(map(len, batch)) * len(batch) <= TOKENS_PER_BATCH for batch in groups)
