"""`prompt, completions, labels`: a judgment for every step of an answer. Recognised so that it can be refused with the reason."""

from typing import Any

from edgetune.data.formats import Example
from edgetune.data.row import RowError

TITLE = "process reward"
PRECEDENCE = 20
SHAPE = "`prompt` with lists `completions` and `labels`"
SAMPLE = {"prompt": "What is 2 + 3 * 4?", "completions": ["3 * 4 is 12.", "So it is 15."], "labels": [True, False]}


def detect(row: dict[str, Any]) -> bool:
    """Whether the row has this shape."""
    return "prompt" in row and isinstance(row.get("completions"), list) and isinstance(row.get("labels"), list)


def convert(row: dict[str, Any]) -> Example:
    """Always refused."""
    raise RowError(
        "process_reward",
        "EdgeTune does not train on a judgment for every step of an answer (process reward); "
        "give whole answers: chosen with rejected, or prompt, completion and a label",
    )
