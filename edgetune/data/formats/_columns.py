"""Columns that no format knows: how to show them, and which known names they may stand for."""

import re
import reprlib
from collections.abc import Iterator
from typing import Any

from edgetune.data.formats._turns import TURN_COLUMNS
from edgetune.text import one_line

MAX_COLUMNS_SHOWN = 12
"""Columns shown at most."""
COLUMN_NAMES = {
    "question": "instruction question query prompt user human ask request problem utterance source q user_message user_input "
    "user_question instructions questions input inputs message title",
    "answer": "output answer response completion reply assistant bot gpt target solution a assistant_message bot_answer bot_response "
    "outputs answers responses model_output ai result summary",
    "context": "context passage background document reference",
    "system": "system system_prompt system_message persona",
    "chosen": "chosen preferred better winner good accepted positive win response_chosen best",
    "rejected": "rejected dispreferred worse loser bad refused negative lose response_rejected worst",
    "text": "text content body document article story passage sentence page code",
    "messages": "messages conversations conversation dialogue dialog chat turns history texts",
}
"""What people call the columns that formats know, plain names first."""
MAPPINGS = (
    ("messages", {"messages": "messages"}),
    ("chosen rejected question", {"prompt": "question", "chosen": "chosen", "rejected": "rejected"}),
    ("chosen rejected", {"chosen": "chosen", "rejected": "rejected"}),
    ("question answer context", {"question": "question", "answer": "answer", "context": "context"}),
    ("question answer", {"instruction": "question", "output": "answer"}),
    ("text", {"text": "text"}),
)
"""What must be there, and which known column each becomes."""


def flat_columns(value: dict[str, Any]) -> dict[str, Any]:
    """A row's columns and, of objects in them, their columns under dotted names."""
    inner = {f"{key}.{name}": v for key, cell in value.items() if isinstance(cell, dict) for name, v in cell.items()}
    return {**value, **inner}


def describe_columns(values: list[dict[str, Any]]) -> str:
    """A sentence with the rows' columns and a value of each."""
    samples: dict[str, Any] = {}
    for value in values:
        for key, cell in value.items():
            if samples.get(key) in (None, "", [], {}):
                samples[key] = cell

    parts = [f"{one_line(str(key), 40)} ({_short(cell)})" for key, cell in list(samples.items())[:MAX_COLUMNS_SHOWN]]
    if not parts:
        return "The rows have no columns."
    more = len(samples) - MAX_COLUMNS_SHOWN
    return f"Their columns are {', '.join(parts)}{f' and {more} more' if more > 0 else ''}."


def propose_mappings(values: list[dict[str, Any]]) -> Iterator[dict[str, str]]:
    """Mappings (known column: the rows' column) that the columns' names suggest, the most telling first; none was tried yet."""
    columns = {name: None for value in values for name in flat_columns(value)}
    lists = {
        n for value in values for n, cell in flat_columns(value).items() if isinstance(cell, list) and cell and isinstance(cell[0], dict)
    }

    # A dotted column counts under its last name too.
    plain: dict[str, str] = {}
    for column in columns:
        plain.setdefault(_plain(column.rpartition(".")[2]), column)
        plain.setdefault(_plain(column), column)

    # A list of turns can only be messages, and other meanings are never such a list.
    meant = {}
    for meaning, names in COLUMN_NAMES.items():
        fitting = [plain[name] for name in names.split() if name in plain and (plain[name] in lists) == (meaning == "messages")]
        if fitting:
            meant[meaning] = fitting[0]

    # A mapping is offered when all it needs is there, each from another column.
    for needed, mapping in MAPPINGS:
        chosen = {target: meant[meaning] for target, meaning in mapping.items() if meaning in meant}
        if all(word in meant for word in needed.split()) and len(set(chosen.values())) == len(mapping):
            if "system" in meant and "text" not in mapping:
                chosen["system"] = meant["system"]
            different = {target: column for target, column in chosen.items() if target != column}
            if different:
                yield different

    # Last, any list of objects may be the turns.
    for column in sorted(lists - set(TURN_COLUMNS)):
        yield {"messages": column}


def _short(cell: Any) -> str:
    return one_line(repr(cell[:60]) if isinstance(cell, str) else reprlib.repr(cell), 40)


def _plain(name: str) -> str:
    """A column's name as a plain word: lower case, words joined by underscores."""
    return re.sub(r"[^a-z0-9]+", "_", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", str(name)).lower()).strip("_")
