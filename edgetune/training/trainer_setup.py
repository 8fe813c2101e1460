"""What every method's TRL trainer is given alike: settings, tokenizer, and trained weights that stay as they were made."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgetune.bases.tokenizer import BaseTokenizer
from edgetune.config.recipe import Recipe
from edgetune.data.store import TokenRows
from edgetune.training.trainer import with_our_life


def dataset(rows: TokenRows) -> Any:
    """A run's rows as a dataset, mapped from their file."""
    from datasets import Dataset

    return Dataset.from_file(str(rows.path))


class AsPrepared:
    """Set before one of TRL's trainers: it takes the run's rows as they are, where TRL would render and tokenize them."""

    def _prepare_dataset(self, dataset: Any, *args: Any, **kwargs: Any) -> Any:
        return dataset


@dataclass(frozen=True)
class Setup:
    """What a method makes its trainer of.

    model: the base with its adapter. rows: the training rows. folder: the run's. total: steps. length: most tokens of a row. device, dtype:
    where and in which format it computes.
    """

    recipe: Recipe
    model: Any
    tokenizer: BaseTokenizer
    rows: TokenRows
    folder: Path
    total: int
    length: int
    device: str
    dtype: str

    def arguments(self) -> dict[str, Any]:
        """Settings of transformers' trainer that every method shares."""
        return {
            "output_dir": str(self.folder / "trainer"),
            "report_to": "none",
            "disable_tqdm": True,
            "seed": self.recipe.seed,
            "data_seed": self.recipe.data_seed,
            "per_device_train_batch_size": self.recipe.batch_size,
            "per_device_eval_batch_size": self.recipe.batch_size,
            "gradient_accumulation_steps": self.recipe.gradient_accumulation,
            "learning_rate": self.recipe.learning_rate,
            "lr_scheduler_type": self.recipe.lr_scheduler_type if self.recipe.lr_scheduler_type != "constant" else "constant_with_warmup",
            "warmup_steps": round(self.recipe.warmup_ratio * self.total),
            "weight_decay": self.recipe.weight_decay,
            "max_grad_norm": self.recipe.max_grad_norm,
            "max_steps": self.total,
            "optim": "adamw_torch",
            "bf16": self.dtype == "bfloat16",
            "fp16": self.dtype == "float16",
            "use_cpu": self.device == "cpu",
            "gradient_checkpointing": self.recipe.gradient_checkpointing,
            "logging_strategy": "no",
            "eval_strategy": "no",
            "save_strategy": "no",
            "logging_nan_inf_filter": False,
            "dataloader_num_workers": 0,
            "dataloader_pin_memory": self.device == "cuda",
            "push_to_hub": False,
        }

    def make(self, trainer_class: type, config: Any, rows: Any = None, **more: Any) -> Any:
        """TRL's trainer with our life. rows: instead of the run's as they are. more: what else that trainer is to be given."""
        given = dataset(self.rows) if rows is None else rows
        return _untouched(
            self.model,
            lambda: with_our_life(trainer_class)(
                model=self.model, args=config, train_dataset=given, processing_class=_processing(self.tokenizer), **more
            ),
        )


def _processing(tokenizer: BaseTokenizer) -> Any:
    """The base's tokenizer as TRL wants it; it only gives the padding, as all texts are token ids already."""
    from transformers import PreTrainedTokenizerFast

    names = {i: t for t, i in tokenizer.inner.get_vocab().items()}
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer.inner, eos_token=names[tokenizer.eos_id], pad_token=names[tokenizer.pad_id])


def _untouched(model: Any, make: Callable[[], Any]) -> Any:
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
