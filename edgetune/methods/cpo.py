"""Contrastive preference optimization (Xu et al. 2024, arXiv:2401.08417): DPO without a reference, beside learning the chosen answers."""

from typing import Any

from edgetune.methods._likelihood_drop import SUMMED
from edgetune.methods._method import Setup
from edgetune.methods._reference_free import make_cpo, reference_free


def make_trainer(setup: Setup) -> Any:
    """TRL's trainer; its fields are still to be set."""
    return make_cpo(setup, loss_type="sigmoid", cpo_alpha=1.0, label_smoothing=setup.recipe.label_smoothing)


METHOD = reference_free("cpo", make_trainer, beta=0.1, drop_limit=SUMMED, options=("label_smoothing",))
