"""Which of the measured files to choose, and why, in one sentence."""

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
    """The file to choose, and why."""

    choice: FileMeasurement
    why: str


def shortfall(file: FileMeasurement) -> str | None:
    """What keeps a file from standing in for full precision, in words; None where nothing does."""
    if file.slope is not None and not SLOPE_RANGE[0] <= file.slope <= SLOPE_RANGE[1]:
        return f"shows {file.slope:.2f} of what was learned"
    if file.top1 < MIN_SAME_TOKENS:
        return f"picks another next token {1 - file.top1:.0%} of the time"
    if file.worse is None or file.worse_error is None:
        return "was not measured on answers"

    # Measured on few answers, a file may be worse than it looks.
    most = file.worse + STANDARD_ERRORS * file.worse_error
    least = file.worse - STANDARD_ERRORS * file.worse_error
    if most > MAX_WORSE:
        return f"is {file.worse:.1%} worse" if least > MAX_WORSE else f"may be {most:.1%} worse"
    return None


def advise(files: Sequence[FileMeasurement], perplexity: float | None, on: str) -> Advice:
    """Choose the smallest file that stands in for full precision; where none does, the one closest to it.

    perplexity: full precision's. on: what was measured on, in words ("your held-out examples").
    """
    ordered = sorted(files, key=lambda file: file.bytes)
    sound = [file for file in ordered if shortfall(file) is None]

    # Nothing is good enough: the closest, with what it lacks.
    if not sound:
        choice = min(ordered, key=lambda file: file.kl_mean)
        few = f" with only {choice.answer_tokens} answer tokens to measure on" if choice.answer_tokens < 200 else ""
        return Advice(
            choice,
            f"Recommended: {choice.name} ({format_size(choice.bytes)}): it comes closest, but {shortfall(choice)}{few}, as do the others.",
        )

    choice = sound[0]
    which = "the smallest type" if len(files) > 1 else "its answers are"
    figures = f" (perplexity {choice.perplexity:.4g}, full precision {perplexity:.4g})" if choice.perplexity and perplexity else ""
    why = f"Recommended: {choice.name} ({format_size(choice.bytes)}), {which} within {MAX_WORSE:.0%} of full precision on {on}{figures}"

    # A reader will ask about the next smaller one.
    smaller = [file for file in ordered if file.bytes < choice.bytes]
    if smaller:
        other = smaller[-1]
        why += f"; {other.name} would save {format_size(choice.bytes - other.bytes)} but {shortfall(other)}"
    elif len(files) > 1:
        why += "; all the others are larger"
    return Advice(choice, why + ".")
