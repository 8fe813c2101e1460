"""Contrastive preference optimization (Xu et al. 2024, arXiv:2401.08417): DPO without a reference, beside learning the chosen answers."""

from typing import Any

from edgetune.methods import _free
from edgetune.methods._likelihood_drop import SUMMED, drift
from edgetune.methods._pairs import KINDS, NEEDS
from edgetune.training.trainer_setup import Setup

__all__ = ["BETA", "KINDS", "NEEDS", "RATE", "trainer", "warning"]

RATE = 0.5
BETA = 0.1


def warning(now: dict[str, Any], first: dict[str, Any]) -> str:
    """What should be said of held-out measures beside those before training, or an empty text."""
    return drift(now, first, SUMMED)


def trainer(setup: Setup) -> Any:
    """TRL's trainer with our life; its fields are still to be set."""
    from trl.experimental.cpo import CPOConfig, CPOTrainer

    options = {"beta": BETA if setup.recipe.beta is None else setup.recipe.beta, "label_smoothing": setup.recipe.label_smoothing}
    return _free.make(CPOTrainer, CPOConfig, setup, loss_type="sigmoid", cpo_alpha=1.0, **options)
