"""Tensors of a model in float32, one at a time: as its files hold them, and with an adapter merged in by PEFT."""

import json
import re
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from converters.text_part import text_name
from edgetune.bases.nf4 import dequantize
from edgetune.gguf.proof.peft_layout import in_peft_layout
from edgetune.gguf.proof.streamed import ReadTensor
from edgetune.storage.files import write_json
from edgetune.storage.workspace import ADAPTER_CONFIG, ADAPTER_WEIGHTS

PEFT_PREFIX = "base_model.model."
"""What PEFT puts before the name of every module of the model it wraps."""
PEFT_BASE_LAYER = ".base_layer"
"""What PEFT puts into the name of a weight that lies under an adapter."""
FACTOR = re.compile(r"\.lora_(embedding_)?A\b")
"""What PEFT puts into the name of the factor whose rows are the rank."""
PEFT_ATTRIBUTES = ("merge", "modules_to_save", "token_adapter")
"""Attributes by which PEFT's modules are known."""


def stored_tensors(folder: Path, embeddings: str) -> ReadTensor:
    """A reader (by safetensors itself) of a folder's tensors. embeddings: what serves as the output matrix where none is stored."""
    import torch  # noqa: F401  (numpy has no bfloat16)
    from safetensors import safe_open

    from edgetune.bases.find import weight_files

    # The text part of a model that also sees has other names in the files than in a text model.
    paths: dict[str, Path] = {}
    names: dict[str, str] = {}
    for path in weight_files(folder):
        with safe_open(path, "pt") as file:
            for key in file.keys():  # noqa: SIM118  (no mapping)
                paths[text_name(key)], names[text_name(key)] = path, key

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
                stored[part] = file.get_tensor(names[part])
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

    skeleton: the base without weights, for this alone. adapter: its folder.
    """

    def __init__(self, skeleton: Any, adapter: Path, base: ReadTensor) -> None:
        from peft import PeftModel
        from safetensors.torch import load_file

        from converters.merge import Adapter
        from edgetune.gguf.source import conversion_errors

        with conversion_errors():
            Adapter(adapter)  # refuses settings that PEFT would follow to code of others
        self._base = base
        self._whole: dict[str, Any] = {}
        self._modules: dict[str, Any] = {}
        with in_peft_layout(adapter) as plain:
            if "peft_type" not in json.loads((plain / ADAPTER_CONFIG).read_text(encoding="utf-8")):  # whole weights, of mlx-lm
                whole = load_file(plain / ADAPTER_WEIGHTS)
                self._whole = {text_name(name.removeprefix(PEFT_PREFIX)): weight for name, weight in whole.items()}
                return
            self._carried = _carried(plain)
            _without_weights(skeleton, self._carried)
            warnings.filterwarnings("ignore", category=FutureWarning, module="transformers")  # meant for PEFT's authors
            with _for_text_model(plain, skeleton) as folder:
                wrapped = PeftModel.from_pretrained(skeleton, folder).eval()
        self._modules = {
            f"{path.removeprefix(PEFT_PREFIX)}.weight": module
            for path, module in wrapped.named_modules()
            if path.startswith(PEFT_PREFIX) and any(hasattr(module, attribute) for attribute in PEFT_ATTRIBUTES)
        }

    def touches(self, name: str) -> bool:
        """Whether the adapter changes a tensor."""
        return name in self._modules or name in self._whole

    def __call__(self, name: str) -> np.ndarray:
        """A tensor in float32."""
        if name in self._whole:
            whole: np.ndarray = self._whole[name].float().numpy()
            return whole
        if name not in self._modules:
            return self._base(name)
        return _merged(self._modules[name], None if name in self._carried else self._base(name))


def _carried(adapter: Path) -> set[str]:
    """Names of the base's own tensors that the adapter file holds: PEFT saves embeddings so where they are adapted."""
    from safetensors import safe_open

    with safe_open(adapter / ADAPTER_WEIGHTS, "np") as file:
        carried = [name for name in file.keys() if PEFT_BASE_LAYER in name]  # noqa: SIM118  (no mapping)
    return {text_name(name.removeprefix(PEFT_PREFIX).replace(PEFT_BASE_LAYER, "")) for name in carried}


@contextmanager
def _for_text_model(adapter: Path, skeleton: Any) -> Iterator[Path]:
    """A folder with an adapter as PEFT would have saved it from a text model, without changes to what that does not have.

    The folder itself, unless it was trained on a whole model that also sees. skeleton: the text model.
    """
    from peft.utils.other import get_pattern_key
    from safetensors.torch import load_file, save_file

    weights = load_file(adapter / ADAPTER_WEIGHTS)
    if all(text_name(name.removeprefix(PEFT_PREFIX)) == name.removeprefix(PEFT_PREFIX) for name in weights):
        yield adapter
        return

    # Patterns that meant the whole model's names are written out, one module after the other.
    config = json.loads((adapter / ADAPTER_CONFIG).read_text(encoding="utf-8"))
    modules = {name for name, _ in skeleton.named_modules()}
    kept: dict[str, Any] = {}
    ranks: dict[str, int] = {}
    alphas: dict[str, float] = {}
    for name, tensor in weights.items():
        trained_name = name.removeprefix(PEFT_PREFIX)
        full_name = text_name(trained_name)
        owner = next((full_name[:end] for end in _ends(full_name) if full_name[:end] in modules), None)
        if owner is None:
            continue
        kept[PEFT_PREFIX + full_name] = tensor
        if match := FACTOR.search(trained_name):
            alpha_pattern = config.get("alpha_pattern") or {}
            trained = trained_name[: match.start()]
            ranks[owner] = tensor.shape[0]
            alphas[owner] = alpha_pattern.get(get_pattern_key(alpha_pattern, trained), config["lora_alpha"])

    rows = config.get("trainable_token_indices")
    config |= {
        "target_modules": sorted(ranks),
        "rank_pattern": {re.escape(module): rank for module, rank in ranks.items()},
        "alpha_pattern": {re.escape(module): alpha for module, alpha in alphas.items()},
        "trainable_token_indices": {text_name(key): value for key, value in rows.items()} if isinstance(rows, dict) else rows,
        **dict.fromkeys(("exclude_modules", "layers_to_transform", "layers_pattern", "auto_mapping")),
    }
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        save_file(kept, folder / ADAPTER_WEIGHTS)
        write_json(folder / ADAPTER_CONFIG, config)
        yield folder


def _ends(name: str) -> list[int]:
    """Where the names in a dotted name end, the longest first."""
    return [position for position in range(len(name) - 1, 0, -1) if name[position] == "."]


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
