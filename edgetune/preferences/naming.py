"""What models are called while they are compared."""

from collections.abc import Iterable
from pathlib import Path


def name_of(source: str) -> str:
    """A run's name, or a file's stem."""
    path = Path(source)
    return path.stem if path.suffix.lower() == ".gguf" else path.name


def unique(given: Iterable[str]) -> list[str]:
    """The names in their order; those that are alike get a number."""
    names: list[str] = []
    for name in given:
        names.append(name if name not in names else next(n for k in range(2, 99) if (n := f"{name}-{k}") not in names))
    return names
