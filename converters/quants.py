"""The whole numbers ("quants") inside ggml's quantized blocks: read them, change them, and write them back; scales stay as they are.

Where each weight's bits lie is a table for each type (ggml/src/ggml-common.h, block_*, and the dequantize_row_* of ggml-quants.c).
"""

from functools import cache
from typing import NamedTuple

import numpy as np

from converters.gguf_file import GGML_TYPES


class BitField(NamedTuple):
    """Some bits of every weight's quant: in which byte of the block, how far to the left there, how many, and how far up in the quant."""

    byte: np.ndarray
    shift: np.ndarray
    width: int
    place: int


def _nibbles(weights: int, start: int, half: int) -> BitField:
    """Four bits each, the weights in groups of 2·half: the first half in the lower nibbles of `half` bytes, the second in the upper."""
    i = np.arange(weights)
    return BitField(start + half * (i // (2 * half)) + i % half, 4 * (i // half % 2), 4, 0)


def _pairs(start: int, place: int = 0) -> BitField:
    """Two bits each of 256 weights: four weights 32 apart in one byte."""
    i = np.arange(256)
    return BitField(start + 32 * (i // 128) + i % 32, 2 * (i // 32 % 4), 2, place)


def _bit_planes(start: int, place: int) -> BitField:
    """One bit each of 256 weights: eight weights 32 apart in one byte."""
    i = np.arange(256)
    return BitField(start + i % 32, i // 32, 1, place)


def _single_bits(start: int) -> BitField:
    """One bit each of 32 weights, eight neighbors in one byte."""
    i = np.arange(32)
    return BitField(start + i // 8, i % 8, 1, 4)


@cache
def _fields(type_name: str) -> tuple[BitField, ...]:
    return {
        "Q8_0": (BitField(2 + np.arange(32), np.zeros(32, int), 8, 0),),
        "Q4_0": (_nibbles(32, 2, 16),),
        "Q4_1": (_nibbles(32, 4, 16),),
        "Q5_0": (_nibbles(32, 6, 16), _single_bits(2)),
        "Q5_1": (_nibbles(32, 8, 16), _single_bits(4)),
        "IQ4_NL": (_nibbles(32, 2, 16),),
        "IQ4_XS": (_nibbles(256, 8, 16),),
        "Q2_K": (_pairs(16),),
        "Q3_K": (_pairs(32), _bit_planes(0, 2)),
        "Q4_K": (_nibbles(256, 16, 32),),
        "Q5_K": (_nibbles(256, 48, 32), _bit_planes(16, 4)),
        "Q6_K": (_nibbles(256, 0, 64), _pairs(128, 4)),
    }[type_name]


def quant_range(type_name: str) -> tuple[int, int]:
    """The lowest and the highest quant of a type: Q8_0's are signed, where -128 is never written; the others begin at 0."""
    if type_name == "Q8_0":
        return -127, 127
    return 0, 2 ** sum(field.width for field in _fields(type_name)) - 1


def read_quants(blocks: np.ndarray, type_name: str) -> np.ndarray:
    """The quants (int16 [blocks, weights]) of blocks (uint8 [blocks, bytes])."""
    quants = np.zeros((len(blocks), GGML_TYPES[type_name].weights), np.uint8)
    for field in _fields(type_name):
        quants |= (blocks[:, field.byte] >> field.shift.astype(np.uint8) & np.uint8(2**field.width - 1)) << np.uint8(field.place)
    return (quants.view(np.int8) if type_name == "Q8_0" else quants).astype(np.int16)


def write_quants(blocks: np.ndarray, type_name: str, quants: np.ndarray) -> np.ndarray:
    """Blocks with other quants, everything else the same."""
    result = blocks.copy()
    bits = quants.astype(np.uint8)
    for field in _fields(type_name):
        mask = np.uint8(2**field.width - 1)
        values = (bits >> np.uint8(field.place) & mask) << field.shift.astype(np.uint8)

        # Several weights share a byte: those at one shift lie in different bytes, and are written together.
        for shift in np.unique(field.shift):
            at = field.shift == shift
            target = result[:, field.byte[at]]
            result[:, field.byte[at]] = target & ~(mask << np.uint8(shift)) | values[:, at]
    return result
