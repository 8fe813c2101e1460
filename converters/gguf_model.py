"""The model in a GGUF: settings by name and kind, tensors in float32, each checked before it is used."""

from collections.abc import Iterator
from functools import cached_property
from typing import Any

import numpy as np

from converters.errors import ConversionError
from converters.gguf_file import Header, TensorInfo

FLOAT_TYPES = (
    "F32",
    "F16",
    "BF16",
    "Q4_0",
    "Q4_1",
    "Q5_0",
    "Q5_1",
    "Q8_0",
    "Q2_K",
    "Q3_K",
    "Q4_K",
    "Q5_K",
    "Q6_K",
    "IQ2_XXS",
    "IQ2_XS",
    "IQ3_XXS",
    "IQ1_S",
    "IQ4_NL",
    "IQ3_S",
    "IQ2_S",
    "IQ4_XS",
    "IQ1_M",
    "TQ1_0",
    "TQ2_0",
    "MXFP4",
)
"""Types whose blocks hold weights; the others are whole numbers and doubles, which no model stores weights in."""
DEQUANTIZE_CHUNK = 2**22
"""Weights dequantized at a time: gguf-py's functions make several copies of their input."""


def shortest_float(value: float) -> float:
    """The shortest decimal number with the same float32 value: 1e-05 for 9.999999747378752e-06."""
    return float(str(np.float32(value)))


class GgufModel:
    """A file's header as an architecture's inverse reads it. Methods raise ConversionError where a setting is missing or not valid.

    Keys are named without the architecture's name in front.
    """

    def __init__(self, header: Header) -> None:
        self.header = header
        self.arch = str(header.metadata.get("general.architecture"))

    def invalid(self, cause: str) -> ConversionError:
        """The refusal of a file that contradicts itself or says too little."""
        return ConversionError(f"{self.header.path.name} is not valid", cause, "Download the file again, or create it again.")

    def get(self, key: str) -> Any:
        """The value of the architecture's key, None without one."""
        return self.header.metadata.get(f"{self.arch}.{key}")

    def integer(self, key: str, default: int | None = None, minimum: int = 1, maximum: int = 2**31 - 1) -> int:
        """A whole number from `minimum` to `maximum`."""
        value = self.get(key)
        if value is None:
            value = default
        if type(value) is not int or not minimum <= value <= maximum:
            raise self.invalid(f"{self.arch}.{key} is {str(value)[:100]}, where a whole number from {minimum} to {maximum} belongs.")
        return value

    def number(self, key: str, default: float | None = None) -> float:
        """A finite positive number, as short as float32 allows."""
        value = self.get(key)
        if value is None:
            value = default
        if isinstance(value, bool) or not isinstance(value, int | float) or not np.isfinite(value) or value <= 0:
            raise self.invalid(f"{self.arch}.{key} is {str(value)[:100]}, where a positive number belongs.")
        return shortest_float(value)

    def text(self, key: str, default: str) -> str:
        """A text."""
        value = self.get(key)
        return value if isinstance(value, str) else default

    def per_layer(self, key: str, layers: int) -> list[int]:
        """A list of one whole number (or truth, as 0 and 1) for every layer."""
        value = self.get(key)
        if not isinstance(value, np.ndarray) or value.dtype.kind not in "iub" or len(value) != layers:
            raise self.invalid(f"{self.arch}.{key} is not a list of {layers} whole numbers.")
        return [int(number) for number in value]

    def has(self, tensor: str) -> bool:
        """Whether the file holds a tensor."""
        return tensor in self.header.tensors

    def shape(self, tensor: str) -> tuple[int, ...]:
        """A tensor's shape as numpy has it (rows last to ggml)."""
        if tensor not in self.header.tensors:
            raise self.invalid(f"The tensor {tensor} is missing.")
        return self.header.tensors[tensor].shape[::-1]

    @cached_property
    def tied(self) -> bool:
        """Whether the output matrix is the embeddings': it is not there, or there a second time with the same bytes."""
        embeddings = self.header.tensors.get("token_embd.weight")
        output = self.header.tensors.get("output.weight")
        if embeddings is None or output is None:
            return True
        same_form = (embeddings.type, embeddings.shape) == (output.type, output.shape)
        return same_form and np.array_equal(self.header.raw("token_embd.weight"), self.header.raw("output.weight"))

    def tensor(self, name: str) -> np.ndarray:
        """A small tensor as a whole, float32."""
        self.shape(name)
        return np.concatenate(list(self.slabs(name)))

    def slabs(self, name: str) -> Iterator[np.ndarray]:
        """A tensor's first dimension (as numpy has it) a part at a time, dequantized to float32."""
        info: TensorInfo = self.header.tensors[name]
        shape = info.shape[::-1]
        raw = self.header.raw(name).reshape(shape[0], -1)
        step = max(1, DEQUANTIZE_CHUNK // int(np.prod(shape[1:])))

        # A vector is one row: its blocks go across what numpy sees as rows of one element.
        if len(shape) == 1:
            raw = raw.reshape(1, -1)
            step = 1

        for start in range(0, len(raw), step):
            part = dequantized(raw[start : start + step], info.type)
            yield part.reshape(-1, *shape[1:]) if len(shape) > 1 else part.reshape(-1)


def dequantized(blocks: np.ndarray, type_name: str) -> np.ndarray:
    """Rows of a type's blocks (uint8 [rows, bytes]) as float32 [rows, weights], by gguf-py."""
    import gguf

    with np.errstate(all="ignore"):
        result: np.ndarray = gguf.quants.dequantize(np.ascontiguousarray(blocks), gguf.GGMLQuantizationType[type_name])
    return result
