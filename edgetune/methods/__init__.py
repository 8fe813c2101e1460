"""One file per training method: what differs between them (the rows' shape, TRL's trainer and its settings)."""

from importlib import import_module
from typing import Any


def module(name: str) -> Any:
    """The module of a method."""
    return import_module(f"{__name__}.{name}")
