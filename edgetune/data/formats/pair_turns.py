"""`chosen, rejected` as single turns that end `messages` or `conversations`: Axolotl's and LLaMA-Factory's ShareGPT pairs."""

from typing import Any

from edgetune.data.formats import Example
from edgetune.data.formats._pairs import has_both_sides, preference_example, require_sides
from edgetune.data.formats._prompt import prompt_turns, question_column
from edgetune.data.formats._turns import has_turns, read_conversation, read_turns

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
    return has_both_sides(row, dict) and (has_turns(row) or question_column(row) is not None)


def convert(row: dict[str, Any]) -> Example:
    """The conversation so far, and its two ends."""
    chosen, rejected = (read_turns([row[key]], key) for key in require_sides(row))
    key = question_column(row)
    prompt = prompt_turns(row, key) if key and not has_turns(row) else read_conversation(row)
    return preference_example(row, prompt, [(chosen, rejected)])
