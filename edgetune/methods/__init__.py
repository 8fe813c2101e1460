"""One file per training method: what differs between them. Files that begin with an underscore hold what methods share.

Each has
  KINDS: tuple                   kinds of examples it learns from; NEEDS says so in words
  RATE: float                    its learning rate beside that of sft, where none is given
  trainer(setup)                 TRL's trainer on the run's rows, with our life (training/trainer.py)
  warning(now, first) -> str     what should be said of held-out measures beside those before training; sft has none
  measured(trainer) -> dict      what the result is worth, where more can be said than the held-out measures do

A trainer may have `metrics` (TRL's names and ours of what a step's event holds) and `measure(batch)` (a held-out batch's loss and
measures).
"""

from importlib import import_module
from typing import Any


def module(name: str) -> Any:
    """The module of a method."""
    return import_module(f"{__name__}.{name}")
