"""Every quant is read from the bits that gguf-py takes it from, and written there alone."""

import gguf
import numpy as np
import pytest

from converters.gguf_file import GGML_TYPES
from converters.quantize import quantize_tensor
from converters.quants import quant_range, read_quants, write_quants

TYPES = ("Q8_0", "Q6_K", "Q5_K", "Q5_0", "Q5_1", "Q4_0", "Q4_1", "Q4_K", "IQ4_NL", "IQ4_XS", "Q3_K", "Q2_K")


def values_of(blocks: np.ndarray, type_name: str) -> np.ndarray:
    """What gguf-py reads from blocks."""
    values: np.ndarray = gguf.quants.dequantize(blocks, gguf.GGMLQuantizationType[type_name])
    return values


@pytest.mark.parametrize("type_name", TYPES)
def test_a_quant_changed_changes_its_weight_alone_and_by_its_place_in_the_order(type_name: str) -> None:
    weights, size = GGML_TYPES[type_name].weights, GGML_TYPES[type_name].size
    row = np.random.default_rng(0).standard_normal((1, weights), np.float32)
    blocks = np.repeat(quantize_tensor(row, type_name, threads=1).reshape(1, size), weights, axis=0)
    quants = read_quants(blocks, type_name)
    low, high = quant_range(type_name)
    assert np.array_equal(write_quants(blocks, type_name, quants), blocks)
    assert low <= quants.min() and quants.max() <= high

    # In copy i of the block, weight i gets every quant in turn: the values rise or fall steadily, and no other weight moves.
    original = values_of(blocks, type_name)
    own = np.eye(weights, dtype=bool)
    seen = []
    for quant in range(low, high + 1):
        changed = write_quants(blocks, type_name, np.where(own, quant, quants).astype(np.int16))
        values = values_of(changed, type_name)
        assert np.array_equal(values[~own], original[~own])
        seen.append(values[own])
    steps = np.diff(np.array(seen), axis=0)
    counted = np.flatnonzero(steps[0])  # a group's scale may be zero
    assert counted.size > 0.9 * weights
    assert np.all(np.abs(np.sign(steps).sum(axis=0))[counted] == high - low)
