"""Odds-ratio preference optimization (Hong et al. 2024, arXiv:2403.07691): learns the chosen answers and the preference at once.

It needs no reference and no sft before it.
"""

from typing import Any

from edgetune.methods import _free
from edgetune.methods._likelihood_drop import MEAN, drift
from edgetune.methods._pairs import KINDS, NEEDS
from edgetune.training.trainer_setup import Setup

__all__ = ["BETA", "KINDS", "NEEDS", "RATE", "trainer", "warning"]

RATE = 0.5
BETA = 0.1
"""The paper's lambda: the weight of the preference beside the answers."""


def warning(now: dict[str, Any], first: dict[str, Any]) -> str:
    """What should be said of held-out measures beside those before training, or an empty text."""
    return drift(now, first, MEAN)


def trainer(setup: Setup) -> Any:
    """TRL's trainer with our life; its fields are still to be set."""
    from torch.nn.functional import cross_entropy
    from trl.experimental.orpo import ORPOConfig, ORPOTrainer

    class OfAnswers(ORPOTrainer):  # type: ignore[misc,unused-ignore]
        """Learns from answers alone, as the paper's equation 6 says; TRL's counts the prompts' tokens too."""

        def concatenated_forward(self, model: Any, batch: dict[str, Any]) -> tuple[Any, ...]:
            chosen, rejected, logits, other, _, *rest = super().concatenated_forward(model, batch)
            answers = cross_entropy(logits.reshape(-1, logits.shape[-1]), batch["chosen_labels"][:, 1:].reshape(-1))
            return (chosen, rejected, logits, other, answers, *rest)

    return _free.make(OfAnswers, ORPOConfig, setup, beta=BETA if setup.recipe.beta is None else setup.recipe.beta)
