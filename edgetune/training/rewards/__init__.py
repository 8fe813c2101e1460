"""What rl trains against, one file a kind of reward; the file name is the kind. A reward is named KIND or KIND:ARGUMENT.

Each file has
  check(argument, context) -> None         raises InputError for an argument that cannot be used
  make(argument, context) -> Reward        the function itself, made in the worker
"""

from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from edgetune.errors import InputError
from edgetune.methods import Answer, Reward

__all__ = ["KINDS", "Answer", "Context", "Reward", "check", "code", "make"]

REWARD_KINDS = ("model", "exact", "regex", "json_schema", "length", "python_file")


@dataclass(frozen=True)
class Context:
    """What rewards may need of their run. runs: where the runs live, whose reward models are named. base: its base's folder."""

    runs: Path
    base: Path


def _parts(spec: str) -> tuple[Any, str]:
    kind, _, argument = spec.partition(":")
    kind = kind.replace("-", "_")
    if kind not in REWARD_KINDS:
        raise InputError(
            f"'{kind}' is not a kind of reward",
            f"Kinds are {', '.join(REWARD_KINDS)}.",
            "Name one with --reward, for example --reward model:taste or --reward regex:PATTERN.",
        )
    return import_module(f"{__name__}.{kind}"), argument


def check_rewards(specs: list[str], context: Context) -> None:
    """Refuse rewards that cannot be used. Raises InputError."""
    if not specs:
        raise InputError(
            "No reward was named", "Method rl needs at least one reward.", f"Name one with --reward: {', '.join(REWARD_KINDS)}."
        )
    for spec in specs:
        module, argument = _parts(spec)
        module.check(argument, context)


def make_rewards(specs: list[str], context: Context) -> list[Reward]:
    """The rewards, in the order they are named."""
    return [module.make(argument, context) for module, argument in map(_parts, specs)]


def code_files(specs: list[str]) -> list[str]:
    """The files whose code these rewards run, to be named before they do."""
    return [spec.partition(":")[2] for spec in specs if spec.partition(":")[0].replace("-", "_") == "python_file"]
