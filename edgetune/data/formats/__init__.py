"""One file per shape of example; the file name is the format's name. Files that begin with an underscore hold what formats share.

Each has
  TITLE: str                     what people call it ("ShareGPT")
  PRECEDENCE: int                formats are tried in rising order, and the first that matches nearly all rows wins: a shape whose rows may
                                 be mistaken for another's, having its columns and more, comes before it
  SHAPE: str                     what its rows have, in words ("`conversations` of from/value turns")
  SAMPLE: dict                   a small row of this shape, for help and tests
  detect(row) -> bool            whether a row has the shape
  convert(row) -> Example        what it teaches; raises RowError with kind and reason when the row does not fit
"""

import pkgutil
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from typing import Any, Literal

from edgetune.data.row import RowError

Kind = Literal["conversation", "text", "preference", "unpaired", "prompt"]


@dataclass(frozen=True)
class Example:
    """What a row teaches.

    conversation: `messages` with at least one answer. text: `text`; `continues` says that the next row continues this text.
    preference: `pairs` of (chosen, rejected) turns, each to follow `messages`. unpaired: `messages` that end in an answer, `label`
    whether it is a good one. prompt: `messages` still to be answered.

    A message has `role` (system, user, assistant, tool) and `content`, and where the row gives them: `tool_calls` (OpenAI's form, the
    arguments parsed), `reasoning_content`, `name` and `tool_call_id` of a tool's result, and `train`: False on an answer that is
    context only (weight 0 in the row). tools: OpenAI's form, parsed.
    """

    messages: list[dict[str, Any]] = field(default_factory=list)
    text: str = ""
    tools: list[Any] | None = None
    kind: Kind = "conversation"
    pairs: list[tuple[list[dict[str, Any]], list[dict[str, Any]]]] = field(default_factory=list)
    label: bool | None = None
    continues: bool = False


def names() -> list[str]:
    """The names of all formats."""
    return sorted(entry.name for entry in pkgutil.iter_modules(__path__) if not entry.name.startswith("_"))


@cache
def format_order() -> tuple[str, ...]:
    """The formats in the order in which they are tried."""
    return tuple(sorted(names(), key=lambda name: (module(name).PRECEDENCE, name)))


@cache
def module(name: str) -> Any:
    """The module of a format."""
    return import_module(f"{__name__}.{name}")


def example_kind(name: str) -> str:
    """What kind of examples a format's rows become; for one that is recognised only to say why it cannot be used, that reason."""
    form = module(name)
    try:
        return str(form.convert(form.SAMPLE).kind)
    except RowError as error:
        return error.kind
