"""A base that was quantized before: told by its weights, a change of it kept in every row, and what training left alone kept bit by bit."""

from pathlib import Path

import gguf
import numpy as np
import pytest

from converters import convert, slabs
from converters.gguf_file import Header, read_header
from converters.grid import grid_figures, keep_change
from converters.quantize import quantize_tensor
from converters.quants import read_quants
from converters.rounding import KEEPS_CHANGE, ROUNDING_KEY
from edgetune.gguf.import_file import import_gguf
from tests.converters.adapters import train
from tests.converters.reference import byte_level_tokenizer, qwen2_steps
from tests.converters.small_models import random_model

TYPES = ("Q8_0", "Q6_K", "Q5_K", "Q4_K", "Q4_1", "Q4_0", "IQ4_XS", "Q3_K", "Q2_K")
CONFIG = {
    "model_type": "llama",
    "vocab_size": 300,
    "num_hidden_layers": 2,
    "hidden_size": 256,
    "intermediate_size": 512,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 64,
    "tie_word_embeddings": False,
}


def values_of(blocks: np.ndarray, type_name: str, shape: tuple[int, ...]) -> np.ndarray:
    """What gguf-py reads from a matrix's blocks."""
    values: np.ndarray = gguf.quants.dequantize(blocks.reshape(shape[0], -1), gguf.GGMLQuantizationType[type_name])
    return values.reshape(shape)


def in_bfloat16(values: np.ndarray) -> np.ndarray:
    """Rounded to bfloat16 by gguf-py."""
    kind = gguf.GGMLQuantizationType.BF16
    rounded: np.ndarray = gguf.quants.dequantize(gguf.quants.quantize(values, kind), kind)
    return rounded


def normal_weights(rows: int = 64) -> np.ndarray:
    """Weights that were never quantized but to bfloat16."""
    return in_bfloat16(0.03 * np.random.default_rng(0).standard_normal((rows, 512), np.float32))


def on_grid(type_name: str, rows: int = 64) -> np.ndarray:
    """Weights as an import has them: quantized, and stored in bfloat16."""
    plain = 0.03 * np.random.default_rng(0).standard_normal((rows, 512), np.float32)
    return in_bfloat16(values_of(quantize_tensor(plain, type_name), type_name, plain.shape))


def low_rank(shape: tuple[int, int], size: float, base: np.ndarray) -> np.ndarray:
    """A change of rank 16, so large in relation to the base."""
    random = np.random.default_rng(1)
    change = random.standard_normal((shape[0], 16)) @ random.standard_normal((16, shape[1]))
    return (change * size * np.linalg.norm(base) / np.linalg.norm(change)).astype(np.float32)


def share(held: np.ndarray, base: np.ndarray, change: np.ndarray) -> float:
    """How much of a change is in weights: its projection."""
    return float(((held - base) * change).sum() / np.square(change).sum())


@pytest.mark.parametrize("type_name", TYPES)
def test_a_grid_is_told_by_the_weights_alone(type_name: str) -> None:
    base = on_grid(type_name)
    assert grid_figures(base, type_name).on_own_grid
    assert not grid_figures(normal_weights(), type_name).on_grid
    assert not grid_figures(np.random.default_rng(0).standard_t(3, (64, 512)).astype(np.float32), type_name).on_grid

    # A grid as fine as Q8_0's is none to a coarser type; the others are to any.
    assert all(grid_figures(base, other).on_grid for other in TYPES) or type_name == "Q8_0"
    pruned = normal_weights()
    pruned[:, ::2] = 0
    assert not grid_figures(pruned, type_name).on_grid


@pytest.mark.parametrize("type_name", TYPES)
def test_what_nearest_loses_is_kept(type_name: str) -> None:
    base = on_grid(type_name, 512)
    change = low_rank((512, 512), 0.02 if type_name not in ("Q8_0", "Q6_K") else 0.003, base)
    merged = base + change
    blocks = quantize_tensor(merged, type_name)
    kept = keep_change(blocks, type_name, merged, base)
    nearest, ours = values_of(blocks, type_name, base.shape), values_of(kept, type_name, base.shape)
    assert share(nearest, base, change) < 0.9
    assert share(ours, base, change) == pytest.approx(1, abs=0.05)
    assert np.array_equal(kept, keep_change(blocks, type_name, merged, base))

    # A stochastic rounding's mean square is at most twice that of rounding weights without a grid to nearest.
    plain = normal_weights(512) + change
    usual = np.linalg.norm(values_of(quantize_tensor(plain, type_name), type_name, plain.shape) - plain)
    assert np.linalg.norm(ours - merged) < 1.45 * usual


