"""Examples written down again, in the one shape that every trainer reads: message lists, and TRL's pairs of them."""

from typing import Any

from edgetune.data.formats import Example
from edgetune.data.row import RowError


def as_messages(example: Example) -> list[dict[str, Any]]:
    """Rows of {messages, tools} that `messages` reads back as the same conversation; of pairs, the best answer alone.

    Raises RowError: not_conversation for raw text, no_answer for prompts and for answers that are labelled as bad.
    """
    if example.kind == "text":
        raise RowError("not_conversation", "raw text has no turns, so it cannot be written as messages")
    if example.kind == "prompt":
        raise RowError("no_answer", "a prompt without an answer teaches nothing, so it cannot be written as a conversation")
    if example.kind == "unpaired" and not example.label:
        raise RowError("no_answer", "the answer is labeled as bad, so there is nothing to learn from it")
    turns = example.messages + example.pairs[0][0] if example.kind == "preference" else example.messages
    return [_with_tools({"messages": turns}, example)]


def as_preference(example: Example) -> list[dict[str, Any]]:
    """Rows of {prompt, chosen, rejected, tools}, each a message list: TRL's conversational preference shape, a row for every pair.

    Raises RowError: not_preference for examples without pairs.
    """
    if example.kind != "preference":
        raise RowError("not_preference", f"a row of kind {example.kind} has no chosen and rejected answer")
    return [_with_tools({"prompt": example.messages, "chosen": good, "rejected": bad}, example) for good, bad in example.pairs]


def _with_tools(row: dict[str, Any], example: Example) -> dict[str, Any]:
    return {**row, "tools": example.tools} if example.tools else row
