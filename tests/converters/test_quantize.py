"""The same types and the same bytes as llama.cpp's own quantizer."""

import ctypes
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from converters.errors import ConversionError
from converters.gguf_file import TYPES, read_header
from converters.quantize import FILE_TYPES, quantize
from tests.converters.conftest import MakeModel
from tests.converters.reference import write_gguf

WIDE = {
    "model_type": "llama",
    "vocab_size": 300,
    "hidden_size": 256,
    "intermediate_size": 256,
    "num_hidden_layers": 11,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "tie_word_embeddings": False,
}
NARROW = WIDE | {"hidden_size": 64, "intermediate_size": 172, "num_hidden_layers": 3, "tie_word_embeddings": True}
ODD = NARROW | {"hidden_size": 512, "intermediate_size": 288, "num_hidden_layers": 2, "head_dim": 24}


@pytest.mark.parametrize("config", [WIDE, NARROW, ODD], ids=["rows of 256", "rows of 64 and 172", "rows of 512 and 288"])
@pytest.mark.parametrize("type_name", FILE_TYPES)
def test_bytes_equal_llama_model_quantize(
    make_model: MakeModel, llama_cpp: Any, tmp_path: Path, config: dict[str, Any], type_name: str
) -> None:
    source, target = tmp_path / "f32.gguf", tmp_path / "theirs.gguf"
    write_gguf(make_model(config), source, "F32")
    params = llama_cpp.llama_model_quantize_default_params()
    params.ftype, params.nthread = FILE_TYPES[type_name][0], 1
    assert llama_cpp.llama_model_quantize(str(source).encode(), str(target).encode(), ctypes.byref(params)) == 0
    write_gguf(make_model(config), tmp_path / "ours.gguf", type_name)
    ours, theirs = read_header(tmp_path / "ours.gguf"), read_header(target)
    assert {name: info.type for name, info in ours.tensors.items()} == {name: info.type for name, info in theirs.tensors.items()}
    for name in ours.tensors:
        assert np.array_equal(ours.raw(name), theirs.raw(name)), name
    assert ours.metadata["general.file_type"] == theirs.metadata["general.file_type"]
    assert ours.metadata["general.quantization_version"] == theirs.metadata["general.quantization_version"]


def test_threads_do_not_change_a_byte() -> None:
    values = np.random.default_rng(0).normal(size=(3000, 512)).astype(np.float32)
    assert np.array_equal(quantize(values, "Q4_K", threads=1), quantize(values, "Q4_K", threads=3))


def test_bf16_rounds_as_gguf_py_does() -> None:
    import gguf

    values = np.random.default_rng(0).normal(size=10_000).astype(np.float32)
    values[:2] = np.array([0x3F808000, 0x3F818000], np.uint32).view(np.float32)  # halfway: to the even neighbour
    values[2] = 1e-40
    assert np.array_equal(quantize(values, "BF16"), gguf.quants.quantize(values, gguf.GGMLQuantizationType.BF16).reshape(-1).view(np.uint8))


@pytest.mark.parametrize(("type_name", "value"), [("F16", 1e5), ("BF16", 3.4028e38), ("Q8_0", 1e30), ("Q4_0", 1e30), ("Q4_K", 1e30)])
def test_values_out_of_range_are_refused_by_tensor(type_name: str, value: float) -> None:
    values = np.ones((2, 256), np.float32)
    values[1, 7] = value
    with pytest.raises(ConversionError, match=r"blk\.0"):
        quantize(values, type_name, "blk.0.ffn_up.weight")


def test_block_sizes_are_those_of_gguf_py() -> None:
    import gguf

    for name, block in TYPES.items():
        kind = gguf.GGMLQuantizationType[name]
        assert (kind.value, *gguf.GGML_QUANT_SIZES[kind]) == tuple(block)
