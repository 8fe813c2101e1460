"""A new adapter on an earlier run's: trained together with it, and published as one adapter on the base.

Low-rank changes add up: s·B·A of the earlier and the new one are one change whose factors stand side by side (PEFT's
`add_weighted_adapter(combination_type="cat")`). So what is exported, proven and chatted with is a plain adapter on the base.
"""

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgetune.config.recipe import Recipe
from edgetune.errors import InputError
from edgetune.storage.workspace import ADAPTER_CONFIG, ADAPTER_WEIGHTS

if TYPE_CHECKING:
    import numpy as np

PARENT_ADAPTER = "parent"
"""The earlier adapter's folder in a run, and its name in the model."""
FACTOR_SUFFIXES = ((".lora_A.weight", ".lora_B.weight"), (".lora_embedding_A", ".lora_embedding_B"))
"""How PEFT names the two factors: of matrices, and of embeddings."""


def check_stackable(folder: Path) -> None:
    """Refuse an earlier adapter that cannot be added to: one that is no sum of low-rank factors. Raises InputError."""
    config = json.loads((folder / ADAPTER_CONFIG).read_text(encoding="utf-8"))
    if config.get("use_dora"):
        raise InputError(
            "This run cannot be built on",
            "Its adapter is a DoRA one, to which no second one can be added.",
            "Export it as F16 or train it again without --dora, and continue from that.",
        )


def adapter_scale(config: dict[str, Any]) -> float:
    """What an adapter's product of factors is multiplied with (rsLoRA: Kalajdzievski 2023, arXiv:2312.03732)."""
    rank, alpha = float(config["r"]), float(config["lora_alpha"])
    return alpha / math.sqrt(rank) if config.get("use_rslora") else alpha / rank


def combine_adapters(parent: Path, weights: "dict[str, np.ndarray]", recipe: Recipe) -> "tuple[dict[str, np.ndarray], dict[str, Any]]":
    """The earlier adapter and new weights (by PEFT's names) as one: its tensors, and what its configuration says otherwise.

    The earlier B factor is rescaled to the new adapter's scale; modules that only one of them changes are filled up with zeros.
    """
    import numpy as np
    from safetensors.numpy import load_file

    # One adapter has one scale: what the earlier one differs by goes into its B factor.
    config = json.loads((parent / ADAPTER_CONFIG).read_text(encoding="utf-8"))
    earlier = load_file(parent / ADAPTER_WEIGHTS)
    new_scale = adapter_scale({"r": recipe.rank, "lora_alpha": recipe.alpha, "use_rslora": recipe.rslora})
    factor = np.float32(adapter_scale(config) / new_scale)
    rank = int(config["r"]) + recipe.rank

    # Every module gets the same rank, as one configuration holds for all of them.
    result: dict[str, np.ndarray] = {}
    both = ((earlier, factor), (weights, np.float32(1)))
    for a, b in FACTOR_SUFFIXES:
        for name in sorted({n.removesuffix(a) for n in (*earlier, *weights) if n.endswith(a)}):
            parts = [(given[name + a], given[name + b] * by) for given, by in both if name + a in given]
            down, up = np.concatenate([one for one, _ in parts]), np.concatenate([one for _, one in parts], axis=1)
            missing = rank - len(down)
            result[name + a] = np.pad(down, ((0, missing), (0, 0)))
            result[name + b] = np.pad(up, ((0, 0), (0, missing)))

    # Whatever is no pair of factors would be dropped without a word.
    if lost := {*earlier, *weights} - result.keys():
        raise InputError(
            "These adapters cannot be joined", f"{sorted(lost)[0]} is no low-rank factor.", "Train on the base instead of on this run."
        )

    # PEFT divides by the new rank, so alpha grows with it.
    alpha = new_scale * (math.sqrt(rank) if recipe.rslora else rank)
    return result, {"r": rank, "lora_alpha": alpha}


def build_stacked(model: Any, parent: Path, config: Any) -> Any:
    """A base with an earlier adapter, frozen, and a new one on top; with the adapter off, the earlier one stays."""
    from contextlib import contextmanager

    from peft import PeftConfig, PeftModelForCausalLM, set_peft_model_state_dict
    from peft.tuners.tuners_utils import BaseTunerLayer
    from safetensors.torch import load_file

    class Stacked(PeftModelForCausalLM):  # type: ignore[misc,unused-ignore]
        """The model before this run is the base with the earlier adapter: that is what remains when the new one is off."""

        @contextmanager
        def disable_adapter(self) -> Any:
            layers = [module for module in self.modules() if isinstance(module, BaseTunerLayer)]
            active = [layer._active_adapter for layer in layers]
            for layer in layers:
                layer._active_adapter = [PARENT_ADAPTER]
            try:
                yield
            finally:
                for layer, names in zip(layers, active, strict=True):
                    layer._active_adapter = names

    stacked = Stacked(model, PeftConfig.from_pretrained(parent), adapter_name=PARENT_ADAPTER)
    set_peft_model_state_dict(stacked, load_file(parent / ADAPTER_WEIGHTS), adapter_name=PARENT_ADAPTER)

    # Both change the answers, but only the new one is saved, and only it learns.
    stacked.add_adapter("default", config)
    stacked.base_model.set_adapter([PARENT_ADAPTER, "default"])
    stacked.active_adapter = "default"

    for name, parameter in stacked.named_parameters():
        parameter.requires_grad_(".default" in name)
    return stacked
