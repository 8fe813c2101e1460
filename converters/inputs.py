"""What each matrix of a GGUF is multiplied with: the input of which of the model's modules, and in which order its channels lie."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

import numpy as np

from converters.archs import TensorPlan, same
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
        """Values by the model's channels, as the GGUF's matrix has its columns."""
        return values if self.order is None else values[self.order]


def matrix_inputs(tensors: Iterable[TensorPlan], transposed: Collection[str] = ()) -> list[MatrixInput]:
    """The inputs of every matrix that can be quantized, embeddings apart: of them rows are looked up, nothing is multiplied.

    transposed: ends of names of weights that the model stores as [in, out].
    """
    return [
        MatrixInput(tensor.name, tensor.sources[0][0].removesuffix(".weight"), tensor.shape[-1], _order(tensor, transposed))
        for tensor in tensors
        if tensor.sources and quantizable(tensor.name, tensor.shape) and tensor.name not in EMBEDDING_MATRICES
    ]


def _order(tensor: TensorPlan, transposed: Collection[str]) -> np.ndarray | None:
    """Found by watching where the tensor's function puts the columns of a matrix that holds their numbers. It may move rows at will."""
    if tensor.build is same:
        return None
    ((name, shape),) = tensor.sources
    numbers = np.arange(tensor.shape[-1], dtype=np.float32)
    turned = name.endswith(tuple(transposed)) if transposed else False
    built = tensor.build(np.broadcast_to(numbers[:, None] if turned else numbers, shape))
    order: np.ndarray = built[0].astype(np.int64)
    assert (built == built[0]).all() and np.array_equal(np.sort(order), np.arange(len(order))), tensor.name
    return None if np.array_equal(order, np.arange(len(order))) else order
