"""One file per training method: what differs between them.

The file's name is the method's, and its `METHOD` is what everything else asks: the recipe which names and options there are, the estimates
how many logits are held at once, the trainer how a held-out batch is measured, both front ends whether a run's model writes answers. So a
new method is one new file, and its test:

1. Write `edgetune/methods/NAME.py` with a function `make_trainer(setup)` that returns TRL's trainer through `setup.make(TrainerClass,
   config, …)`, its configuration made of `**setup.arguments()` and the method's own settings. torch and TRL are imported inside functions:
   this package is loaded with the recipe, before anything heavy may be.
2. Write a function `measure_batch(trainer, batch)` that gives a held-out batch's summed loss, the number of tokens or rows it was summed
   over, and what else is measured.
3. End the file with `METHOD = Method(name="NAME", row_kinds=…, needs=…, make_trainer=make_trainer, measure_batch=measure_batch, …)`; the
   docstring of `Method` tells what each field means. An option that no method has yet is declared in `edgetune/config/recipe.py`, and
   named here in `options`.
4. Test the loss against the paper's formula as `tests/methods/test_others.py` does, and that a short run trains and prefers.

Files that begin with an underscore hold what methods share: `_pairs` batches and measures of pairs, `_reference_free` the methods without
a reference model, `_likelihood_drop` a warning, `_prepared_rows` trainers that take rows as they are,
`_by_architecture` what cannot be trained on which architecture.
"""

from collections.abc import Mapping
from functools import cache
from importlib import import_module
from pkgutil import iter_modules
from typing import Any

from edgetune.errors import InputError
from edgetune.methods._by_architecture import PACKING_REFUSED, find_refusal
from edgetune.methods._method import Answer, Method, Reward, Setup

__all__ = ["DEFAULT", "PACKING_REFUSED", "Answer", "Method", "Reward", "Setup", "find_refusal", "get", "names", "of"]

DEFAULT = "sft"
"""The method where none is named; runs made before there were others name none."""


@cache
def names() -> tuple[str, ...]:
    """All methods by name: the default, then the others in alphabetical order."""
    modules = [module.name for module in iter_modules(__path__) if not module.name.startswith("_")]
    return tuple(sorted(modules, key=lambda name: (name != DEFAULT, name)))


@cache
def get(name: str) -> Method:
    """The method of a name. Raises InputError where there is none."""
    if name not in names():
        raise InputError(f"There is no training method '{name}'", f"Methods are {', '.join(names())}.", "Choose one of them with --method.")
    method: Method = import_module(f"{__name__}.{name}").METHOD
    return method


def of(request: Mapping[str, Any]) -> Method:
    """The method of a run, by its request. Raises InputError where there is none of that name."""
    return get(str(request.get("method", DEFAULT)))
