"""Supervised fine-tuning: TRL's SFTTrainer on token ids and labels that we prepared."""

from pathlib import Path
from typing import Any

from edgetune.bases.tokenizer import BaseTokenizer
from edgetune.data.store import TokenRows
from edgetune.recipe import Recipe
from edgetune.training.trainer import with_our_life


def dataset(rows: TokenRows) -> Any:
    """Rows as the dataset TRL takes as it is, mapped from their file."""
    from datasets import Dataset

    return Dataset.from_file(str(rows.path))


def pack(rows: TokenRows, length: int) -> Any:
    """Several short rows in one of at most `length` tokens (best fit), each attending to itself alone."""
    from trl.data_utils import pack_dataset

    return pack_dataset(dataset(rows), length, strategy="bfd")


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


def trainer(
    recipe: Recipe,
    model: Any,
    tokenizer: BaseTokenizer,
    rows: TokenRows,
    folder: Path,
    total: int,
    length: int,
    device: str,
    dtype: str,
) -> Any:
    """TRL's trainer with our life; its fields are still to be set."""
    import torch
    from transformers import PreTrainedTokenizerFast
    from trl import SFTConfig, SFTTrainer

    names = {i: t for t, i in tokenizer.inner.get_vocab().items()}
    processing = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer.inner, eos_token=names[tokenizer.eos_id], pad_token=names[tokenizer.pad_id]
    )
    config = SFTConfig(
        **arguments(recipe, folder, total, device, dtype),
        dataset_kwargs={"skip_prepare_dataset": True},
        max_length=None if not recipe.packing else length,
        packing=recipe.packing,
        shuffle_dataset=False,
        pad_to_multiple_of=None,
    )
    before = {name: p.detach().clone() for name, p in model.named_parameters() if p.requires_grad}
    random_state = torch.get_rng_state()
    made = with_our_life(SFTTrainer)(
        model=model, args=config, train_dataset=pack(rows, length) if recipe.packing else dataset(rows), processing_class=processing
    )
    torch.set_rng_state(random_state)
    for name, parameter in made.model.named_parameters():
        if parameter.requires_grad:  # TRL turned a QLoRA adapter to bf16; trained weights stay in fp32
            parameter.data = before[name].to(parameter.device)
    return made
