"""Odds-ratio preference optimization (Hong et al. 2024, arXiv:2403.07691): learns the chosen answers and the preference at once.

It needs no reference and no sft before it. beta is the paper's lambda: the weight of the preference beside the answers.
"""

from typing import Any

from edgetune.methods._likelihood_drop import MEAN
from edgetune.methods._method import Setup
from edgetune.methods._reference_free import make_reference_free, reference_free


def make_trainer(setup: Setup) -> Any:
    """TRL's trainer; its fields are still to be set."""
    from torch.nn.functional import cross_entropy
    from trl.experimental.orpo import ORPOConfig, ORPOTrainer

    class OfAnswers(ORPOTrainer):  # type: ignore[misc,unused-ignore]
        """Learns from answers alone, as the paper's equation 6 says; TRL's counts the prompts' tokens too."""

        def concatenated_forward(self, model: Any, batch: dict[str, Any]) -> tuple[Any, ...]:
            chosen, rejected, logits, other, _, *rest = super().concatenated_forward(model, batch)
            answers = cross_entropy(logits.reshape(-1, logits.shape[-1]), batch["chosen_labels"][:, 1:].reshape(-1))
            return (chosen, rejected, logits, other, answers, *rest)

    return make_reference_free(OfAnswers, ORPOConfig, setup)


METHOD = reference_free("orpo", make_trainer, beta=0.1, drop_limit=MEAN)