def test_the_answers_show_the_change_also_where_some_inputs_are_large() -> None:
    """As the largest activations of a real model: what training changes most is multiplied by most, and must not be kept at the cost of
    the rest."""
    random = np.random.default_rng(3)
    inputs = np.ones(512, np.float32)
    inputs[[5, 77, 300]] = 30
    base = on_grid("Q4_1", 512)
    factors = random.standard_normal((16, 512)) * inputs
    change = random.standard_normal((512, 16)) @ factors
    change = (change * 0.02 * np.linalg.norm(base) / np.linalg.norm(change)).astype(np.float32)
    kept = keep_change(quantize_tensor(base + change, "Q4_1"), "Q4_1", base + change, base)
    x = random.standard_normal((512, 256)) * inputs[:, None] + factors.T @ random.standard_normal((16, 256)) / 8
    shown = (values_of(kept, "Q4_1", base.shape) - base) @ x
    assert share(shown, np.zeros_like(shown), change @ x) == pytest.approx(1, abs=0.03)


def test_chance_depends_on_the_name_and_the_place_alone() -> None:
    base = on_grid("Q4_K")
    merged = base + low_rank((64, 512), 0.02, base)
    blocks = quantize_tensor(merged, "Q4_K").reshape(64, -1)
    whole = keep_change(blocks.reshape(-1), "Q4_K", merged, base, "a").reshape(64, -1)
    part = keep_change(blocks[40:].reshape(-1), "Q4_K", merged[40:], base[40:], "a", 40).reshape(24, -1)
    assert np.array_equal(whole[40:], part)
    assert not np.array_equal(whole, keep_change(blocks.reshape(-1), "Q4_K", merged, base, "b").reshape(64, -1))


def test_what_training_left_alone_stays_as_nearest_has_it() -> None:
    base = on_grid("Q4_K")
    merged = base.copy()
    merged[7] += low_rank((64, 512), 0.02, base)[7]
    blocks = quantize_tensor(merged, "Q4_K")
    kept = keep_change(blocks, "Q4_K", merged, base)
    moved = (read_quants(blocks.reshape(-1, 144), "Q4_K") != read_quants(kept.reshape(-1, 144), "Q4_K")).reshape(64, -1).any(axis=1)
    assert moved[7] and not np.delete(moved, 7).any()


