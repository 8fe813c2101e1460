"""What is asked, from the columns of a flat row: its system text, earlier turns, and the question with what belongs to it."""

import re
from typing import Any

from edgetune.data.formats._text import first_filled, parse_json, text_field
from edgetune.data.formats._turns import read_turns
from edgetune.data.row import RowError

QUESTION_COLUMNS = ("prompt", "instruction", "question")
"""Columns that hold a question."""
DIALOGUE_START = "\n\nHuman:"
"""How a conversation written as one text begins (HH-RLHF)."""
_SPEAKER = re.compile(r"\n\n(Human|Assistant):")


def prompt_turns(row: dict[str, Any], key: str) -> list[dict[str, Any]]:
    """The turns before the answer. `input` goes below an instruction, `context` above a question. Raises RowError."""
    value = row.get(key)
    system = text_field(row, "system", required=False)
    before = [{"role": "system", "content": system}] if system.strip() else []

    # A prompt of turns brings its own system text, which counts.
    if isinstance(value, list) and key == "prompt":
        turns = read_turns(value, key)
        return turns if turns[0]["role"] == "system" else before + turns

    if row.get("history") and row["history"] == row["history"]:
        before += _history(row["history"])
    if isinstance(value, str) and value.startswith(DIALOGUE_START):
        return before + dialogue_turns(text_field(row, key).rstrip().removesuffix("\n\nAssistant:"))

    # Alpaca puts the input below the instruction; a context stands above a question.
    if key == "instruction":
        extra = text_field(row, "input", required=False) or text_field(row, "context", required=False)
        if not extra or extra.isspace():
            text = text_field(row, key)
        else:
            text = text_field(row, key, required=False)
            text = extra if not text or text.isspace() else f"{text}\n{extra}"
    else:
        text, above = text_field(row, key), text_field(row, "context", required=False)
        if above and not above.isspace():
            text = f"{above}\n\n{text}"
    return [*before, {"role": "user", "content": text}]


def _history(history: Any) -> list[dict[str, Any]]:
    """Earlier pairs of question and answer."""
    if isinstance(history, str):
        history = parse_json(history, "history", "history")
    if not isinstance(history, list) or not all(isinstance(pair, (list, tuple)) and len(pair) == 2 for pair in history):
        raise RowError("history", "'history' should hold pairs of question and answer")

    turns = []
    for pair in history:
        for role, text in zip(("user", "assistant"), pair, strict=True):
            turns.append({"role": role, "content": text_field({"history": text}, "history")})
    return turns


def dialogue_turns(text: str) -> list[dict[str, Any]]:
    r"""The turns of a conversation written as one text, `\n\nHuman: … \n\nAssistant: …`. Raises RowError: empty, and of text fields."""
    pieces = _SPEAKER.split(text)
    role = {"Human": "user", "Assistant": "assistant"}
    turns = [{"role": role[pieces[i]], "content": pieces[i + 1].strip()} for i in range(1, len(pieces), 2)]
    return read_turns(turns, "dialogue")


def question_column(row: dict[str, Any]) -> str | None:
    """The column that holds the row's question."""
    return first_filled(row, *QUESTION_COLUMNS)
