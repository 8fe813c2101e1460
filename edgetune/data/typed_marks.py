"""Special tokens typed in a message are text: only a template may write them.

Before a template is rendered they are taken apart in every message by a character that no text has; when the result is tokenized, the text
between the template's own special tokens is read with none of them in mind. Training, chat and evaluation all come through here, so that
nobody can end a turn, or begin another's, by typing. Text without special tokens is tokenized as ever.
"""

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from edgetune.data.text_checks import control_tokens

GUARD = "\ufdd0"
"""A noncharacter: Unicode reserves it for use inside a program, so that no text has it."""
GUARD_ESCAPE = "\\ufdd0"
"""How JSON for ASCII alone writes it."""
SPACE = " \t\n\r\v\f"
"""White space that a special token may swallow, as llama.cpp has it."""


class Mark(NamedTuple):
    """A special token, and whether it swallows white space before and behind itself."""

    id: int
    lstrip: bool = False
    rstrip: bool = False


def guard_marks(value: Any, marks: frozenset[str]) -> Any:
    """A message, or anything that JSON can hold, with every special token in its texts taken apart; itself where there is none."""
    if isinstance(value, str):
        while typed := [mark for mark in control_tokens(value, marks) if len(mark) > 1]:
            for mark in typed:
                value = value.replace(mark, mark[0] + GUARD + mark[1:])
        return value
    if isinstance(value, list):
        items = [guard_marks(item, marks) for item in value]
        return items if any(new is not old for new, old in zip(items, value, strict=True)) else value
    if isinstance(value, dict):
        pairs = {guard_marks(key, marks): guard_marks(item, marks) for key, item in value.items()}
        same = all(new is old for new, old in zip((*pairs, *pairs.values()), (*value, *value.values()), strict=True))
        return value if same else pairs
    return value


def without_guards(text: str) -> str:
    """A rendered text as people read it."""
    return text.replace(GUARD, "")


def guarded_ids(text: str, marks: Mapping[str, Mark], text_ids: Callable[[str], list[int]]) -> list[int]:
    """Token ids of a rendered text with guards.

    marks: all special tokens by their text. text_ids: the ids of a text in which no special token counts.
    """
    ids: list[int] = []
    pattern = _any_of(frozenset(marks))
    end = 0
    for match in pattern.finditer(text):
        if match.start() < end:
            continue
        mark = marks[match[0]]
        between = text[end : match.start()]
        ids += text_ids(without_guards(between.rstrip(SPACE) if mark.lstrip else between))
        ids.append(mark.id)
        end = match.end()
        if mark.rstrip:
            end += len(text[end:]) - len(text[end:].lstrip(SPACE))
    return ids + text_ids(without_guards(text[end:]))


@lru_cache(maxsize=8)
def _any_of(marks: frozenset[str]) -> re.Pattern[str]:
    """Finds any special token, of those that begin at the same place the longest."""
    return re.compile("|".join(map(re.escape, sorted(marks, key=len, reverse=True))) or "(?!)")
