"""`chosen, rejected` as single turns that end `messages` or `conversations`: Axolotl's and LLaMA-Factory's ShareGPT pairs."""

from typing import Any

from edgetune.data.formats import Example
from edgetune.data.formats._pairs import both, must_have_sides, preference
from edgetune.data.formats._prompt import asked, asked_key
from edgetune.data.formats._turns import conversation, has_turns, messages

TITLE = "pairs of last turns"
PRECEDENCE = 60
SHAPE = "`chosen` and `rejected` as single turns beside a conversation"
SAMPLE = {
    "conversations": [{"from": "human", "value": "What is far?"}],
    "chosen": {"from": "gpt", "value": "The moon."},
    "rejected": {"from": "gpt", "value": "My nose."},
}


def detect(row: dict[str, Any]) -> bool:
    """Whether the row has this shape."""
    return both(row, dict) and (has_turns(row) or asked_key(row) is not None)


def convert(row: dict[str, Any]) -> Example:
    """The conversation so far, and its two ends."""
    chosen, rejected = (messages([row[key]], key) for key in must_have_sides(row))
    key = asked_key(row)
    prompt = asked(row, key) if key and not has_turns(row) else conversation(row)
    return preference(row, prompt, [(chosen, rejected)])
