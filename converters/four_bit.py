"""Weights that bitsandbytes stored in 4 bits (nf4 or fp4, also with doubly quantized scales), dequantized as they are read.

A matrix W of one is several tensors of a file (bitsandbytes/functional.py, `QuantState.as_dict`): W, two weights in a byte, the first in
the upper half; W.quant_map, what the sixteen values stand for; W.absmax, the scale of every block of weights; and
W.quant_state.bitsandbytes__nf4 (or fp4), a JSON text in bytes with shape, block size and type. Where the scales are quantized too,
absmax holds a byte for each, and W.nested_absmax and W.nested_quant_map turn it into a scale, to which nested_offset is added.
"""

import json
import math
import re
from dataclasses import dataclass
from typing import Any

import numpy as np

from converters.errors import ConversionError
from converters.weights import TORCH_DTYPES, JsonObject, RowSelection, StoredTensor, check_finite

STATE = re.compile(r"(.+)\.quant_state\.bitsandbytes__(nf4|fp4)")
BLOCK_SIZES = (32, 64, 128, 256, 512, 1024, 2048, 4096)
"""Weights in a block that bitsandbytes knows."""
MAX_STATE = 2**16


@dataclass(frozen=True)
class FourBitTensor(StoredTensor):
    """A matrix stored in 4 bits. dtype, shape: of the weights; start and size: of the packed bytes.

    block: weights in a block. code: what the sixteen values stand for. absmax: a scale for each block, or a byte for each with `nested`:
    the outer scales, what the 256 bytes stand for, scales in a block of outer ones, and what is added.
    """

    block: int
    code: StoredTensor
    absmax: StoredTensor
    nested: tuple[StoredTensor, StoredTensor, int, float] | None

    def same_as(self, other: StoredTensor) -> bool:
        """Whether another tensor holds the same weights in the same type."""
        return (self.dtype, self.shape) == (other.dtype, other.shape) and np.array_equal(self.load(), other.load())

    def load(self, rows: RowSelection = slice(None), check: bool = True) -> np.ndarray:
        """The weights, or some rows of the first dimension, in float32, rounded to the type that the model computes in."""
        if isinstance(rows, np.ndarray):
            first = int(rows.min())
            return self.load(slice(first, int(rows.max()) + 1), check)[rows - first]

        # Blocks do not end with rows: whole blocks are dequantized, then cut to the rows.
        first, last, _ = rows.indices(self.shape[0])
        row_weights = math.prod(self.shape[1:])
        start = first * row_weights
        end = max(first, last) * row_weights
        from_block = start // self.block
        to_block = -(-end // self.block)
        packed = self.raw()[from_block * self.block // 2 : -(-min(to_block * self.block, math.prod(self.shape)) // 2)]

        values = np.zeros((to_block - from_block) * self.block, np.float32)
        code = self.code.load()
        values[0 : 2 * len(packed) : 2] = code[packed >> 4]
        values[1 : 2 * len(packed) : 2] = code[packed & 15]

        blocks = values.reshape(-1, self.block)
        blocks *= self._scales(from_block, to_block)[:, None]
        weights = _rounded(values[start - from_block * self.block : end - from_block * self.block], self.dtype)
        if check:
            check_finite(weights, self.name, self.path)
        return weights.reshape(-1, *self.shape[1:])

    def _scales(self, start: int, end: int) -> np.ndarray:
        """The scales of some blocks, float32."""
        if self.nested is None:
            return self.absmax.load(slice(start, end)).reshape(-1)
        scales, code, block, offset = self.nested
        outer = scales.load()[np.arange(start, end) // block]
        dequantized: np.ndarray = code.load()[self.absmax.raw()[start:end]] * outer + np.float32(offset)
        return dequantized


def _rounded(values: np.ndarray, dtype: str) -> np.ndarray:
    """Float32 rounded to the nearest number of a type, ties to even."""
    if dtype == "F32":
        return values
    if dtype == "F16":
        with np.errstate(over="ignore"):
            return values.astype(np.float16).astype(np.float32)
    bits = values.view(np.uint32)
    result: np.ndarray = ((bits + (((bits >> 16) & 1) + np.uint32(0x7FFF))) & np.uint32(0xFFFF0000)).view(np.float32)
    return result


def unpack(stored: dict[str, StoredTensor]) -> dict[str, StoredTensor]:
    """A folder's tensors with each matrix in 4 bits as one. Raises ConversionError where one's parts do not belong together."""
    unpacked = dict(stored)
    for name in stored:
        match = STATE.fullmatch(name)
        if match:
            base = match[1]
            unpacked[base] = _matrix(stored, base, name)
            for part in [other for other in unpacked if other.startswith(f"{base}.")]:
                del unpacked[part]
    return unpacked


def _matrix(stored: dict[str, StoredTensor], base: str, state_name: str) -> FourBitTensor:
    def damaged(cause: str) -> ConversionError:
        return ConversionError("The 4-bit weights cannot be read", f"{base}: {cause}.", "Download the file again.")

    def part(name: str, dtype: str, count: int) -> StoredTensor:
        tensor = stored.get(f"{base}.{name}")
        if tensor is None or tensor.dtype != dtype or math.prod(tensor.shape) != count:
            raise damaged(f"{name} is missing or is not {dtype} with {count} numbers")
        return tensor

    # The state is untrusted: every number in it is held against the tensors before it is used.
    packed = stored.get(base)
    state = _state(stored[state_name])
    shape = state.get("shape")
    block = state.get("blocksize")
    dtype = TORCH_DTYPES.get(str(state.get("dtype")))
    if (
        not isinstance(shape, list)
        or not shape
        or not all(type(length) is int and 0 < length < 2**31 for length in shape)
        or dtype is None
        or block not in BLOCK_SIZES
        or packed is None
        or -(-math.prod(shape) // 2) != packed.size
    ):
        raise damaged("its packed bytes do not match its quant_state")

    # Doubly quantized scales have scales of their own.
    blocks = -(-math.prod(shape) // block)
    nested = None
    if "nested_offset" in state:
        outer = state.get("nested_blocksize")
        offset = state["nested_offset"]
        if type(outer) is not int or outer < 1 or type(offset) not in (int, float) or not math.isfinite(offset):
            raise damaged("its quant_state is not valid")
        nested = part("nested_absmax", "F32", -(-blocks // outer)), part("nested_quant_map", "F32", 256), outer, float(offset)
    absmax = part("absmax", "U8" if nested else "F32", blocks)
    location = packed.path, base, dtype, tuple(shape), packed.start, packed.size
    return FourBitTensor(*location, block, part("quant_map", "F32", 16), absmax, nested)


def _state(tensor: StoredTensor) -> JsonObject:
    if tensor.dtype != "U8" or tensor.size > MAX_STATE:
        return {}
    try:
        value = json.loads(tensor.raw().tobytes())
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def quantization_method(settings: Any) -> str:
    """The name that a quantization_config gives its method."""
    return str(settings.get("quant_method") if isinstance(settings, dict) else settings)[:40]


def find_unquantized(config: JsonObject) -> str:
    """What to get instead of a model whose weights are quantized in a way that is not read."""
    method = quantization_method(config.get("quantization_config") or "fp8")
    if config.get("model_type") == "ministral3":
        return "Get the same model in 16 bits: Ministral 3 is published so too, by the same name with -BF16 at its end."
    return f"Get the same model in 16 bits: mostly it is published by the same name without {method.upper()}, or with BF16 at its end."


def without_four_bit(config: JsonObject) -> tuple[JsonObject, list[str]]:
    """A configuration without bitsandbytes' 4-bit settings, and a note for the user. ConversionError for other quantized weights."""
    quantization: Any = config.get("quantization_config")
    if not quantization:
        return config, []
    if not isinstance(quantization, dict) or quantization.get("quant_method") != "bitsandbytes" or not quantization.get("load_in_4bit"):
        raise ConversionError(
            "The base is stored quantized",
            f"Its quantization_config says {quantization_method(quantization)}; only bitsandbytes' 4 bits are read.",
            find_unquantized(config),
        )
    kind = str(quantization.get("bnb_4bit_quant_type", "fp4"))[:8]
    note = f"The base is stored in 4 bits (bitsandbytes {kind}): its weights are dequantized, but the lost precision cannot be recovered."
    return {key: value for key, value in config.items() if key != "quantization_config"}, [note]
