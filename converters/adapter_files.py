"""An adapter's folder as PEFT or mlx-lm saved it: where its files are, its settings, and its tensors under PEFT's names.

mlx-lm (mlx_lm/tuner/lora.py, dora.py) computes W·x + scale·Bᵀ·(Aᵀ·x) with A [in, rank] and B [rank, out]: transposed, and scale is the
factor itself, not alpha over rank. Its names hold the number of the layer, so that `num_layers` (counted from the last) need not be read.
"""

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from converters.errors import ConversionError
from converters.weights import StoredTensor, read_json, read_safetensors

CONFIG, WEIGHTS, MLX_WEIGHTS = "adapter_config.json", "adapter_model.safetensors", "adapters.safetensors"
PEFT_PREFIX = "base_model.model."
MLX_PARTS = {"lora_a": "lora_A.weight", "lora_b": "lora_B.weight", "m": "lora_magnitude_vector.weight"}
"""mlx-lm's names of a change's parts, and PEFT's."""
MLX_FUSE = (
    "Merge it with mlx-lm, then export the folder: mlx_lm.fuse --model BASE --adapter-path ADAPTER --save-path FOLDER "
    "(with --dequantize where the base is quantized)."
)
MLX_EMBEDDINGS = re.compile(r"(.*\.)?(embed_tokens|wte|word_embeddings|embed_in|tok_embeddings)")
NAMED_PART = re.compile(
    r"\.(lora_A|lora_B|lora_embedding_A|lora_embedding_B|lora_magnitude_vector|trainable_tokens_delta|modules_to_save)\.(?!weight$)([^.]+)"
)
"""A part with the adapter's name after it, which PEFT leaves out when it saves, and what saves the bare state of a model does not."""


@dataclass(frozen=True)
class AdapterFiles:
    """An adapter as its files hold it. config: PEFT's settings. mlx: whether mlx-lm saved it."""

    folder: Path
    config: dict[str, Any]
    tensors: dict[str, StoredTensor]
    mlx: bool


def adapter_folder(folder: Path) -> Path:
    """The folder itself, or the only one in it that holds an adapter: PEFT saves an adapter with a name into a subfolder of that name."""
    if (folder / CONFIG).is_file():
        return folder
    inner = sorted(path.parent for path in folder.glob(f"*/{CONFIG}")) if folder.is_dir() else []
    if len(inner) == 1:
        return inner[0]
    if inner:
        raise ConversionError(
            f"{folder} holds {len(inner)} adapters",
            f"They are {', '.join(path.name for path in inner[:5])}{' …' if len(inner) > 5 else ''}.",
            f"Name one of them, for example {inner[-1]}.",
        )
    raise ConversionError(
        f"{folder} is not an adapter",
        f"It has no {CONFIG}, nor has a folder in it.",
        "Name a folder that PEFT or mlx-lm saved an adapter to.",
    )


def read_adapter(folder: Path) -> AdapterFiles:
    """Settings and tensors of an adapter, in PEFT's terms. Raises ConversionError."""
    folder = adapter_folder(folder)
    config = read_json(folder / CONFIG, limit=2**24)
    if (folder / WEIGHTS).is_file():
        return AdapterFiles(folder, config, _without_name(read_safetensors(folder / WEIGHTS)), mlx=False)
    if (folder / MLX_WEIGHTS).is_file() and "peft_type" not in config:
        return _from_mlx(folder, config)

    pickled = (folder / "adapter_model.bin").is_file()
    raise ConversionError(
        "No adapter weights",
        f"{folder} has no {WEIGHTS}" + (", only adapter_model.bin, which can run code and is not read." if pickled else "."),
        "Load it with PEFT and save it again (save_pretrained writes safetensors)." if pickled else "Copy the adapter folder again.",
    )


def _without_name(tensors: dict[str, StoredTensor]) -> dict[str, StoredTensor]:
    """The tensors by the names that PEFT saves them under, without the adapter's own name. Raises ConversionError for several names."""
    names = {match[2] for name in tensors if (match := NAMED_PART.search(name))}
    if len(names) > 1:
        raise ConversionError(
            "The file holds several adapters",
            f"Its tensors are named after {', '.join(sorted(names)[:5])}.",
            "Save one of them where they were trained: model.save_pretrained(FOLDER, selected_adapters=[NAME]).",
        )
    plain: dict[str, StoredTensor] = {}
    for name, tensor in tensors.items():
        short = NAMED_PART.sub(r".\1", name)
        if short in plain:
            raise ConversionError(
                "The adapter holds a tensor twice",
                f"{name} and {plain[short].name}.",
                "Copy the adapter folder again, or use another checkpoint.",
            )
        plain[short] = tensor
    return plain


def _from_mlx(folder: Path, config: dict[str, Any]) -> AdapterFiles:
    """An adapter of mlx-lm in PEFT's terms."""
    kind = config.get("fine_tune_type", "lora")
    parameters = config.get("lora_parameters")
    if kind not in ("lora", "dora", "full") or (kind != "full" and not isinstance(parameters, dict)):
        raise ConversionError(
            "adapter_config.json is not one of mlx-lm's",
            f"fine_tune_type is {kind!r}, lora_parameters {'is there' if parameters else 'is not there'}.",
            MLX_FUSE,
        )
    rank, scale = (parameters.get("rank"), parameters.get("scale")) if isinstance(parameters, dict) and kind != "full" else (1, 1.0)
    if type(rank) is not int or isinstance(scale, bool) or not isinstance(scale, int | float):
        raise ConversionError(
            "adapter_config.json is not valid",
            f"rank is {rank!r} and scale {scale!r}.",
            "Copy the adapter folder again, or use another checkpoint.",
        )

    tensors = {}
    for name, tensor in read_safetensors(folder / MLX_WEIGHTS).items():
        module, _, part = name.rpartition(".")
        if kind == "full" and part == "weight":
            tensors[f"{PEFT_PREFIX}{name}"] = tensor
        elif (
            kind != "full" and part in MLX_PARTS and not MLX_EMBEDDINGS.fullmatch(module) and len(tensor.shape) == (1 if part == "m" else 2)
        ):
            turned = tensor if part == "m" else replace(tensor, shape=tensor.shape[::-1], transposed=True)
            tensors[f"{PEFT_PREFIX}{module}.{MLX_PARTS[part]}"] = turned
        else:  # embeddings change a tied output matrix too, experts are three-dimensional, biases were trained
            raise ConversionError(
                "The adapter holds a tensor that cannot be merged",
                f"{name} {list(tensor.shape)} of an mlx-lm adapter ({kind}) is neither a factor of a matrix nor a weight.",
                MLX_FUSE,
            )
    peft = {"peft_type": "LORA", "r": rank, "lora_alpha": scale * rank, "use_dora": kind == "dora"}
    return AdapterFiles(folder, peft, tensors, mlx=True)
