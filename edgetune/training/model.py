"""The model a run trains: base, adapter, and which of its weights move."""

import json
from pathlib import Path
from typing import Any

from edgetune import methods
from edgetune.bases.load import REWARD_HEAD, load_model, prevent_repacking
from edgetune.bases.tokenizer import PROCESSOR_FILES
from edgetune.config.recipe import Recipe
from edgetune.errors import InputError
from edgetune.storage.files import write_json
from edgetune.storage.workspace import ADAPTER_CONFIG, ADAPTER_WEIGHTS
from edgetune.training import stacked_adapter


def build_model(recipe: Recipe, base: Path, device: str, dtype: str, parent: Path | None = None) -> Any:
    """Base with a fresh LoRA adapter in fp32, or the whole base in fp32 when `lora` is off. parent: an earlier adapter to build on."""
    # Imported late: the recipe is checked and the fit predicted without torch.
    import torch
    from transformers import set_seed

    # Before the adapter is made, whose first weights are random.
    set_seed(recipe.seed)
    if not recipe.lora:
        return load_model(base, device, "float32")
    from peft import LoraConfig, get_peft_model

    # The head of a reward model is new, so it is trained and saved whole, beside the adapter.
    scores = not methods.get(recipe.method).writes_answers
    model = load_model(base, device, dtype, recipe.quantization, scores)
    targets: Any = "all-linear" if recipe.target_modules == ["all-linear"] else recipe.target_modules

    config = LoraConfig(
        r=recipe.rank,
        lora_alpha=recipe.alpha,
        lora_dropout=recipe.dropout,
        target_modules=targets,
        use_rslora=recipe.rslora,
        use_dora=recipe.dora,
        bias="none",
        task_type="SEQ_CLS" if scores else "CAUSAL_LM",
        modules_to_save=[REWARD_HEAD] if scores else None,
    )

    # Which modules a base has shows only here, so a wrong --target-modules fails here too.
    try:
        model = stacked_adapter.build_stacked(model, parent, config) if parent else get_peft_model(model, config)
    except ValueError as error:
        raise InputError("The adapter does not fit the base", str(error), "Check --target-modules; all-linear fits every base.") from error

    prevent_repacking(model)

    # Updates at small learning rates are lost in 16 bits. The earlier adapter is kept in fp32 as it was trained.
    for name, parameter in model.named_parameters():
        if parameter.requires_grad or f".{stacked_adapter.PARENT_ADAPTER}." in name:
            parameter.data = parameter.data.to(torch.float32)
    return model


def peft_name(parameter: str) -> str:
    """A trained parameter's name as PEFT writes it into an adapter file."""
    return parameter.replace("lora_magnitude_vector.default.weight", "lora_magnitude_vector").replace(".default", "")


def trained_weights(model: Any) -> dict[str, Any]:
    """The weights that move, by name; the tensors themselves, no copies."""
    return {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}


def save_result(model: Any, recipe: Recipe, folder: Path, base: Path, parent: Path | None = None) -> None:
    """Write the finished adapter in PEFT's layout (with the earlier one it was built on), or the whole model, into a folder that exists."""
    import shutil

    # What is published is one plain adapter, so that export and chat need not know what it was built on.
    if parent:
        from safetensors.numpy import save_file

        weights = {peft_name(name): tensor.detach().cpu().numpy() for name, tensor in trained_weights(model).items()}
        tensors, changes = stacked_adapter.combine_adapters(parent, weights, recipe)
        model.peft_config["default"].save_pretrained(folder)
        config = json.loads((folder / ADAPTER_CONFIG).read_text(encoding="utf-8"))
        earlier = json.loads((parent / ADAPTER_CONFIG).read_text(encoding="utf-8"))
        targets = sorted({*config["target_modules"], *earlier["target_modules"]})
        save_file(tensors, folder / ADAPTER_WEIGHTS, metadata={"format": "pt"})
        write_json(folder / ADAPTER_CONFIG, {**config, **changes, "target_modules": targets, "inference_mode": True})
        return

    # PEFT's README is an empty model card for a hub.
    if recipe.lora:
        model.save_pretrained(folder, safe_serialization=True)
        (folder / "README.md").unlink(missing_ok=True)
        return

    # A whole model is a base for other runs, and needs its tokenizer beside it.
    model.save_pretrained(folder, save_original_format=False)  # by the names it has, not by those of a whole model it was part of
    for name in ("tokenizer.json", "tokenizer.model", "tokenizer_config.json", "chat_template.jinja", *PROCESSOR_FILES):
        if (base / name).is_file():
            shutil.copy(base / name, folder / name)
