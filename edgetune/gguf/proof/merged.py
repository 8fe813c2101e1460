"""Tensors of a model in float32, one at a time: as its files hold them, and with an adapter merged in by PEFT."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np

from edgetune.bases.nf4 import dequantize
from edgetune.gguf.proof.streamed import ReadTensor
from edgetune.storage.workspace import ADAPTER_WEIGHTS

PEFT_PREFIX = "base_model.model."
"""What PEFT puts before the name of every module of the model it wraps."""
PEFT_BASE_LAYER = ".base_layer"
"""What PEFT puts into the name of a weight that lies under an adapter."""
PEFT_ATTRIBUTES = ("merge", "modules_to_save", "token_adapter")
"""Attributes by which PEFT's modules are known."""


def stored_tensors(folder: Path, embeddings: str) -> ReadTensor:
    """A reader (by safetensors itself) of a folder's tensors. embeddings: what serves as the output matrix where none is stored."""
    import torch  # noqa: F401  (numpy has no bfloat16)
    from safetensors import safe_open

    from edgetune.bases.find import weight_files

    paths: dict[str, Path] = {}
    for path in weight_files(folder):
        with safe_open(path, "pt") as file:
            paths |= dict.fromkeys(file.keys(), path)

    def read(name: str) -> np.ndarray:
        # Saved without an output matrix, a folder's names may lack their first part.
        full_names = (name, embeddings if name == "lm_head.weight" else name)
        candidates = (candidate for full in full_names for candidate in (full, full.partition(".")[2]))
        stored_name = next(candidate for candidate in candidates if candidate in paths)

        # What bitsandbytes packed has its scales beside it, under longer names.
        parts = [part for part in paths if part.startswith(f"{stored_name}.")]
        stored = {}
        for part in (stored_name, *parts):
            with safe_open(paths[part], "pt") as file:
                stored[part] = file.get_tensor(part)
        weight = _unpacked(stored.pop(stored_name), stored) if parts else stored[stored_name]
        values: np.ndarray = weight.float().numpy()
        return values

    return read


def _unpacked(weight: Any, state: dict[str, Any]) -> Any:
    """A matrix that bitsandbytes stored in 4 bits, dequantized by it."""
    from bitsandbytes.functional import QuantState

    return dequantize(weight, QuantState.from_dict(state, device=weight.device))


class MergedTensors:
    """The tensors of the base with an adapter merged in by PEFT, whose layers get the base's weights one at a time.

    skeleton: the base without weights, for this alone. adapter: PEFT's folder.
    """

    def __init__(self, skeleton: Any, adapter: Path, base: ReadTensor) -> None:
        from peft import PeftModel

        from converters.merge import Adapter
        from edgetune.gguf.source import conversion_errors

        with conversion_errors():
            Adapter(adapter)  # refuses settings that PEFT would follow to code of others
        self._base = base
        self._carried = _carried(adapter)
        _without_weights(skeleton, self._carried)
        warnings.filterwarnings("ignore", category=FutureWarning, module="transformers")  # meant for PEFT's authors
        wrapped = PeftModel.from_pretrained(skeleton, adapter).eval()
        self._modules = {
            f"{path.removeprefix(PEFT_PREFIX)}.weight": module
            for path, module in wrapped.named_modules()
            if path.startswith(PEFT_PREFIX) and any(hasattr(module, attribute) for attribute in PEFT_ATTRIBUTES)
        }

    def touches(self, name: str) -> bool:
        """Whether the adapter changes a tensor."""
        return name in self._modules

    def __call__(self, name: str) -> np.ndarray:
        """A tensor in float32."""
        if name not in self._modules:
            return self._base(name)
        return _merged(self._modules[name], None if name in self._carried else self._base(name))


def _carried(adapter: Path) -> set[str]:
    """Names of the base's own tensors that the adapter file holds: PEFT saves embeddings so where they are adapted."""
    from safetensors import safe_open

    with safe_open(adapter / ADAPTER_WEIGHTS, "np") as file:
        return {name.removeprefix(PEFT_PREFIX).replace(PEFT_BASE_LAYER, "") for name in file.keys() if PEFT_BASE_LAYER in name}  # noqa: SIM118  (no mapping)


def _without_weights(model: Any, real: set[str]) -> None:
    """Give a skeleton weights that take no memory (all but `real`): PEFT puts an adapter where its base is, not where nothing is.

    Tied matrices part here: an adapter that changes one of them, or both apart, leaves the other as it was.
    """
    import torch

    for path, module in model.named_modules():
        for name, parameter in module._parameters.items():
            if parameter is not None:
                zeros = torch.empty(parameter.shape) if f"{path}.{name}" in real else torch.zeros(()).expand(parameter.shape)
                module._parameters[name] = torch.nn.Parameter(zeros, requires_grad=False)


def _merged(module: Any, base: np.ndarray | None) -> np.ndarray:
    """The weight that an adapter's module computes with, in float32. base: the base's, None where the adapter carries it itself."""
    import torch

    module = getattr(module, "token_adapter", module)  # PEFT's wrapper of an embedding with new rows
    if hasattr(module, "modules_to_save"):  # PEFT's wrapper of a module that was trained as a whole
        whole: np.ndarray = module.modules_to_save["default"].weight.detach().float().cpu().numpy()
        return whole

    # PEFT merges in place: the base's weight is put into the layer for that, and its own is put back.
    inner = module.get_base_layer() if hasattr(module, "get_base_layer") else module.base_layer
    own = inner.weight
    inner.weight = torch.nn.Parameter(own.detach().clone() if base is None else torch.from_numpy(np.array(base)), requires_grad=False)
    try:
        module.merge()
        result: np.ndarray = inner.weight.detach().numpy()
    finally:
        module.merged_adapters.clear()
        inner.weight = own
    return result
