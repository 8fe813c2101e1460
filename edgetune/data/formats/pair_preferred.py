"""`input, preferred_output, non_preferred_output`: OpenAI's pairs, two answers to the conversation in `input`."""

from typing import Any

from edgetune.data.formats import Example
from edgetune.data.formats._calls import read_tools
from edgetune.data.formats._pairs import preference_example
from edgetune.data.formats._turns import read_turns
from edgetune.data.row import RowError

TITLE = "pairs of outputs (OpenAI)"
PRECEDENCE = 45
SHAPE = "`input` with `preferred_output` and `non_preferred_output`"
SAMPLE = {
    "input": {"messages": [{"role": "user", "content": "What is far?"}]},
    "preferred_output": [{"role": "assistant", "content": "The moon."}],
    "non_preferred_output": [{"role": "assistant", "content": "My nose."}],
}


def detect(row: dict[str, Any]) -> bool:
    """Whether the row has this shape."""
    return "input" in row and isinstance(row.get("preferred_output"), list) and isinstance(row.get("non_preferred_output"), list)


def convert(row: dict[str, Any]) -> Example:
    """The conversation so far, bare or with its tools in an object, and the two answers."""
    given = row.get("input")
    asked = given if isinstance(given, dict) else {"messages": given}
    if "messages" not in asked or asked["messages"] is None:
        raise RowError("missing", "'input' holds no 'messages'")
    prompt = read_turns(asked["messages"], "input")
    good, bad = (read_turns(row.get(key), key) for key in ("preferred_output", "non_preferred_output"))
    return preference_example({**row, "tools": read_tools(asked) or row.get("tools")}, prompt, [(good, bad)])
