"""The same types and the same bytes as llama.cpp's own quantizer."""

import itertools
import json
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from converters import compiled, convert, slabs
from converters.errors import ConversionError
from converters.file_types import FILE_TYPES
from converters.gguf_file import GGML_TYPES, read_header
from converters.imatrix import ImportanceMatrix
from converters.quantize import choose_types, quantize_tensor
from tests.converters.adapters import train
from tests.converters.quantizer import chosen_types, importance_of, over_counts, quantize_file, write_header, write_model
from tests.converters.reference import byte_level_tokenizer, qwen2_steps, write_gguf
from tests.converters.small_models import random_model

LLAMA = {"model_type": "llama", "vocab_size": 300, "tie_word_embeddings": False}


def llama(layers: int, hidden: int, inner: int, heads: tuple[int, int], size: int, tied: bool = False) -> dict[str, Any]:
    """A configuration. Rows are `hidden` long, in ffn_down `inner` long, in attn_output heads[0] * size."""
    return LLAMA | {
        "num_hidden_layers": layers,
        "hidden_size": hidden,
        "intermediate_size": inner,
        "num_attention_heads": heads[0],
        "num_key_value_heads": heads[1],
        "head_dim": size,
        "tie_word_embeddings": tied,
    }


ROWS = {
    "256, 96, 176, heads shared by four": llama(8, 256, 96, (8, 2), 22),
    "64, 256, 256, tied": llama(2, 64, 256, (4, 4), 64, tied=True),
    "40, 72, 48, tied": llama(2, 40, 72, (4, 2), 12, tied=True),
}
MORE_ROWS = {
    "256, heads shared by two": llama(9, 256, 256, (4, 2), 64),
    "512, 256, 288, heads shared by eight": llama(3, 512, 256, (8, 1), 36),
    "64, 256, tied, many layers": llama(16, 64, 256, (4, 4), 64, tied=True),
    "64, 172, 64": llama(9, 64, 172, (4, 2), 16),
    "512, 768, tied": llama(1, 512, 768, (8, 2), 64, tied=True),
}
WITH_ADAPTER = {
    "tied": llama(4, 256, 768, (4, 2), 64, tied=True),
    "biases": llama(4, 256, 768, (4, 2), 64) | {"attention_bias": True},
}
Source = Callable[[dict[str, Any]], tuple[Path, Path]]


@pytest.fixture(autouse=True)
def compiled_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Kernels also for matrices so small that compiling them is not worth it."""
    monkeypatch.setattr(compiled, "WORTH_COMPILING", 0)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Source:
    """Makes a configuration's model folder and its F32 file, the same configuration only once."""
    made: dict[str, tuple[Path, Path]] = {}

    def make(config: dict[str, Any]) -> tuple[Path, Path]:
        key = json.dumps(config)
        if key not in made:
            folder = tmp_path_factory.mktemp("model")
            write_gguf(write_model(folder / "model", config), folder / "f32.gguf", "F32")
            made[key] = folder / "model", folder / "f32.gguf"
        return made[key]

    return make


def assert_same_bytes(
    library: Any, model: Path, f32: Path, folder: Path, type_name: str, matrix: ImportanceMatrix | None, adapter: Path | None = None
) -> None:
    """Convert the folder, let llama.cpp quantize the F32 file, and compare tensor by tensor."""
    assert quantize_file(library, f32, folder / "theirs.gguf", type_name, over_counts(matrix) if matrix else None)
    write_gguf(model, folder / "ours.gguf", type_name, adapter, imatrix=matrix)
    ours, theirs = read_header(folder / "ours.gguf"), read_header(folder / "theirs.gguf")
    assert {name: info.type for name, info in ours.tensors.items()} == {name: info.type for name, info in theirs.tensors.items()}
    for name in ours.tensors:
        assert np.array_equal(ours.raw(name), theirs.raw(name)), name
    for key in ("general.file_type", "general.quantization_version"):
        assert ours.metadata[key] == theirs.metadata[key]


@pytest.mark.parametrize("with_matrix", [False, True], ids=["plain", "imatrix"])
@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("type_name", FILE_TYPES)
def test_bytes_equal_llama_model_quantize(
    source: Source, llama_cpp: Any, tmp_path: Path, rows: str, type_name: str, with_matrix: bool
) -> None:
    matrix = importance_of(ROWS[rows]) if with_matrix else None
    assert_same_bytes(llama_cpp, *source(ROWS[rows]), tmp_path, type_name, matrix)


