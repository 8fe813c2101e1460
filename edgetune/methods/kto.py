"""Kahneman-Tversky optimization (Ethayarajh et al. 2024, arXiv:2402.01306): single answers judged good or bad, in no pairs.

Pairs serve too: the chosen answers are good, the rejected bad.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any

from edgetune.methods._likelihood_drop import SUMMED, find_likelihood_drop
from edgetune.methods._method import BatchMeasures, Method, Setup
from edgetune.methods._pairs import PAIR_METRICS
from edgetune.methods._prepared_rows import AsPrepared


@dataclass(frozen=True)
class JudgedCollator:
    """Judged answers as one batch, padded right: input_ids, attention_mask, completion_mask, label; with KL_ in front the same for every
    prompt with the answer to the prompt before it, from which TRL estimates how far the model has moved as a whole.

    length: where such a mismatched row is cut off.
    """

    pad: int
    length: int

    def __call__(self, rows: list[dict[str, Any]]) -> dict[str, Any]:
        """A batch of rows as tensors."""
        import torch

        from edgetune.data.labels import IGNORE_INDEX, first_answer_start

        # Prompt and answer are taken apart, as each answer is also put behind another row's prompt.
        parts = []
        for row in rows:
            start = first_answer_start(row["labels"]) or 0
            parts.append(
                (row["input_ids"][:start], row["input_ids"][start:], [int(label != IGNORE_INDEX) for label in row["labels"][start:]])
            )

        # The first prompt gets the last row's answer, so that none gets its own.
        others = [(prompt, *parts[number - 1][1:]) for number, (prompt, _, _) in enumerate(parts)]

        return {
            **self._padded("", parts),
            **self._padded("KL_", others),
            "label": torch.tensor([row["label"] for row in rows]),
        }

    def _padded(self, name: str, parts: list[tuple[list[int], list[int], list[int]]]) -> dict[str, Any]:
        import torch

        ids = [(prompt + answer)[: self.length] for prompt, answer, _ in parts]
        masks = [([0] * len(prompt) + mask)[: self.length] for prompt, _, mask in parts]
        width = max(len(one) for one in ids)
        return {
            f"{name}input_ids": torch.tensor([one + [self.pad] * (width - len(one)) for one in ids]),
            f"{name}attention_mask": torch.tensor([[1] * len(one) + [0] * (width - len(one)) for one in ids]),
            f"{name}completion_mask": torch.tensor([mask + [0] * (width - len(mask)) for mask in masks]),
        }


def make_trainer(setup: Setup) -> Any:
    """TRL's trainer; its fields are still to be set."""
    from trl import KTOConfig, KTOTrainer

    class Judged(AsPrepared, KTOTrainer):  # type: ignore[misc,unused-ignore]
        """Takes rows as they are."""

    # Rows are cut and padded by us: TRL must neither shorten them nor drop their columns.
    config = KTOConfig(
        **setup.arguments(),
        beta=setup.beta,
        max_length=None,
        remove_unused_columns=False,
        pad_to_multiple_of=None,
    )
    return setup.make(Judged, config, data_collator=JudgedCollator(setup.tokenizer.pad_id, setup.length))


def measure_batch(trainer: Any, batch: dict[str, Any]) -> BatchMeasures:
    """Held-out loss of a batch, and the mean reward of its good and of its bad answers."""
    kept, count, good = trainer._metrics["eval"], len(batch["label"]), int(batch["label"].sum())
    kept.clear()
    loss = float(trainer.compute_loss(trainer.model, batch)) * count
    sizes = {"chosen": good, "rejected": count - good}
    values = {
        PAIR_METRICS[f"{what}/{side}"]: (kept[f"{what}/{side}"][-1] * size, size)
        for what in ("rewards", "logps")
        for side, size in sizes.items()
        if size
    }
    return loss, count, values


def find_problem(recipe: Any) -> str:
    """A batch of one has no other prompt to hold an answer against."""
    return "method kto needs batch_size 2 or more: it compares every answer with another prompt's" if recipe.batch_size < 2 else ""


METHOD = Method(
    name="kto",
    row_kinds=("unpaired", "preference"),
    needs="kto needs answers that are judged: rows with 'prompt', 'completion' and 'label' (true or false), "
    "or pairs of a better and a worse answer.",
    vote_format="unpaired",
    splits_pairs=True,
    options=("beta",),
    beta=0.1,
    learning_rate_factor=0.5,
    find_problem=find_problem,
    adapts_lm_head=False,
    make_trainer=make_trainer,
    measure_batch=measure_batch,
    metrics=PAIR_METRICS,
    find_warning=partial(find_likelihood_drop, limit=SUMMED),
)
