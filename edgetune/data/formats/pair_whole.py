"""`chosen, rejected` as whole texts without a prompt: the common beginning is the prompt; HH-RLHF's dialogues are taken apart."""

import re
from bisect import bisect_left
from typing import Any

from edgetune.data.formats import Example
from edgetune.data.formats._pairs import has_both_sides, preference_example, require_sides, shared_turns
from edgetune.data.formats._prompt import DIALOGUE_START, dialogue_turns
from edgetune.data.formats._text import text_field
from edgetune.data.row import RowError

TITLE = "pairs of whole texts"
PRECEDENCE = 80
SHAPE = "`chosen` and `rejected` as text that begins alike"
SAMPLE = {
    "chosen": "\n\nHuman: What is far?\n\nAssistant: The moon.",
    "rejected": "\n\nHuman: What is far?\n\nAssistant: My nose.",
}
BOUNDARIES = (re.compile(r"\n"), re.compile(r"[.?!:…]\s"), re.compile(r"\s"))
"""Where a common beginning may end: a line, else a sentence, else a word."""


def detect(row: dict[str, Any]) -> bool:
    """Whether the row has this shape."""
    return has_both_sides(row, str)


def convert(row: dict[str, Any]) -> Example:
    """The common beginning, and the two ways to go on."""
    chosen, rejected = (text_field(row, key) for key in require_sides(row))
    if all(text.startswith(DIALOGUE_START) for text in (chosen, rejected)):
        turns = dialogue_turns(chosen), dialogue_turns(rejected)
        shared = shared_turns(*turns)
        return preference_example(row, turns[0][:shared], [(turns[0][shared:], turns[1][shared:])])

    if chosen.strip() == rejected.strip():
        raise RowError("chosen_equals_rejected", "the chosen answer is the rejected one")

    at = boundary(chosen, rejected)
    before = [{"role": "user", "content": chosen[:at].strip()}] if at else []
    ends = ([{"role": "assistant", "content": text[at:].strip()}] for text in (chosen, rejected))
    return preference_example(row, before, [(next(ends), next(ends))])


def boundary(chosen: str, rejected: str) -> int:
    """Where the prompt ends that two texts share: at the last line, sentence or word they have in common; 0 when there is none."""
    shared = bisect_left(range(min(len(chosen), len(rejected))), True, key=lambda at: chosen[: at + 1] != rejected[: at + 1])
    for pattern in BOUNDARIES:
        ends = [m.end() for m in pattern.finditer(chosen, 0, shared)]
        for end in reversed(ends):
            if chosen[:end].strip() and chosen[end:].strip() and rejected[end:].strip():
                return end
    return 0
