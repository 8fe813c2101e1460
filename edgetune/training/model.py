"""The model a run trains: base, adapter, and which of its weights move."""

from pathlib import Path
from typing import Any

from edgetune.bases.load import keep_packed_weights, load
from edgetune.errors import InputError
from edgetune.recipe import Recipe


def build(recipe: Recipe, base: Path, device: str, dtype: str) -> Any:
    """Base with a fresh LoRA adapter in fp32, or the whole base in fp32 when `lora` is off."""
    import torch
    from transformers import set_seed

    set_seed(recipe.seed)
    if not recipe.lora:
        return load(base, device, "float32")
    from peft import LoraConfig, get_peft_model

    model = load(base, device, dtype, recipe.quantization)
    targets: Any = "all-linear" if recipe.targets == ["all-linear"] else recipe.targets
    config = LoraConfig(
        r=recipe.rank,
        lora_alpha=recipe.alpha,
        lora_dropout=recipe.dropout,
        target_modules=targets,
        use_rslora=recipe.rslora,
        use_dora=recipe.dora,
        bias="none",
        task_type="CAUSAL_LM",
    )
    try:
        model = get_peft_model(model, config)
    except ValueError as error:
        raise InputError("The adapter does not fit the base", str(error), "Check --targets; all-linear fits every base.") from error
    keep_packed_weights(model)
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.to(torch.float32)
    return model


def trained(model: Any) -> dict[str, Any]:
    """The weights that move, by name; the tensors themselves, no copies."""
    return {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}


def save_result(model: Any, recipe: Recipe, folder: Path, base: Path) -> None:
    """Write the finished adapter in PEFT's layout, or the whole model, into a folder that exists."""
    import shutil

    if recipe.lora:
        model.save_pretrained(folder, safe_serialization=True)
        (folder / "README.md").unlink(missing_ok=True)
        return
    model.save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer.model", "tokenizer_config.json", "chat_template.jinja"):
        if (base / name).is_file():
            shutil.copy(base / name, folder / name)
