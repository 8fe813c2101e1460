"""What every method's TRL trainer is given alike: settings, tokenizer, and trained weights that stay as they were made."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from edgetune.bases.tokenizer import BaseTokenizer
from edgetune.data.store import TokenRows
from edgetune.recipe import Recipe


def arguments(recipe: Recipe, folder: Path, total: int, device: str, dtype: str) -> dict[str, Any]:
    """Settings of transformers' trainer that every method shares."""
    return {
        "output_dir": str(folder / "trainer"),
        "report_to": "none",
        "disable_tqdm": True,
        "seed": recipe.seed,
        "data_seed": recipe.data_seed,
        "per_device_train_batch_size": recipe.batch,
        "per_device_eval_batch_size": recipe.batch,
        "gradient_accumulation_steps": recipe.accumulation,
        "learning_rate": recipe.learning_rate,
        "lr_scheduler_type": recipe.schedule if recipe.schedule != "constant" else "constant_with_warmup",
        "warmup_steps": round(recipe.warmup * total),
        "weight_decay": recipe.weight_decay,
        "max_grad_norm": recipe.max_grad_norm,
        "max_steps": total,
        "optim": "adamw_torch",
        "bf16": dtype == "bfloat16",
        "fp16": dtype == "float16",
        "use_cpu": device == "cpu",
        "gradient_checkpointing": recipe.gradient_checkpointing,
        "logging_strategy": "no",
        "eval_strategy": "no",
        "save_strategy": "no",
        "logging_nan_inf_filter": False,
        "dataloader_num_workers": 0,
        "dataloader_pin_memory": device == "cuda",
        "push_to_hub": False,
    }


def dataset(rows: TokenRows) -> Any:
    """A run's rows as a dataset, mapped from their file."""
    from datasets import Dataset

    return Dataset.from_file(str(rows.path))


def processing(tokenizer: BaseTokenizer) -> Any:
    """The base's tokenizer as TRL wants it; it only gives the padding, as all texts are token ids already."""
    from transformers import PreTrainedTokenizerFast

    names = {i: t for t, i in tokenizer.inner.get_vocab().items()}
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer.inner, eos_token=names[tokenizer.eos_id], pad_token=names[tokenizer.pad_id])


def untouched(model: Any, make: Callable[[], Any]) -> Any:
    """A trainer from `make`, which leaves the random state, the trained weights and which of them are trained as they were.

    TRL turns a QLoRA adapter to bf16, and adds an adapter 'ref', a copy of the new one, for a reference that the new adapter off gives too.
    """
    import torch

    before = {name: p.detach().clone() for name, p in model.named_parameters() if p.requires_grad}
    random_state = torch.get_rng_state()
    made = make()
    torch.set_rng_state(random_state)
    if "ref" in getattr(made.model, "peft_config", {}):
        made.model.delete_adapter("ref")
    for name, parameter in made.model.named_parameters():
        parameter.requires_grad_(name in before)
        if name in before:
            parameter.data = before[name].to(parameter.device)
    return made
