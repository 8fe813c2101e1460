"""`prompt, completion` (text or message lists), `prompt, response`, `question, answer` with optional `context`."""

from typing import Any

from edgetune.data.formats import Example
from edgetune.data.formats._calls import drop_foreign_nulls, read_tools
from edgetune.data.formats._pairs import side_columns
from edgetune.data.formats._prompt import prompt_turns
from edgetune.data.formats._text import column_pair, refuse_media, text_field
from edgetune.data.formats._turns import read_turns, require_answer
from edgetune.data.row import RowError

TITLE = "prompt and completion"
PRECEDENCE = 120
SHAPE = "`prompt` with `completion` (or `response`), or `question` with `answer`"
SAMPLE = {"prompt": "What is far?", "completion": "The moon."}
COLUMN_PAIRS = (("prompt", "completion"), ("prompt", "response"), ("question", "answer"))


def question_answer_columns(row: dict[str, Any]) -> tuple[str, str] | None:
    """The columns that hold the row's question and answer."""
    return column_pair(row, COLUMN_PAIRS)


def detect(row: dict[str, Any]) -> bool:
    """Whether the row has this shape."""
    columns = question_answer_columns(row)
    judged = row.get("kto_tag") is not None or (columns is not None and columns[0] == "prompt" and row.get("label") is not None)
    return columns is not None and not judged and side_columns(row) is None


def convert(row: dict[str, Any]) -> Example:
    """The prompt as the user's turn (or turns), the completion as the assistant's."""
    refuse_media(row)
    columns = question_answer_columns(row)
    if columns is None:
        raise RowError("missing", "there is no prompt with a completion")
    before, completion = prompt_turns(row, columns[0]), row[columns[1]]
    after = (
        read_turns(completion, columns[1])
        if isinstance(completion, list)
        else [{"role": "assistant", "content": text_field(row, columns[1])}]
    )
    tools = read_tools(row)
    return Example(drop_foreign_nulls(require_answer(before + after), tools), tools=tools)
