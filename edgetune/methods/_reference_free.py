"""What the methods without a reference model share (ORPO, CPO, SimPO, in trl.experimental): their batch, and rows taken as they are."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from edgetune.methods._likelihood_drop import find_likelihood_drop
from edgetune.methods._method import BatchMeasures, Method, Setup
from edgetune.methods._pairs import PAIR_METRICS, PAIR_NEEDS, PAIR_ROW_KINDS


@dataclass(frozen=True)
class SideCollator:
    """Rows of pairs as one batch: chosen_ and rejected_ input_ids, attention_mask, labels, all padded right to one width."""

    pad: int

    def __call__(self, rows: list[dict[str, Any]]) -> dict[str, Any]:
        import torch

        from edgetune.data.labels import IGNORE_INDEX

        width = max(len(row[f"{side}_ids"]) for side in ("chosen", "rejected") for row in rows)
        batch = {}
        for side in ("chosen", "rejected"):
            missing = [(row, width - len(row[f"{side}_ids"])) for row in rows]
            batch[f"{side}_input_ids"] = torch.tensor([row[f"{side}_ids"] + [self.pad] * gap for row, gap in missing])
            batch[f"{side}_attention_mask"] = torch.tensor([[1] * (width - gap) + [0] * gap for _, gap in missing])
            batch[f"{side}_labels"] = torch.tensor([row[f"{side}_labels"] + [IGNORE_INDEX] * gap for row, gap in missing])
        return batch


class SideRows:
    """A run's rows by number; TRL's preparation, which would render and tokenize them again, passes them on as they are."""

    def __init__(self, dataset: Any) -> None:
        self.inner = dataset

    def __len__(self) -> int:
        return len(self.inner)

    def __getitem__(self, index: int) -> Any:
        return self.inner[index]

    def map(self, *args: Any, **kwargs: Any) -> "SideRows":
        """Itself."""
        return self

    def to_list(self) -> list[dict[str, Any]]:
        """All rows."""
        return list(self.inner)


def make_reference_free(trainer_class: type, config_class: Callable[..., Any], setup: Setup, **options: Any) -> Any:
    """A managed trainer of TRL's class. options: the method's own settings."""
    config = config_class(**setup.arguments(), max_length=setup.length, remove_unused_columns=False, beta=setup.beta, **options)
    return setup.make(trainer_class, config, SideRows(setup.dataset()), data_collator=SideCollator(setup.tokenizer.pad_id))


def make_cpo(setup: Setup, **options: Any) -> Any:
    """TRL's CPOTrainer, which has SimPO's loss too. options: the method's own settings."""
    from trl.experimental.cpo import CPOConfig, CPOTrainer

    return make_reference_free(CPOTrainer, CPOConfig, setup, **options)


def measure_batch(trainer: Any, batch: dict[str, Any]) -> BatchMeasures:
    """Held-out loss and preference of a batch."""
    loss, measured = trainer.get_batch_loss_metrics(trainer.model, batch, train_eval="eval")
    count = len(batch["chosen_labels"])
    values = {ours: (float(measured[f"eval_{theirs}"]) * count, count) for theirs, ours in PAIR_METRICS.items()}
    return float(loss) * count, count, values


def reference_free(
    name: str, make_trainer: Callable[[Setup], Any], beta: float, drop_limit: float, options: tuple[str, ...] = ()
) -> Method:
    """A method without a reference model. drop_limit: nats by which the chosen answers' log-probability may fall before a warning.

    options: the recipe's options that it uses beside beta.
    """
    # Without a reference nothing holds the chosen answers' likelihood up, so its fall is watched, with each method's own limit.
    return Method(
        name=name,
        row_kinds=PAIR_ROW_KINDS,
        needs=PAIR_NEEDS,
        rows_per_example=2,
        options=("beta", *options),
        beta=beta,
        learning_rate_factor=0.5,
        holds_all_logits=True,
        make_trainer=make_trainer,
        measure_batch=measure_batch,
        metrics=PAIR_METRICS,
        find_warning=partial(find_likelihood_drop, limit=drop_limit),
    )
