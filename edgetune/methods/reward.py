"""A reward model: the base with a head that gives one number a text, learned from pairs by Bradley and Terry's model; TRL's RewardTrainer.

It ranks answers (edgetune score), and rl trains against it.
"""

from dataclasses import dataclass
from typing import Any

from edgetune.methods._method import BatchMeasures, Method, Setup
from edgetune.methods._pairs import PAIR_NEEDS, PAIR_ROW_KINDS, PairCollator
from edgetune.methods._prepared_rows import AsPrepared
from edgetune.wilson import wilson

BINS = 5
"""Bands of certainty in which a held-out pair's certainty is held against the share ranked as voted; few, as pairs are few."""
METRICS = {"accuracy": "accuracy", "margin": "margin", "mean_reward": "reward_mean"}


@dataclass(frozen=True)
class WholeCollator(PairCollator):
    """As pairs are, without the mask of the answers: a reward is given to the whole text."""

    def __call__(self, rows: list[dict[str, Any]]) -> dict[str, Any]:
        """A batch of rows as tensors."""
        batch = super().__call__(rows)
        del batch["completion_mask"]
        return batch


def make_trainer(setup: Setup) -> Any:
    """TRL's trainer; its fields are still to be set."""
    from trl import RewardConfig, RewardTrainer

    class Rewarded(AsPrepared, RewardTrainer):  # type: ignore[misc,unused-ignore]
        """Takes rows as they are."""

    # Rows are cut and padded by us: TRL must neither shorten them nor drop their columns.
    config = RewardConfig(
        **setup.arguments(),
        max_length=None,
        disable_dropout=setup.recipe.dropout == 0,
        remove_unused_columns=False,
        pad_to_multiple_of=None,
    )
    return setup.make(Rewarded, config, data_collator=WholeCollator(setup.tokenizer.pad_id))


def measure_batch(trainer: Any, batch: dict[str, Any]) -> BatchMeasures:
    """Held-out loss and ranking of a batch of pairs."""
    count = len(batch["input_ids"]) // 2
    with trainer.accelerator.autocast():  # the head is in fp32, what it is given in the base's number format
        loss = float(trainer.compute_loss(trainer.model, batch)) * count
    measured = trainer._metrics["eval"]
    return loss, count, {ours: (float(measured[theirs][-1]) * count, count) for theirs, ours in METRICS.items()}


def assess(trainer: Any) -> dict[str, Any] | None:
    """What the finished reward model is worth on held-out pairs; None without any."""
    import torch

    from edgetune.data.labels import IGNORE_INDEX

    pairs, lengths = [], []

    # Dropout would blur the scores; the trainer itself gets back the mode it was in.
    was = trainer.model.training
    trainer.model.eval()
    for row in trainer.held_out:
        with torch.no_grad(), trainer.accelerator.autocast():
            batch = trainer._prepare_inputs(trainer.data_collator([row]))
            one, other = trainer.model(**batch, use_cache=False).logits.float().flatten().tolist()
        pairs.append((one, other))
        lengths.append(tuple(sum(label != IGNORE_INDEX for label in row[f"{side}_labels"]) for side in ("chosen", "rejected")))

    trainer.model.train(was)
    return assess_pairs(pairs, lengths) if pairs else None


def assess_pairs(pairs: list[tuple[float, float]], lengths: list[tuple[int, int]]) -> dict[str, Any]:
    """Accuracy with its 95 % interval, calibration and what length has to do with it.

    pairs: rewards of the chosen and the rejected answer; lengths: their tokens. calibration_error: the expected calibration error (Naeini
    et al. 2015) of the certainty that Bradley and Terry's model gives the answer it prefers.
    """
    import numpy as np

    # A gap in rewards is a log-odds of being preferred (Bradley-Terry).
    gaps = np.array([one - other for one, other in pairs])
    certain, right = 1 / (1 + np.exp(-np.abs(gaps))), gaps > 0

    # Expected calibration error: in each band of certainty, how far the share that is right is from the certainty.
    band = np.minimum(((certain - 0.5) * 2 * BINS).astype(int), BINS - 1)
    error = sum(abs(certain[band == b].mean() - right[band == b].mean()) * (band == b).mean() for b in range(BINS) if (band == b).any())

    # A correlation needs both to vary.
    rewards, sizes = np.array(pairs).ravel(), np.array(lengths, dtype=float).ravel()
    varied = rewards.std() > 0 and sizes.std() > 0

    shorter = np.array([one < other for one, other in lengths])
    return {
        "accuracy": float(right.mean()),
        "interval": wilson(float(right.sum()), len(pairs)),
        "count": len(pairs),
        "calibration_error": float(error),
        "mean_certainty": float(certain.mean()),
        "length_correlation": float(np.corrcoef(rewards, sizes)[0, 1]) if varied else 0.0,
        "shorter_chosen": float(shorter.mean()),
    }


METHOD = Method(
    name="reward",
    row_kinds=PAIR_ROW_KINDS,
    needs=PAIR_NEEDS,
    rows_per_example=2,
    learning_rate_factor=0.5,
    writes_answers=False,
    continues_runs=False,
    uses_dropout=True,
    make_trainer=make_trainer,
    measure_batch=measure_batch,
    metrics=METRICS,
    assess=assess,
)
