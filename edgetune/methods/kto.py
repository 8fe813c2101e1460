"""Kahneman-Tversky optimization (Ethayarajh et al. 2024, arXiv:2402.01306): single answers judged good or bad, in no pairs.

Pairs serve too: the chosen answers are good, the rejected bad.
"""

from dataclasses import dataclass
from typing import Any

from edgetune.data.render import IGNORED
from edgetune.methods._likelihood_drop import SUMMED, drift
from edgetune.methods._pairs import METRICS, Measured
from edgetune.training.trainer_setup import AsPrepared, Setup

KINDS = ("unpaired", "preference")
NEEDS = (
    "kto needs answers that are judged: rows with 'prompt', 'completion' and 'label' (true or false), "
    "or pairs of a better and a worse answer."
)
RATE = 0.5
BETA = 0.1


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

        parts = []
        for row in rows:
            start = next((place for place, label in enumerate(row["labels"]) if label != IGNORED), 0)
            parts.append((row["input_ids"][:start], row["input_ids"][start:], [int(label != IGNORED) for label in row["labels"][start:]]))
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


def warning(now: dict[str, Any], first: dict[str, Any]) -> str:
    """What should be said of held-out measures beside those before training, or an empty text."""
    return drift(now, first, SUMMED)


def trainer(setup: Setup) -> Any:
    """TRL's trainer with our life; its fields are still to be set."""
    from trl import KTOConfig, KTOTrainer

    class Judged(AsPrepared, KTOTrainer):  # type: ignore[misc,unused-ignore]
        """Takes rows as they are, and is measured by them."""

        metrics = METRICS

        def measure(self, batch: dict[str, Any]) -> Measured:
            """Held-out loss of a batch, and the mean reward of its good and of its bad answers."""
            kept, count, good = self._metrics["eval"], len(batch["label"]), int(batch["label"].sum())
            kept.clear()
            loss = float(self.compute_loss(self.model, batch)) * count
            sizes = {"chosen": good, "rejected": count - good}
            values = {
                METRICS[f"{what}/{side}"]: (kept[f"{what}/{side}"][-1] * size, size)
                for what in ("rewards", "logps")
                for side, size in sizes.items()
                if size
            }
            return loss, count, values

    config = KTOConfig(
        **setup.arguments(),
        beta=BETA if setup.recipe.beta is None else setup.recipe.beta,
        max_length=None,
        remove_unused_columns=False,
        pad_to_multiple_of=None,
    )
    return setup.make(Judged, config, data_collator=JudgedCollator(setup.tokenizer.pad_id, setup.length))
