"""Whether preference training makes the chosen answers unlikely too, which a growing margin hides."""

FALL = 1.0
"""Nats by which the chosen answers' mean log-probability may fall below the reference's before it is said."""


def drift(values: dict[str, float], beta: float | None) -> str:
    """A warning where the margin has grown while chosen log-probabilities fell, with the remedy; else empty.

    values: held-out means; rewards are beta times the change of an answer's log-probability (Pal et al. 2024, arXiv:2402.13228, tell why
    a loss of differences alone lets both fall).
    """
    if not beta or "reward_chosen" not in values or "logp_chosen" not in values:
        return ""
    fall = -values["reward_chosen"] / beta
    if values.get("margin", 0.0) <= 0 or fall < FALL:
        return ""
    return (
        f"The margin grows while the chosen answers become less likely (their log-probability fell by {fall:.1f} nats on held-out pairs): "
        "the model may end up writing neither. Mix in the chosen answers (--sft-weight 0.3), raise --beta, or lower --learning-rate."
    )
