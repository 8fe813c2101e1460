"""PEFT adapters to convert: made by PEFT with weights that act, or written by hand with the same numbers everywhere."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np

from converters.gguf_file import Header

LINEAR = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


def train(folder: Path, target: Path, seed: int = 1, model: Any = None, **options: Any) -> Any:
    """A PEFT model whose adapter acts, saved to `target`. model: instead of the folder's."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(seed)
    model = model or AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    settings: dict[str, Any] = {"r": 4, "lora_alpha": 8, "task_type": "CAUSAL_LM"} | options
    tuned = get_peft_model(model, LoraConfig(**settings))
    for name, weight in tuned.named_parameters():
        if "magnitude" in name:
            weight.data *= 1 + 0.1 * torch.randn_like(weight)
        elif weight.requires_grad:
            weight.data += 0.1 * torch.randn_like(weight)
    tuned.save_pretrained(str(target))
    return tuned


def fixed_numbers(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Float32 numbers that depend on the name alone, the same on every machine."""
    raw = np.frombuffer(hashlib.shake_256(name.encode()).digest(2 * int(np.prod(shape))), "<i2")
    return (raw.astype(np.float32) / 65536).reshape(shape)


def fixed_adapter(target: Path, shapes: dict[str, tuple[int, int]], rank: int = 4, **settings: Any) -> Path:
    """An adapter folder with `fixed_numbers`. shapes: [out, in] by module; embeddings are told by the name."""
    from safetensors.numpy import save_file

    tensors = {}
    for module, (out, inner) in shapes.items():
        a, b = ("lora_embedding_A", "lora_embedding_B") if "embed" in module else ("lora_A.weight", "lora_B.weight")
        rows, columns = (inner, out) if "embed" in module else (out, inner)
        for name, shape in ((f"base_model.model.{module}.{a}", (rank, columns)), (f"base_model.model.{module}.{b}", (rows, rank))):
            tensors[name] = fixed_numbers(name, shape)
    target.mkdir()
    save_file(tensors, target / "adapter_model.safetensors")
    (target / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "r": rank, "lora_alpha": 8} | settings))
    return target


def fingerprint(header: Header) -> str:
    """A hash of all tensors: names, types, shapes and bytes, in the file's order."""
    digest = hashlib.sha256()
    for name, info in header.tensors.items():
        digest.update(f"{name} {info.type} {info.shape} ".encode())
        digest.update(header.raw(name).tobytes())
    return digest.hexdigest()
