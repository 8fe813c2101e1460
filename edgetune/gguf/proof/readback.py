"""A finished GGUF's tensors, dequantized by gguf-py and put back under the model's own names and in its own order."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from converters.archs import SAME, TensorPlan
from converters.convert import LM_HEAD
from converters.gguf_file import Header

INDEX_DIGIT = 2**20
"""Positions go through the converter's float32 functions in two digits of this size, which float32 holds exactly."""


def tensor_values(header: Header, name: str) -> np.ndarray:
    """A tensor of the file in float32, in numpy's order (rows last to ggml). The reader is gguf-py's, not the converter's."""
    import gguf

    info = header.tensors[name]
    kind = gguf.GGMLQuantizationType[info.type]
    shape = info.shape[::-1]
    result: np.ndarray = gguf.quants.dequantize(header.raw(name).reshape(*shape[:-1], -1), kind)
    return result.reshape(shape)


@dataclass(frozen=True)
class Placement:
    """How the exporter turns a model's tensor into the file's, worked out from where it puts which element.

    The exporter's function is thereby undone exactly as it acts, also where it is wrong: that such a file computes something else is
    for llama.cpp to show (parity.py).
    """

    tensor: TensorPlan

    @cached_property
    def _elements(self) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
        """Positions, factors and summands of every element of the file's tensor; None where it is not of this kind."""
        _, shape = self.tensor.sources[0]
        build = self.tensor.build
        size = int(np.prod(shape))
        numbers = np.arange(size, dtype=np.int64).reshape(shape)
        with np.errstate(all="ignore"):
            # Each element is taken to be some element of the model, times a factor, plus a summand.
            summand = np.array(build(np.zeros(shape, np.float32)))
            factor = np.array(build(np.ones(shape, np.float32))) - summand
            low, high = (
                np.rint((build((digits).astype(np.float32)) - summand) / factor)
                for digits in (numbers % INDEX_DIGIT, numbers // INDEX_DIGIT)
            )
            if not (np.isfinite(low).all() and np.isfinite(high).all()):
                return None
            positions = (high.astype(np.int64) * INDEX_DIGIT + low.astype(np.int64)).reshape(-1)
            if not np.array_equal(np.sort(positions), np.arange(size)):
                return None

            # The guess must hold for any values, or the tensor is not undone at all.
            trial = np.random.default_rng(0).normal(size=size).astype(np.float32)
            rebuilt = trial[positions].reshape(summand.shape) * factor + summand
            if not np.allclose(rebuilt, build(trial.reshape(shape)), rtol=1e-4, atol=1e-5):
                return None
        return positions, factor, summand

    def undo(self, values: np.ndarray) -> np.ndarray | None:
        """The file's tensor in the model's own order; None where it cannot be undone."""
        if len(self.tensor.sources) != 1:
            return None
        shape = self.tensor.sources[0][1]
        if self.tensor.build is SAME:
            return values.reshape(shape)
        if self._elements is None:
            return None
        positions, factor, summand = self._elements
        result = np.empty(len(positions), np.float32)
        result[positions] = ((values - summand) / factor).reshape(-1)
        return result.reshape(shape)


class ReadBack:
    """A file's tensors by the model's own names and in its own order, in float32.

    tensors: what the architecture's file holds. fallback: reads tensors that cannot be turned back. embeddings: the embeddings' name in
    the model, which serve as the output matrix where the file holds none.
    """

    def __init__(self, header: Header, tensors: Iterable[TensorPlan], fallback: Callable[[str], np.ndarray], embeddings: str) -> None:
        self._header = header
        self._fallback = fallback
        self._by_source = {source: tensor for tensor in tensors for source, _ in tensor.sources}
        self._by_source.setdefault(LM_HEAD, self._by_source[embeddings])
        self.unrecovered: list[str] = []
        """The file's tensors that could not be turned back."""

    def __call__(self, name: str) -> np.ndarray:
        """A tensor."""
        tensor = self._by_source.get(name)
        if tensor is not None and tensor.name in self._header.tensors:
            values = Placement(tensor).undo(tensor_values(self._header, tensor.name))
            if values is not None:
                return values
            if tensor.name not in self.unrecovered:
                self.unrecovered.append(tensor.name)
        return self._fallback(name)

    def types(self) -> dict[str, str]:
        """The file's type of each of the model's tensors."""
        tensors = self._header.tensors
        return {source: tensors[tensor.name].type for source, tensor in self._by_source.items() if tensor.name in tensors}


def differing_settings(header: Header, config: dict[str, Any]) -> list[str]:
    """Hyper-parameters that differ between the file and the model's config.json, in words."""
    prefix = str(header.metadata.get("general.architecture", "")) + "."
    rope = config.get("rope_parameters") or {}
    theta = rope.get("rope_theta", config.get("rope_theta")) if isinstance(rope, dict) else None
    pairs = {
        "rope.freq_base": ("rope base", theta),
        "attention.layer_norm_rms_epsilon": ("norm epsilon", config.get("rms_norm_eps")),
        "attention.head_count": ("number of heads", config.get("num_attention_heads")),
        "attention.head_count_kv": ("number of key-value heads", config.get("num_key_value_heads")),
        "embedding_length": ("hidden size", config.get("hidden_size")),
    }
    result = []
    for key, (label, ours) in pairs.items():
        theirs = header.metadata.get(prefix + key)
        if isinstance(theirs, int | float) and isinstance(ours, int | float) and abs(theirs - ours) > 1e-5 * abs(ours):
            result.append(f"the {label} is {theirs:g} in the file and {ours:g} in the model")
    return result