def export(model: Path, adapter: Path | None, path: Path, type_name: str, threads: int = 1, before: Path | None = None) -> Header:
    """Write a file; its header."""
    plan = convert.plan_gguf(model, adapter, [type_name], chat_template=None, name="tiny", extra={}, before=before)
    with open(path, "wb") as file:
        plan.write(type_name, file, threads=threads)
    return read_header(path)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model that was never quantized, its Q4_K_M, that file imported, and an adapter of a light tune of the queries."""
    folder = tmp_path_factory.mktemp("made")
    random_model(CONFIG, folder / "model", "bfloat16")
    byte_level_tokenizer(folder / "model", 300, qwen2_steps())
    export(folder / "model", None, folder / "first.gguf", "Q4_K_M")
    import_gguf(folder / "first.gguf", folder / "imported")
    tuned = train(folder / "imported", folder / "adapter", target_modules=["q_proj"], lora_alpha=0.05)
    del tuned
    return folder


def test_untouched_tensors_keep_the_bytes_of_the_file_they_came_from(made: Path, tmp_path: Path) -> None:
    first = read_header(made / "first.gguf")
    again = export(made / "imported", made / "adapter", tmp_path / "again.gguf", "Q4_K_M")
    different = {name for name in first.tensors if not np.array_equal(first.raw(name), again.raw(name))}
    assert different == {"blk.0.attn_q.weight", "blk.1.attn_q.weight"}
    assert again.metadata[ROUNDING_KEY].startswith(KEEPS_CHANGE) and ROUNDING_KEY not in first.metadata

    # Another type is quantized as ever.
    other = export(made / "imported", None, tmp_path / "other.gguf", "Q8_0")
    assert other.tensors["blk.0.attn_q.weight"].type == "Q8_0"


def test_a_file_that_is_not_what_was_imported_is_not_taken_from(made: Path, tmp_path: Path) -> None:
    original = (made / "first.gguf").read_bytes()
    first = read_header(made / "first.gguf")
    start = first.data_start + first.tensors["blk.0.ffn_up.weight"].offset + 20
    try:
        (made / "first.gguf").write_bytes(original[:start] + bytes([original[start] ^ 0x11]) + original[start + 1 :])
        exported = export(made / "imported", None, tmp_path / "a.gguf", "Q4_K_M")
        (made / "first.gguf").write_bytes(b"gone")
        without = export(made / "imported", None, tmp_path / "b.gguf", "Q4_K_M")
    finally:
        (made / "first.gguf").write_bytes(original)
    assert np.array_equal(exported.raw("blk.0.ffn_up.weight"), without.raw("blk.0.ffn_up.weight"))
    assert np.array_equal(exported.raw("blk.0.ffn_down.weight"), first.raw("blk.0.ffn_down.weight"))


def test_neither_threads_nor_slabs_change_a_byte(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    export(made / "imported", made / "adapter", tmp_path / "whole.gguf", "Q4_K_M")
    monkeypatch.setattr(slabs, "MAX_SLAB", 2**12)
    monkeypatch.setattr(slabs, "MIN_SLAB", 2**12)
    export(made / "imported", made / "adapter", tmp_path / "parts.gguf", "Q4_K_M", threads=3)
    assert (tmp_path / "whole.gguf").read_bytes() == (tmp_path / "parts.gguf").read_bytes()


def test_a_base_without_a_grid_is_rounded_to_nearest(made: Path, tmp_path: Path) -> None:
    plan = convert.plan_gguf(made / "model", made / "adapter", ["Q4_K_M"], chat_template=None, name="tiny", extra={})
    assert not plan.on_grid("Q4_K_M") and ROUNDING_KEY not in plan.metadata("Q4_K_M")
    header = export(made / "model", made / "adapter", tmp_path / "a.gguf", "Q4_K_M")
    query = next(tensor for tensor in plan.tensors if tensor.name == "blk.0.attn_q.weight")
    merged = query.build(plan.merged_tensor(query.sources[0][0]))
    assert np.array_equal(header.raw(query.name), quantize_tensor(merged, header.tensors[query.name].type))


def test_a_model_trained_as_a_whole_is_held_against_its_base(made: Path, tmp_path: Path) -> None:
    """Full fine-tuning leaves a model and no adapter: what was learned is the difference."""
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(made / "imported", dtype="float32")
    query = model.model.layers[0].self_attn.q_proj.weight
    change = low_rank((256, 256), 0.01, query.detach().numpy())
    query.data += query.data.new_tensor(change)
    model.save_pretrained(tmp_path / "full")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (tmp_path / "full" / name).write_bytes((made / "imported" / name).read_bytes())

    name = "model.layers.0.self_attn.q_proj.weight"
    build = next(
        tensor.build
        for tensor in convert.plan_gguf(made / "imported", None, [], chat_template=None, name="n", extra={}).tensors
        if tensor.name == "blk.0.attn_q.weight"
    )
    before = build(convert.plan_gguf(made / "imported", None, [], chat_template=None, name="n", extra={}).merged_tensor(name))
    for base, low, high in ((None, -0.1, 0.5), (made / "imported", 0.9, 1.1)):
        header = export(tmp_path / "full", None, tmp_path / "full.gguf", "Q4_K_M", before=base)
        held = values_of(header.raw("blk.0.attn_q.weight"), header.tensors["blk.0.attn_q.weight"].type, before.shape)
        assert low < share(held, before, build(change)) < high
