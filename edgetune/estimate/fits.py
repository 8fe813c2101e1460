"""Whether a base can be trained here: fits, tight or no, with the reason. The figures are fit.py's."""

from edgetune.bases.find import Base
from edgetune.config.recipe import Recipe
from edgetune.estimate import fit
from edgetune.formatting import format_size
from edgetune.machine import hardware
from edgetune.machine.hardware import Choice

EASY_SHARE = 0.8
"""Share of the free memory up to which a run fits: other programs want some of it too, and the prediction is right within 15 %."""


def fits(base: Base, recipe: Recipe) -> Choice:
    """One of fits, tight and no, and why. recipe: how it would be trained, its base left aside.

    Rows are taken to be as long as the recipe allows. tight: with little room, or only after the change that is named.
    """
    device = hardware.choose_device(recipe.device).value
    free, program = fit.free_memory(device), fit.interpreter_memory(device)
    need = program + fit.training_memory(recipe, base, device).total
    said = f"about {format_size(need)} of {format_size(free)} free"
    if need <= EASY_SHARE * free:
        return Choice("fits", said)
    if need <= free:
        return Choice("tight", f"{said}: close other programs")
    change = fit.smallest_change(recipe, base, device, free)
    return Choice("tight", f"{said}; it fits with {change.words}") if change else Choice("no", f"{said}, and no change makes it fit")
