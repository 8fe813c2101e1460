"""What every method's TRL trainer is given alike: settings, tokenizer, and trained weights that stay as they were made."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgetune import methods
from edgetune.bases.tokenizer import BaseTokenizer
from edgetune.chat.turns import turn_end_ids
from edgetune.config.recipe import Recipe
from edgetune.data.store import TokenRows
from edgetune.methods import Method, Reward
from edgetune.training import rewards


@dataclass(frozen=True)
class TrainerSetup:
    """What a method makes its trainer of.

    model: the base with its adapter. rows: the training rows. folder: the run's. total: steps. length: most tokens of a row. device, dtype:
    where and in which format it computes. context: what the recipe's rewards may need; None where there are none.
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
    context: rewards.Context | None = None

    @property
    def method(self) -> Method:
        """The recipe's method."""
        return methods.get(self.recipe.method)

    @property
    def beta(self) -> float | None:
        """The recipe's beta, or the method's own where none is given."""
        return self.method.beta if self.recipe.beta is None else self.recipe.beta

    def dataset(self) -> Any:
        """The rows as a dataset, mapped from their file."""
        from datasets import Dataset

        return Dataset.from_file(str(self.rows.path))

    def turn_ends(self) -> list[int]:
        """The tokens that end an answer."""
        return turn_end_ids(self.tokenizer)

    def rewards(self) -> list[Reward]:
        """What judges the answers that the model writes while training."""
        return rewards.make_rewards(self.recipe.reward, self.context) if self.context else []

    def arguments(self) -> dict[str, Any]:
        """Settings of transformers' trainer that every method shares."""
        # Logging, evaluating and saving are due when RunCallback says so; TRL's own schedules would come on top.
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
        """A managed trainer of TRL's class. rows: instead of the run's as they are. more: what else that class is to be given."""
        from edgetune.training.managed_trainer import managed

        given = self.dataset() if rows is None else rows
        trainer = managed(trainer_class, self.method)
        return _untouched(
            self.model,
            lambda: trainer(model=self.model, args=config, train_dataset=given, processing_class=_processing(self.tokenizer), **more),
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

    # Random numbers drawn while TRL builds its trainer would make a run's result depend on TRL's version.
    before = {name: p.detach().clone() for name, p in model.named_parameters() if p.requires_grad}
    random_state = torch.get_rng_state()
    trainer = make()
    torch.set_rng_state(random_state)

    if "ref" in getattr(trainer.model, "peft_config", {}):
        trainer.model.delete_adapter("ref")

    for name, parameter in trainer.model.named_parameters():
        parameter.requires_grad_(name in before)
        if name in before:
            parameter.data = before[name].to(parameter.device)
    return trainer
