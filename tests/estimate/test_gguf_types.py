"""The bits of each type are those of llama.cpp's own table, and those that the converter would write of the same model."""

import math

import pytest

from converters.file_types import FILE_TYPES
from converters.gguf_file import GGML_TYPES
from converters.quantize import choose_types
from edgetune.estimate.gguf_types import TYPES, type_facts

LAYERS, HIDDEN, INNER, KEYS, VOCABULARY = 32, 4096, 14336, 1024, 128256
LLAMA_CPP = {
    "IQ4_XS": 4.4597,
    "IQ4_NL": 4.6818,
    "Q2_K": 3.1593,
    "Q3_K_M": 3.9960,
    "Q4_K_S": 4.6672,
    "Q4_K_M": 4.8944,
    "Q5_K_S": 5.5704,
    "Q5_K_M": 5.7036,
    "Q6_K": 6.5633,
    "Q8_0": 8.5008,
    "F16": 16.0005,
}
"""Bits per weight of Llama-3.1-8B (llama.cpp's tools/quantize/README.md, as in llama-cpp-python 0.3.36)."""


def llama_3_1_8b() -> list[tuple[str, tuple[int, ...]]]:
    """The tensors of its GGUF."""
    layer = {
        "attn_norm": (HIDDEN,),
        "ffn_norm": (HIDDEN,),
        "attn_q": (HIDDEN, HIDDEN),
        "attn_k": (KEYS, HIDDEN),
        "attn_v": (KEYS, HIDDEN),
        "attn_output": (HIDDEN, HIDDEN),
        "ffn_gate": (INNER, HIDDEN),
        "ffn_up": (INNER, HIDDEN),
        "ffn_down": (HIDDEN, INNER),
    }
    ends = {"token_embd": (VOCABULARY, HIDDEN), "output": (VOCABULARY, HIDDEN), "output_norm": (HIDDEN,), "rope_freqs": (64,)}
    layers = {f"blk.{number}.{name}": shape for number in range(LAYERS) for name, shape in layer.items()}
    return [(f"{name}.weight", shape) for name, shape in (ends | layers).items()]


def bits_per_weight(type_name: str) -> float:
    """Of the file that the converter writes."""
    tensors = llama_3_1_8b()
    types = choose_types(tensors, type_name, LAYERS, gqa=HIDDEN // KEYS)
    blocks = {name: GGML_TYPES[types[name]] for name, _ in tensors}
    bits = sum(math.prod(shape) * 8 * blocks[name].size / blocks[name].weights for name, shape in tensors)
    return bits / sum(math.prod(shape) for _, shape in tensors)


@pytest.mark.parametrize("type_name", LLAMA_CPP)
def test_the_converter_writes_as_many_bits_as_llama_cpp_lists(type_name: str) -> None:
    assert bits_per_weight(type_name) == pytest.approx(LLAMA_CPP[type_name], abs=5e-5)


def test_every_type_states_its_bits_to_two_decimals() -> None:
    assert set(LLAMA_CPP) < set(TYPES) == set(FILE_TYPES)
    for type_name in TYPES:
        assert type_facts(type_name).bits == pytest.approx(bits_per_weight(type_name), abs=0.005), type_name
