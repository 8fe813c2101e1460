"""`chosen_messages, rejected_messages`: two whole conversations, LLaMA-Factory's version 1; what they share first is the prompt."""

from typing import Any

from edgetune.data.formats import Example, pair_lists
from edgetune.data.formats._text import column_pair

TITLE = "pairs of conversations (LLaMA-Factory)"
PRECEDENCE = 40
SHAPE = "`chosen_messages` and `rejected_messages`"
SAMPLE = {
    "chosen_messages": [
        {"role": "user", "content": [{"type": "text", "value": "What is far?"}]},
        {"role": "assistant", "content": [{"type": "text", "value": "The moon."}]},
    ],
    "rejected_messages": [
        {"role": "user", "content": [{"type": "text", "value": "What is far?"}]},
        {"role": "assistant", "content": [{"type": "text", "value": "My nose."}]},
    ],
}


def detect(row: dict[str, Any]) -> bool:
    """Whether the row has this shape."""
    return column_pair(row, (("chosen_messages", "rejected_messages"),)) is not None


def convert(row: dict[str, Any]) -> Example:
    """The shared beginning, and the two ways to go on."""
    return pair_lists.convert(row)  # type: ignore[no-any-return,unused-ignore]
