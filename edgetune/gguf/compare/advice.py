"""Which of the measured files to take, and why, in one sentence."""

from collections.abc import Sequence
from dataclasses import dataclass

from edgetune.formatting import format_size
from edgetune.gguf.compare.measure import FileMeasurement
from edgetune.gguf.proof.behaviour import SLOPE_RANGE

MAX_WORSE, STANDARD_ERRORS = 0.02, 2.0
"""Log p of a held-out answer token may be so much lower (2% of perplexity), so many standard errors of what was measured allowed for."""
MIN_SAME_TOKENS = 0.90
"""Least share of equal most likely tokens."""


@dataclass(frozen=True)
class Advice:
    """The file to take, and why."""

    take: FileMeasurement
    why: str


def shortfall(one: FileMeasurement) -> str | None:
    """What keeps a file from standing in for full precision, in words; None where nothing does."""
    if one.slope is not None and not SLOPE_RANGE[0] <= one.slope <= SLOPE_RANGE[1]:
        return f"shows {one.slope:.2f} of what was learned"
    if one.top1 < MIN_SAME_TOKENS:
        return f"picks another next token {1 - one.top1:.0%} of the time"
    if one.worse is None or one.worse_error is None:
        return "was not measured on answers"
    most, least = one.worse + STANDARD_ERRORS * one.worse_error, one.worse - STANDARD_ERRORS * one.worse_error
    if most > MAX_WORSE:
        return f"is {one.worse:.1%} worse" if least > MAX_WORSE else f"may be {most:.1%} worse"
    return None


def advise(files: Sequence[FileMeasurement], perplexity: float | None, on: str) -> Advice:
    """Choose the smallest file that stands in for full precision; where none does, the one closest to it.

    perplexity: full precision's. on: what was measured on, in words ("your held-out examples").
    """
    ordered = sorted(files, key=lambda one: one.bytes)
    sound = [one for one in ordered if shortfall(one) is None]
    if not sound:
        take = min(ordered, key=lambda one: one.kl_mean)
        few = f" with only {take.answer_tokens} answer tokens to measure on" if take.answer_tokens < 200 else ""
        return Advice(
            take, f"Take {take.name} ({format_size(take.bytes)}): it comes closest, but {shortfall(take)}{few}, as do the others."
        )
    take = sound[0]
    which = "the smallest that answers as well" if len(files) > 1 else "it answers as well"
    figures = f" (perplexity {take.perplexity:.4g}, full precision {perplexity:.4g})" if take.perplexity and perplexity else ""
    why = f"Take {take.name} ({format_size(take.bytes)}): {which} as full precision within {MAX_WORSE:.0%} on {on}{figures}"
    smaller = [one for one in ordered if one.bytes < take.bytes]
    if smaller:
        other = smaller[-1]
        why += f"; {other.name} would save {format_size(take.bytes - other.bytes)} but {shortfall(other)}"
    elif len(files) > 1:
        why += "; all the others are larger"
    return Advice(take, why + ".")
