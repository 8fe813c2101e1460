"""Whether preference training makes the chosen answers unlikely too, which a growing margin hides."""

from typing import Any

SUMMED, MEAN = 1.0, 0.1
"""Nats by which the chosen answers' log-probability may fall before it is said: summed over an answer, or its mean over tokens."""
MAX_DROP_SHARE = 0.05
"""And the share of what it was before: long answers waver by several nats."""


def find_likelihood_drop(measures: dict[str, Any], before: dict[str, Any], limit: float) -> str:
    """A warning where the margin has grown while chosen log-probabilities fell, with the remedy; else empty.

    measures, before: held-out means, now and before the first step. limit: nats by which they may fall at least. Pal et al. 2024
    (arXiv:2402.13228) tell why a loss of differences alone lets both fall.
    """
    if "logp_chosen" not in measures or "logp_chosen" not in before or measures.get("margin", 0.0) <= before.get("margin", 0.0):
        return ""
    fall = before["logp_chosen"] - measures["logp_chosen"]
    if fall < max(limit, MAX_DROP_SHARE * abs(before["logp_chosen"])):
        return ""
    return (
        f"The margin grows while the chosen answers become less likely (their log-probability fell by {fall:.1f} on held-out rows): the "
        "model may end up writing neither. Mix in the chosen answers (method dpo with --sft-weight 0.3), raise --beta, or lower "
        "--learning-rate."
    )
