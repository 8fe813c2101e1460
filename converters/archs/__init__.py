"""Architectures, one file each; the file's name is the `model_type` of the config.json it converts.

An architecture's file offers:
  GGUF_NAME: str                               llama.cpp's name of the architecture
  DEFAULTS: dict                               what transformers takes for settings that a config.json leaves out
  TINY: dict                                   a small configuration with every kind of layer, for tests
  metadata(config) -> dict[str, Value]         hyper-parameters as GGUF keys; refuses what cannot be expressed
  tensors(config, tied) -> list[TensorPlan]    every tensor of the GGUF, from which model tensors and how
  configuration(file) -> dict                  the way back: a config.json from what a GGUF says; of architectures with the same
                                               GGUF_NAME only one has it
  CLASS: str                                   with it, the name of transformers' class
and, where it differs from most:
  EMBEDDINGS: str                              the embeddings' name in the model
  TRANSPOSED: tuple[str, ...]                  ends of names of weights that the model stores as [in, out]
  IGNORED_TENSORS: str                         a pattern of names of tensors that a model may hold and nothing needs
  VOCABULARY: dict                             options of `vocab.load_vocabulary`
  ALWAYS_TIED: bool                            llama.cpp takes the embeddings as output matrix, whatever the file holds
  is_70b(config) -> bool                       whether llama.cpp chooses quantization types as for Llama-2-70B
"""

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, partial
from types import ModuleType
from typing import Any

import numpy as np

from converters.errors import ConversionError


@dataclass(frozen=True)
class Build:
    """How one tensor of the GGUF is built from the model's, all in float32.

    forward: from the model's tensors to the GGUF's. inverse: from the GGUF's back to the model's; None where nothing is read back.
    moves_rows: it only reorders rows, whatever they hold, so some of them can be built without the others. within_rows: every row is
    built from the same row of the model's tensor.
    """

    forward: Callable[..., np.ndarray]
    inverse: Callable[..., np.ndarray] | None = None
    moves_rows: bool = False
    within_rows: bool = False

    def __call__(self, *tensors: np.ndarray) -> np.ndarray:
        """The GGUF's tensor."""
        return self.forward(*tensors)

    def undo(self, tensor: np.ndarray) -> np.ndarray:
        """The model's tensor from the GGUF's."""
        assert self.inverse is not None, self.forward
        return self.inverse(tensor)

    def bind(self, *arguments: Any) -> "Build":
        """The same with the first arguments of both functions filled in."""
        inverse = None if self.inverse is None else partial(self.inverse, *arguments)
        return replace(self, forward=partial(self.forward, *arguments), inverse=inverse)


def _unchanged(tensor: np.ndarray) -> np.ndarray:
    return tensor


SAME = Build(_unchanged, _unchanged, within_rows=True)
"""A tensor that both sides store alike."""


@dataclass(frozen=True)
class TensorPlan:
    """One tensor of the GGUF.

    shape: as numpy has it (rows last to ggml: [out, in]). sources: the model's tensors it is made of, with their shapes.
    build: makes it from those tensors, in the same order.
    """

    name: str
    shape: tuple[int, ...]
    sources: tuple[tuple[str, tuple[int, ...]], ...]
    build: Build


def supported() -> list[str]:
    """The model types that can be converted."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def architecture(config: dict[str, Any]) -> ModuleType:
    """The module for a configuration's `model_type`, or a ConversionError that says what there is."""
    kind = config.get("model_type")
    if kind not in supported():
        raise ConversionError(
            f"Models of type {kind!r} cannot be converted",
            f"Supported model types: {', '.join(supported())}.",
            "Choose a base model of one of these types.",
        )
    return importlib.import_module(f"{__name__}.{kind}")


def with_defaults(config: dict[str, Any]) -> dict[str, Any]:
    """The configuration with what it leaves out filled in as transformers does."""
    defaults: dict[str, Any] = architecture(config).DEFAULTS
    return defaults | config


def sizes(vocabulary: int, hidden: int, inner: int, layers: int, heads: int) -> dict[str, Any]:
    """An architecture's default sizes, for its DEFAULTS: of vocabulary, layers and attention heads their number."""
    return {
        "vocab_size": vocabulary,
        "hidden_size": hidden,
        "intermediate_size": inner,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
    }


def config_error(cause: str) -> ConversionError:
    """The refusal of a configuration that contradicts itself."""
    return ConversionError("config.json is not valid", cause, "Download the file again.")


def integer(config: dict[str, Any], key: str, default: int | None = None, maximum: int = 2**31 - 1) -> int:
    """A positive integer of the configuration, or a ConversionError that names the key."""
    value = config.get(key)
    if value is None:
        value = default
    if type(value) is not int or not 1 <= value <= maximum:
        raise config_error(f"{key} is {value!r}, where a whole number from 1 to {maximum} belongs.")
    return value


def refuse_unless(config: dict[str, Any], key: str, expected: Any, default: Any = None) -> None:
    """Refuse a setting by name when it is not the one value that llama.cpp computes for this architecture."""
    value = config.get(key, default)
    if value != expected:
        raise ConversionError(
            f"{key} = {value!r} is not supported",
            f"llama.cpp computes this architecture with {key} = {expected!r} only.",
            "Choose another base model.",
        )


@cache
def _name_map(gguf_name: str, blocks: int) -> Any:
    import gguf

    arch = next(arch for arch, name in gguf.MODEL_ARCH_NAMES.items() if name == gguf_name)
    return gguf.get_tensor_name_map(arch, blocks)


def gguf_tensor_name(gguf_name: str, blocks: int, model_name: str) -> str:
    """llama.cpp's name for a model's tensor, from gguf-py's table."""
    name = _name_map(gguf_name, blocks).get_name(model_name, try_suffixes=(".weight", ".bias"))
    assert name, (gguf_name, model_name)
    return str(name)


def restoring(gguf_name: str) -> ModuleType | None:
    """The module that reads a GGUF of this architecture back, if there is one."""
    modules = (importlib.import_module(f"{__name__}.{name}") for name in supported())
    return next((module for module in modules if gguf_name == module.GGUF_NAME and hasattr(module, "configuration")), None)
