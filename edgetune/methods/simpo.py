"""Simple preference optimization (Meng et al. 2024, arXiv:2405.14734): of mean log-probabilities, so length says nothing; no reference."""

from typing import Any

from edgetune.methods._likelihood_drop import MEAN
from edgetune.methods._method import Setup
from edgetune.methods._reference_free import make_cpo, reference_free


def make_trainer(setup: Setup) -> Any:
    """TRL's trainer; its fields are still to be set."""
    return make_cpo(setup, loss_type="simpo", cpo_alpha=0.0, simpo_gamma=setup.recipe.simpo_gamma)


METHOD = reference_free("simpo", make_trainer, beta=2.0, drop_limit=MEAN, options=("simpo_gamma",))
