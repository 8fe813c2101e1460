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

    places: dict[str, Path] = {}
    for path in weight_files(folder):
        with safe_open(path, "pt") as file:
            places |= dict.fromkeys(file.keys(), path)

    def read(name: str) -> np.ndarray:
        # Saved without an output matrix, a folder's names may lack their first part.
        known = (one for full in (name, embeddings if name == "lm_head.weight" else name) for one in (full, full.partition(".")[2]))
        wanted = next(one for one in known if one in places)
        packed = [one for one in places if one.startswith(f"{wanted}.")]
        stored = {}
        for one in (wanted, *packed):
            with safe_open(places[one], "pt") as file:
                stored[one] = file.get_tensor(one)
        values: np.ndarray = (_unpacked(stored.pop(wanted), stored) if packed else stored[wanted]).float().numpy()
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
        self._base, self._carried = base, _carried(adapter)
        _without_weights(skeleton, self._carried)
        warnings.filterwarnings("ignore", category=FutureWarning, module="transformers")  # said to PEFT's authors
        wrapped = PeftModel.from_pretrained(skeleton, adapter).eval()
        adapted = {path: module for path, module in wrapped.named_modules() if any(hasattr(module, kind) for kind in PEFT_ATTRIBUTES)}
        self._modules = {
            f"{path.removeprefix(PEFT_PREFIX)}.weight": module for path, module in adapted.items() if path.startswith(PEFT_PREFIX)
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
