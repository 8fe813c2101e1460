"""The input of each matrix in a GGUF: which of the model's modules receives it, and the order of its channels."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

import numpy as np

from converters.archs import SAME, TensorPlan
from converters.quantize import EMBEDDING_MATRICES, quantizable


@dataclass(frozen=True)
class MatrixInput:
    """name: the matrix in the GGUF. module: the module whose input it multiplies. channels: how many inputs it has.

    order: which of the model's channels each of them is, int64 [channels]; None where the order is the model's.
    """

    name: str
    module: str
    channels: int
    order: np.ndarray | None

    def arrange(self, values: np.ndarray) -> np.ndarray:
        """Values by the model's channels, in the order of the GGUF matrix's columns."""
        return values if self.order is None else values[self.order]


def matrix_inputs(tensors: Iterable[TensorPlan], transposed: Collection[str] = ()) -> list[MatrixInput]:
    """The inputs of every matrix that can be quantized, except embeddings, whose rows are looked up and not multiplied.

    transposed: ends of names of weights that the model stores as [in, out].
    """
    return [
        MatrixInput(tensor.name, tensor.sources[0][0].removesuffix(".weight"), tensor.shape[-1], _order(tensor, transposed))
        for tensor in tensors
        if tensor.sources and quantizable(tensor.name, tensor.shape) and tensor.name not in EMBEDDING_MATRICES
    ]


def _order(tensor: TensorPlan, transposed: Collection[str]) -> np.ndarray | None:
    """The channel of each column, by building a matrix whose columns hold their own numbers; the build may also move rows."""
    if tensor.build is SAME:
        return None
    ((name, shape),) = tensor.sources
    numbers = np.arange(tensor.shape[-1], dtype=np.float32)
    is_transposed = name.endswith(tuple(transposed)) if transposed else False
    built = tensor.build(np.broadcast_to(numbers[:, None] if is_transposed else numbers, shape))

    order: np.ndarray = built[0].astype(np.int64)
    assert (built == built[0]).all() and np.array_equal(np.sort(order), np.arange(len(order))), tensor.name
    return None if np.array_equal(order, np.arange(len(order))) else order