@pytest.mark.slow
@pytest.mark.parametrize("with_matrix", [False, True], ids=["plain", "imatrix"])
@pytest.mark.parametrize("rows", MORE_ROWS)
@pytest.mark.parametrize("type_name", FILE_TYPES)
def test_bytes_equal_llama_model_quantize_on_more_rows(
    source: Source, llama_cpp: Any, tmp_path: Path, rows: str, type_name: str, with_matrix: bool
) -> None:
    matrix = importance_of(MORE_ROWS[rows]) if with_matrix else None
    assert_same_bytes(llama_cpp, *source(MORE_ROWS[rows]), tmp_path, type_name, matrix)


@pytest.fixture(scope="module", params=WITH_ADAPTER)
def real(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Path:
    """A folder with a model in BF16, an adapter on all its linear layers, and the F32 file of both merged."""
    folder = tmp_path_factory.mktemp("real")
    random_model(WITH_ADAPTER[request.param], folder / "model", "bfloat16")
    byte_level_tokenizer(folder / "model", 300, qwen2_steps())
    train(folder / "model", folder / "model-lora", target_modules="all-linear")
    write_gguf(folder / "model", folder / "f32.gguf", "F32", folder / "model-lora")
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("type_name", FILE_TYPES)
def test_bytes_equal_with_an_adapter_merged(real: Path, llama_cpp: Any, tmp_path: Path, type_name: str) -> None:
    for matrix in (None, importance_of(json.loads((real / "model" / "config.json").read_text()))):
        assert_same_bytes(llama_cpp, real / "model", real / "f32.gguf", tmp_path, type_name, matrix, real / "model-lora")


def test_memory_holds_some_rows_of_a_large_matrix_and_not_all(source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three matrices of 16 MiB each go through in slabs of 256 KiB, to the same bytes."""
    model, _ = source(llama(1, 256, 16_384, (4, 4), 64))
    write_gguf(model, tmp_path / "whole.gguf", "Q4_K_M")
    monkeypatch.setattr(slabs, "MAX_SLAB", 2**16)
    monkeypatch.setattr(slabs, "MIN_SLAB", 2**10)
    plan = convert.plan_gguf(model, None, ["Q4_K_M"], chat_template=None, name="tiny", extra={})
    with open(tmp_path / "slabs.gguf", "wb") as file:
        tracemalloc.start()
        plan.write("Q4_K_M", file, threads=1)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert (tmp_path / "slabs.gguf").read_bytes() == (tmp_path / "whole.gguf").read_bytes()
    assert peak < 8 * 2**20, peak


def assert_same_types(library: Any, path: Path, architecture: str, config: dict[str, Any]) -> None:
    """Compare the choice for every type, without an importance matrix and with one, with what a dry run says."""
    tensors = write_header(path, config, architecture)
    shapes = [(tensor.name, tensor.shape) for tensor in tensors]
    layers, heads, kv_heads = (config[key] for key in ("num_hidden_layers", "num_attention_heads", "num_key_value_heads"))
    is_70b = layers == 80 and (architecture == "qwen2" or heads != kv_heads)
    for type_name, matrix in itertools.product(FILE_TYPES, (None, {"blk.0.attn_q.weight": np.ones(1, np.float32)})):
        theirs = chosen_types(library, path, type_name, matrix)
        ours = choose_types(shapes, type_name, layers, gqa=heads // kv_heads, is_70b=is_70b, imatrix=matrix is not None)
        assert len(theirs) == len(tensors)
        assert ours == theirs, (type_name, layers, matrix)


@pytest.mark.parametrize(
    ("architecture", "layers", "heads", "tied"),
    [
        ("llama", 8, (8, 2), True),
        ("llama", 31, (8, 8), False),
        ("llama", 80, (9, 3), True),
        ("llama", 80, (8, 8), True),
        ("qwen2", 80, (8, 8), False),
    ],
)
def test_types_are_those_of_a_dry_run(
    llama_cpp: Any, tmp_path: Path, architecture: str, layers: int, heads: tuple[int, int], tied: bool
) -> None:
    assert_same_types(llama_cpp, tmp_path / "h.gguf", architecture, llama(layers, 256, 512, heads, 32, tied))


def test_a_matrix_of_one_row_is_none(llama_cpp: Any, tmp_path: Path) -> None:
    assert_same_types(llama_cpp, tmp_path / "h.gguf", "llama", llama(1, 256, 512, (8, 8), 32) | {"vocab_size": 1})


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ["llama", "qwen2"])
@pytest.mark.parametrize("heads", [(8, 8), (8, 2), (9, 3)], ids=str)
@pytest.mark.parametrize("tied", [False, True], ids=["untied", "tied"])
def test_types_are_those_of_a_dry_run_at_every_size(
    llama_cpp: Any, tmp_path: Path, architecture: str, heads: tuple[int, int], tied: bool
) -> None:
    """Every number of layers at which a rule changes sides, up to 80, where llama.cpp speaks of 70B; rows that divide and do not."""
    shapes = itertools.cycle([(256, 512, 32), (64, 256, 128), (288, 40, 32)])
    for layers, (hidden, inner, size) in zip((1, 7, 8, 15, 16, 31, 32, 40, 80, 126), shapes, strict=False):
        assert_same_types(llama_cpp, tmp_path / "h.gguf", architecture, llama(layers, hidden, inner, heads, size, tied))


def test_threads_do_not_change_a_byte() -> None:
    values = np.random.default_rng(0).normal(size=(3000, 512)).astype(np.float32)
    assert np.array_equal(quantize_tensor(values, "Q4_K", threads=1), quantize_tensor(values, "Q4_K", threads=3))


@pytest.mark.parametrize("type_name", ["F16", "BF16"])
def test_half_precision_rounds_as_gguf_py_does(type_name: str) -> None:
    """Every size of number, halfway cases (to the even neighbour), subnormal numbers."""
    import gguf

    values = np.random.default_rng(0).integers(0, 0x477FE000, 100_000, np.uint32).view(np.float32)  # up to 65504
    values[::3] *= -1
    values[:4] = np.array([0x3F808000, 0x3F818000, 0x3F801000, 0x3F803000], np.uint32).view(np.float32)
    values[4:8] = 1e-40, 6e-8, 2.9802322e-08, -0.0
    theirs = gguf.quants.quantize(values, gguf.GGMLQuantizationType[type_name]).reshape(-1).view(np.uint8)
    assert np.array_equal(quantize_tensor(values, type_name), theirs)


@pytest.mark.parametrize(("type_name", "value"), [("F16", 1e5), ("BF16", 3.4028e38), ("Q8_0", 1e30), ("Q4_0", 1e30), ("Q4_K", 1e30)])
def test_values_out_of_range_are_refused_by_tensor(type_name: str, value: float) -> None:
    values = np.ones((2, 256), np.float32)
    values[1, 7] = value
    with pytest.raises(ConversionError, match=r"blk\.0"):
        quantize_tensor(values, type_name, "blk.0.ffn_up.weight")


def test_block_sizes_are_those_of_gguf_py() -> None:
    import gguf

    for name, block in GGML_TYPES.items():
        kind = gguf.GGMLQuantizationType[name]
        assert (kind.value, *gguf.GGML_QUANT_SIZES[kind]) == tuple(block)


@pytest.mark.parametrize(("hidden", "held"), [(64, ("Q5_0", "Q8_0")), (40, ("F16",)), (256, ())])
def test_a_type_in_name_only_is_named_as_what_it_is(tmp_path: Path, llama_cpp: Any, hidden: int, held: tuple[str, ...]) -> None:
    """In a narrow model no row is filled by blocks of 256: llama.cpp writes other types under the name Q4_K_M."""
    write_gguf(write_model(tmp_path / "m", llama(2, hidden, hidden, (4, 2), hidden // 4)), tmp_path / "f32.gguf", "F32")
    assert quantize_file(llama_cpp, tmp_path / "f32.gguf", tmp_path / "theirs.gguf", "Q4_K_M")
    theirs = {info.type for info in read_header(tmp_path / "theirs.gguf").tensors.values()}
    assert ("Q4_K" in theirs) == (not held) and theirs >= set(held)

    notes = convert.plan_gguf(tmp_path / "m", None, ["Q4_K_M", "F16"], chat_template=None, name="n", extra={}).notes
    said = [note for note in notes if "Q4_K_M" in note]
    assert len(said) == bool(held) and all(name in said[0] for name in held) and not any("The F16" in note for note in notes)
