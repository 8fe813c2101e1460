"""What the methods that learn from pairs share: the batch, and held-out measures of whether the chosen answer is preferred."""

from dataclasses import dataclass
from typing import Any

from edgetune.methods._method import BatchMeasures

PAIR_ROW_KINDS = ("preference",)
PAIR_NEEDS = (
    "This method needs pairs of a better and a worse answer: rows with 'prompt', 'chosen' and 'rejected', or another shape that "
    "'edgetune data check FILE' reads as pairs."
)
PAIR_METRICS = {
    "rewards/chosen": "reward_chosen",
    "rewards/rejected": "reward_rejected",
    "rewards/margins": "margin",
    "rewards/accuracies": "accuracy",
    "logps/chosen": "logp_chosen",
    "logps/rejected": "logp_rejected",
}
"""TRL's names of what is measured, and ours in events. Rewards are beta times the change of an answer's log-probability."""


@dataclass(frozen=True)
class PairCollator:
    """Rows of pairs as one batch, the chosen answers first, then the rejected: input_ids, attention_mask, completion_mask, padded right.

    completion_mask is 1 where a token is trained on, as the labels say, not on all that follows the prompt.
    """

    pad: int

    def __call__(self, rows: list[dict[str, Any]]) -> dict[str, Any]:
        import torch

        from edgetune.data.labels import IGNORE_INDEX

        sides = [(row[f"{side}_ids"], row[f"{side}_labels"]) for side in ("chosen", "rejected") for row in rows]

        # TRL tells the two sides apart by position alone: the first half is the chosen one.
        width = max(len(ids) for ids, _ in sides)
        return {
            "input_ids": torch.tensor([ids + [self.pad] * (width - len(ids)) for ids, _ in sides]),
            "attention_mask": torch.tensor([[1] * len(ids) + [0] * (width - len(ids)) for ids, _ in sides]),
            "completion_mask": torch.tensor(
                [[int(label != IGNORE_INDEX) for label in labels] + [0] * (width - len(labels)) for _, labels in sides]
            ),
        }


def measure_pairs(trainer: Any, batch: dict[str, Any]) -> BatchMeasures:
    """Held-out loss and measures of a batch of pairs."""
    count = len(batch["input_ids"]) // 2
    loss = float(trainer.compute_loss(trainer.model, batch)) * count
    measured = trainer._metrics["eval"]
    values = {ours: (float(measured[theirs][-1]) * count, count) for theirs, ours in PAIR_METRICS.items() if measured.get(theirs)}
    if values["reward_chosen"][0] == values["reward_rejected"][0] == 0.0:
        values["accuracy"] = count / 2, count  # before the first step neither answer is preferred, which TRL counts as wrong
    return loss, count, values
