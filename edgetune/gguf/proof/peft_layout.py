"""An adapter as PEFT reads it, so that PEFT itself merges what the proof holds a file against."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from edgetune.storage.files import write_json
from edgetune.storage.workspace import ADAPTER_CONFIG, ADAPTER_WEIGHTS

COSTLY_STARTS = ("mica", "orthogonal", "eva")
"""Starts that PEFT computes again when it loads an adapter, though the adapter's own weights replace what comes of it."""


@contextmanager
def in_peft_layout(adapter: Path) -> Iterator[Path]:
    """The adapter's folder where PEFT reads it as it is; else a copy, gone afterwards, with names, axes and settings as PEFT has them.

    Written apart from `converters.adapter_files`: the one is held against the other.
    """
    from safetensors.torch import load_file, save_file

    config: dict[str, Any] = json.loads((adapter / ADAPTER_CONFIG).read_text(encoding="utf-8"))
    if "peft_type" in config:
        weights = load_file(adapter / ADAPTER_WEIGHTS)
        plain = {_without_adapter_name(name): weight for name, weight in weights.items()}
        if plain.keys() == weights.keys() and config.get("init_lora_weights") not in COSTLY_STARTS:
            yield adapter
            return
        config["init_lora_weights"] = True
    else:
        plain, config = _from_mlx(load_file(adapter / "adapters.safetensors"), config)

    with TemporaryDirectory() as place:
        save_file(plain, Path(place) / ADAPTER_WEIGHTS, {"format": "pt"})
        write_json(Path(place) / ADAPTER_CONFIG, config)
        yield Path(place)


def _without_adapter_name(name: str) -> str:
    """A tensor's name as PEFT saves it: without the adapter's own, and of a module trained whole without what PEFT wraps it in."""
    name = re.sub(r"\.modules_to_save\.[^.]+\.(weight|bias)$", r".\1", name)
    return re.sub(r"(lora_(?:embedding_)?[AB]|lora_magnitude_vector|trainable_tokens_delta)\.(?!weight$)[^.]+", r"\1", name)


def _from_mlx(weights: dict[str, Any], config: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Weights and settings of an mlx-lm adapter as PEFT's: its factors are PEFT's turned, its scale is alpha over rank."""
    if config.get("fine_tune_type") == "full":  # whole weights: PEFT merges nothing, they are what the model computes with
        return {f"base_model.model.{name}": weight for name, weight in weights.items()}, config
    rank, scale = config["lora_parameters"]["rank"], config["lora_parameters"]["scale"]
    plain = {}
    for name, weight in weights.items():
        module, part = name.rsplit(".", 1)
        suffix = {"lora_a": "lora_A.weight", "lora_b": "lora_B.weight", "m": "lora_magnitude_vector"}[part]
        plain[f"base_model.model.{module}.{suffix}"] = weight.t().contiguous()
    modules = sorted({name.rsplit(".", 1)[0] for name in weights})
    dora = config.get("fine_tune_type") == "dora"
    settings = {"peft_type": "LORA", "task_type": "CAUSAL_LM", "r": rank, "lora_alpha": scale * rank, "use_dora": dora}
    return plain, {**settings, "target_modules": modules, "inference_mode": True}
