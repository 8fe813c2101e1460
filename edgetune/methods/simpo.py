"""Simple preference optimization (Meng et al. 2024, arXiv:2405.14734): of mean log-probabilities, so length says nothing; no reference."""

from typing import Any

from edgetune.methods import _free
from edgetune.methods._pairs import KINDS, NEEDS
from edgetune.training.drift import MEAN, drift

__all__ = ["BETA", "KINDS", "NEEDS", "RATE", "trainer", "warning"]

RATE = 0.5
BETA = 2.0


def warning(now: dict[str, Any], first: dict[str, Any]) -> str:
    """What should be said of held-out measures beside those before training, or an empty text."""
    return drift(now, first, MEAN)


def trainer(recipe: Any, *args: Any) -> Any:
    """TRL's trainer with our life; its fields are still to be set."""
    from trl.experimental.cpo import CPOConfig, CPOTrainer

    options = {"beta": BETA if recipe.beta is None else recipe.beta, "simpo_gamma": recipe.gamma}
    return _free.make(CPOTrainer, CPOConfig, recipe, *args, loss_type="simpo", cpo_alpha=0.0, **options)
