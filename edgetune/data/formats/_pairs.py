"""A better and a worse answer to the same prompt: which columns hold them, and where the prompt ends that both share."""

from typing import Any

from edgetune.data.formats import Example
from edgetune.data.formats._calls import drop_foreign_nulls, read_tools
from edgetune.data.formats._text import column_pair, refuse_media
from edgetune.data.formats._turns import require_question
from edgetune.data.row import RowError

Turns = list[dict[str, Any]]
SIDE_COLUMNS = (("chosen", "rejected"), ("chosen_response", "rejected_response"), ("chosen_messages", "rejected_messages"))
"""Columns that hold the better and the worse answer."""


def side_columns(row: dict[str, Any]) -> tuple[str, str] | None:
    """The columns of the row's two answers."""
    return column_pair(row, SIDE_COLUMNS)


def has_both_sides(row: dict[str, Any], kind: type) -> bool:
    """Whether the row has two answers of this type."""
    pair = side_columns(row)
    return pair is not None and isinstance(row[pair[0]], kind) and isinstance(row[pair[1]], kind)


def require_sides(row: dict[str, Any]) -> tuple[str, str]:
    """The columns of the row's two answers. Raises RowError: missing."""
    columns = side_columns(row)
    if columns is None:
        raise RowError("missing", "there is no 'chosen' with a 'rejected'")
    return columns


def shared_turns(chosen: Turns, rejected: Turns) -> int:
    """Number of turns that both conversations share before the assistant's answers part. Raises RowError: chosen_equals_rejected."""
    if same_answer(chosen, rejected):
        raise RowError("chosen_equals_rejected", "the chosen answer is the rejected one")
    count = 0
    while count < min(len(chosen), len(rejected)) and chosen[count] == rejected[count]:
        count += 1
    while count and not all(count < len(side) and side[count]["role"] == "assistant" for side in (chosen, rejected)):
        count -= 1
    return count


def same_answer(chosen: Turns, rejected: Turns) -> bool:
    """Whether two answers say the same, spaces around them aside."""
    return [{**m, "content": m["content"].strip()} for m in chosen] == [{**m, "content": m["content"].strip()} for m in rejected]


def preference_example(row: dict[str, Any], prompt: Turns, pairs: list[tuple[Turns, Turns]]) -> Example:
    """The example of a prompt and pairs of answers. Raises RowError: chosen_equals_rejected, no_answer, no_prompt, assistant_first."""
    refuse_media(row)
    for pair in pairs:
        if same_answer(*pair):
            raise RowError("chosen_equals_rejected", "the chosen answer is the rejected one")
        if any(not side or side[-1]["role"] != "assistant" for side in pair):
            raise RowError("no_answer", "the chosen or the rejected side does not end in an answer of the assistant")
    if not prompt:
        raise RowError("no_prompt", "the two answers share no beginning, so there is no prompt")
    require_question(prompt)
    tools = read_tools(row)
    for turns in (prompt, *(side for pair in pairs for side in pair)):
        drop_foreign_nulls(turns, tools)
    return Example(prompt, tools=tools, kind="preference", pairs=pairs)
