"""The small world that EdgeTune Nano knows, as world.toml tells it: what there is to ask about, and how people ask."""

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_WORLD: list[dict[str, Any]] = tomllib.loads(Path(__file__).with_name("world.toml").read_text(encoding="utf-8"))["category"]


@dataclass(frozen=True)
class Category:
    """One kind of question with its facts, its phrasings and the forms of its answers."""

    name: str
    facts: list[dict[str, str]]  # slots; "answer" is what a right reply contains as whole words
    ask: list[str]
    held: list[str]
    short: list[str]
    long: list[str]
    tail: list[str]


def sums(held: bool) -> list[dict[str, str]]:
    """Sums of two numbers from 1 up: the taught ones, or those that are held back to see whether the model adds or remembers."""
    category = next(one for one in _WORLD if "held_sums" in one)
    numbers = range(1, category["largest"] + 1)
    pairs = [(a, b) for a in numbers for b in numbers]
    return [{"a": str(a), "b": str(b), "answer": str(a + b)} for a, b in pairs if ([a, b] in category["held_sums"]) == held]


def _facts(category: dict[str, Any]) -> list[dict[str, str]]:
    """The facts of a category: those it lists, what follows what in its cycles, or the sums that are taught."""
    if "held_sums" in category:
        return sums(held=False)
    listed = [{"x": thing, "answer": answer} for thing, answer in category.get("facts", {}).items()]
    for kind, names in category.get("cycles", {}).items():
        followers = [*names[1:], names[0]]
        listed += [{"x": name, "kind": kind, "answer": after} for name, after in zip(names, followers, strict=True)]
    return listed


CATEGORIES = [Category(one["name"], _facts(one), one["ask"], one["held"], one["short"], one["long"], one.get("tail", [])) for one in _WORLD]
