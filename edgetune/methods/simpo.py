"""Simple preference optimization (Meng et al. 2024, arXiv:2405.14734): of mean log-probabilities, so length says nothing; no reference."""

from typing import Any

from edgetune.methods import _free
from edgetune.methods._likelihood_drop import MEAN, drift
from edgetune.methods._pairs import KINDS, NEEDS
from edgetune.training.trainer_setup import Setup

__all__ = ["BETA", "KINDS", "NEEDS", "RATE", "trainer", "warning"]

RATE = 0.5
BETA = 2.0


def warning(now: dict[str, Any], first: dict[str, Any]) -> str:
    """What should be said of held-out measures beside those before training, or an empty text."""
    return drift(now, first, MEAN)


def trainer(setup: Setup) -> Any:
    """TRL's trainer with our life; its fields are still to be set."""
    from trl.experimental.cpo import CPOConfig, CPOTrainer

    options = {"beta": BETA if setup.recipe.beta is None else setup.recipe.beta, "simpo_gamma": setup.recipe.simpo_gamma}
    return _free.make(CPOTrainer, CPOConfig, setup, loss_type="simpo", cpo_alpha=0.0, **options)
