"""Answers with a verdict: `prompt, completion, label`, or `messages, label`, or `kto_tag` beside Alpaca or ShareGPT."""

from typing import Any

from edgetune.data.formats import Example, alpaca, messages, prompt_completion
from edgetune.data.formats._text import first_filled
from edgetune.data.formats._turns import TURN_COLUMNS, has_turns
from edgetune.data.row import RowError

TITLE = "answers with a label"
PRECEDENCE = 90
SHAPE = "an answer with a `label` or `kto_tag`, true or false"
SAMPLE = {"prompt": "What is far?", "completion": "The moon.", "label": True}
LABEL_WORDS = {"true": True, "false": False, "1": True, "0": False}
"""Labels as a table's cells hold them."""


def has_label(row: dict[str, Any]) -> bool:
    """Whether the row passes a verdict on its answer."""
    if row.get("kto_tag") is not None:
        return (
            has_turns(row) or alpaca.question_answer_columns(row) is not None or prompt_completion.question_answer_columns(row) is not None
        )
    return row.get("label") is not None and (has_turns(row) or (prompt_completion.question_answer_columns(row) or ("",))[0] == "prompt")


def detect(row: dict[str, Any]) -> bool:
    """Whether the row has this shape."""
    return has_label(row)


def convert(row: dict[str, Any]) -> Example:
    """The conversation that ends in the answer, and the verdict on it."""
    label = _label(row)
    if first_filled(row, *TURN_COLUMNS):
        example = messages.convert(row)
    else:
        shape = prompt_completion if prompt_completion.question_answer_columns(row) or not alpaca.question_answer_columns(row) else alpaca
        example = shape.convert(row)

    # The label judges the last turn, which must therefore be an answer.
    if example.messages[-1]["role"] != "assistant":
        raise RowError("no_answer", "the conversation does not end in an answer of the assistant, to which the label could belong")
    return Example(example.messages, tools=example.tools, kind="unpaired", label=label)


def _label(row: dict[str, Any]) -> bool:
    key = first_filled(row, "kto_tag", "label")
    if key is None or row[key] != row[key]:
        raise RowError("label", "there is no 'label' or 'kto_tag' to say whether the answer is good")

    value = row[key]
    verdict = LABEL_WORDS.get(value.strip().lower()) if isinstance(value, str) else value if isinstance(value, (bool, int, float)) else None
    if verdict not in (0, 1) or verdict is None:
        raise RowError("wrong_type", f"'{key}' should be true or false (or 1 or 0) and is {value!r:.40}")
    return bool(verdict)
