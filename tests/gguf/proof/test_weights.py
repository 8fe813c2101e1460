"""How much of what was learned a tensor holds, measured on what ggml's quantization made of it."""

import gguf
import numpy as np
import pytest

from converters.quantize import quantize_tensor
from edgetune.gguf.proof.weights import TensorError, measure_tensor


def quantized_error(type_name: str, strength: float, weighed: bool) -> TensorError:
    """A matrix with a low-rank change at some strength, quantized with or without an importance matrix, read back by gguf-py."""
    rng = np.random.default_rng(0)
    base = rng.normal(0, 0.05, (256, 512)).astype(np.float32)
    learned = (rng.normal(0, 0.05, (256, 8)) @ rng.normal(0, 0.05, (8, 512))).astype(np.float32)
    importance = np.exp(rng.normal(0, 1.5, 512)).astype(np.float32) if weighed else None
    raw = quantize_tensor(base + np.float32(strength) * learned, type_name, threads=1, importance=importance)
    kind = gguf.GGMLQuantizationType[type_name]
    read_back = gguf.quants.dequantize(raw.reshape(256, -1), kind).reshape(base.shape)
    return measure_tensor("blk.0.attn_q.weight", type_name, read_back, base + learned, base)


@pytest.mark.parametrize("weighed", [False, True], ids=["plain", "imatrix"])
@pytest.mark.parametrize("type_name", ["Q2_K", "Q3_K", "IQ4_XS", "Q4_K", "Q6_K"])
def test_what_is_in_full_counts_as_whole_also_where_a_type_shrinks_all_weights(type_name: str, weighed: bool) -> None:
    error = quantized_error(type_name, 1.0, weighed)
    assert not error.weak, error


@pytest.mark.parametrize("strength", [0.0, 0.8, 1.1, 1.5])
@pytest.mark.parametrize("type_name", ["Q3_K", "Q4_K", "Q6_K"])
def test_another_strength_is_noticed(type_name: str, strength: float) -> None:
    error = quantized_error(type_name, strength, True)
    assert error.strength == pytest.approx(strength, abs=max(0.02, 5 * error.standard_error)), error
    assert error.weak or abs(strength - 1) < 5 * error.standard_error, error
