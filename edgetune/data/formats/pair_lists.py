"""`chosen, rejected` as lists of {role, content}, with a `prompt` (list or text) or after a shared beginning: TRL's shape."""

from typing import Any

from edgetune.data.formats import Example
from edgetune.data.formats._pairs import Turns, has_both_sides, preference_example, require_sides, shared_turns
from edgetune.data.formats._prompt import prompt_turns, question_column
from edgetune.data.formats._turns import has_turns, read_conversation, read_turns

TITLE = "pairs of message lists"
PRECEDENCE = 50
SHAPE = "`chosen` and `rejected` as lists of role/content"
SAMPLE = {
    "prompt": [{"role": "user", "content": "What is far?"}],
    "chosen": [{"role": "assistant", "content": "The moon."}],
    "rejected": [{"role": "assistant", "content": "My nose."}],
}


def detect(row: dict[str, Any]) -> bool:
    """Whether the row has this shape."""
    return has_both_sides(row, list)


def convert(row: dict[str, Any]) -> Example:
    """The prompt and the two ways to go on. A prompt that both conversations repeat at their beginning counts once."""
    keys = require_sides(row)
    chosen, rejected = (read_turns(row[key], key) for key in keys)
    shared = shared_turns(chosen, rejected)
    prompt = chosen[:shared]

    # The row's own prompt counts first; without one, what both conversations share.
    key = question_column(row)
    if key and (key == "prompt" or not prompt):
        prompt = _joined(prompt_turns(row, key), prompt)
    elif not prompt and has_turns(row):
        prompt = read_conversation(row)
    return preference_example(row, prompt, [(chosen[shared:], rejected[shared:])])


def _joined(own: Turns, shared: Turns) -> Turns:
    """The row's own prompt before what both conversations share, or what they share when it ends in that prompt."""
    question = [m for m in own if m["role"] != "system"]
    if not question or _contents(shared)[-len(question) :] != _contents(question):
        return own + shared
    return shared if shared[0]["role"] == "system" else [m for m in own if m["role"] == "system"] + shared


def _contents(turns: Turns) -> list[tuple[str, str]]:
    return [(m["role"], m["content"].strip()) for m in turns]
