"""Direct preference optimization (Rafailov et al. 2023, arXiv:2305.18290) and its kin: TRL's DPOTrainer on pairs that we prepared.

The reference is the model before this run: the base with the adapter off, or the earlier run's adapter where one is stacked on it. No
second model is held in memory.
"""

from typing import Any

from edgetune.methods._likelihood_drop import SUMMED, drift
from edgetune.methods._pairs import KINDS, METRICS, NEEDS, Measured, PairCollator, measure_pairs
from edgetune.training.trainer_setup import AsPrepared, Setup

__all__ = ["BETA", "KINDS", "NEEDS", "RATE", "trainer", "warning"]

RATE = 0.5
"""Learning rate beside that of sft where none is given: a preference moves the whole answer, and larger steps cost facts. Tried on a base
of 5M parameters only, where three times as much, four pairs a step and three passes over 150 pairs moved a taste whole and cost no fact."""
BETA = 0.1


def warning(now: dict[str, Any], first: dict[str, Any]) -> str:
    """What should be said of held-out measures beside those before training, or an empty text."""
    return drift(now, first, SUMMED)


def trainer(setup: Setup) -> Any:
    """TRL's trainer with our life; its fields are still to be set."""
    from trl import DPOConfig, DPOTrainer

    class Pairs(AsPrepared, DPOTrainer):  # type: ignore[misc,unused-ignore]
        """Takes rows as they are, and is measured by them."""

        metrics = METRICS

        def measure(self, batch: dict[str, Any]) -> Measured:
            """Held-out loss and preference of a batch."""
            return measure_pairs(self, batch)

    recipe = setup.recipe
    mixed = recipe.sft_weight > 0
    config = DPOConfig(
        **setup.arguments(),
        loss_type=[recipe.loss_type, "sft"] if mixed else [recipe.loss_type],
        loss_weights=[1.0, recipe.sft_weight] if mixed else None,
        beta=BETA if recipe.beta is None else recipe.beta,
        label_smoothing=recipe.label_smoothing,
        max_length=None,
        remove_unused_columns=False,
        pad_to_multiple_of=None,
    )
    return setup.make(Pairs, config, data_collator=PairCollator(setup.tokenizer.pad_id))
