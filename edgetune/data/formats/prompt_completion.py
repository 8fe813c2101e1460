"""`prompt, completion` (text or message lists), `prompt, response`, `question, answer` with optional `context`."""

from typing import Any

from edgetune.data.formats import Example
from edgetune.data.formats._calls import tools
from edgetune.data.formats._pairs import sides
from edgetune.data.formats._prompt import asked
from edgetune.data.formats._text import answer, no_media, pair_of
from edgetune.data.formats._turns import check_conversation, messages
from edgetune.data.row import RowError

TITLE = "prompt and completion"
PRECEDENCE = 120
SHAPE = "`prompt` with `completion` (or `response`), or `question` with `answer`"
SAMPLE = {"prompt": "What is far?", "completion": "The moon."}
PAIRS = (("prompt", "completion"), ("prompt", "response"), ("question", "answer"))


def keys(row: dict[str, Any]) -> tuple[str, str] | None:
    """The columns that hold the row's question and answer."""
    return pair_of(row, PAIRS)


def detect(row: dict[str, Any]) -> bool:
    """Whether the row has this shape."""
    found = keys(row)
    judged = row.get("kto_tag") is not None or (found is not None and found[0] == "prompt" and row.get("label") is not None)
    return found is not None and not judged and sides(row) is None


def convert(row: dict[str, Any]) -> Example:
    """The prompt as the user's turn (or turns), the completion as the assistant's."""
    no_media(row)
    found = keys(row)
    if found is None:
        raise RowError("missing", "there is no prompt with a completion")
    before, completion = asked(row, found[0]), row[found[1]]
    after = messages(completion, found[1]) if isinstance(completion, list) else [{"role": "assistant", "content": answer(row, found[1])}]
    return Example(check_conversation(before + after), tools=tools(row))
