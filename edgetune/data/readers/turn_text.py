"""Conversations written as the text of one cell, as tables of text hold them: JSON, or what Python prints of a list of turns."""

import ast
import json
import re
from typing import Any

from edgetune.data.row import MAX_DEPTH, is_too_deep

TEXT_COLUMNS = frozenset(("text", "output", "answer", "response", "instruction", "input", "question", "context", "value", "content"))
"""Columns that hold text whatever it looks like: an answer may be meant to be JSON."""
MAX_PRINTED_CHARACTERS = 1 << 20
"""Characters of Python text that are read; JSON may be longer."""
_TURNS = re.compile(r"""\[\s*\{\s*(?:"[^"]{1,40}"|'[^']{1,40}')\s*:""")
_NO_COMMA = re.compile(r"\}\s*\n\s*\{")
"""Between two turns where a numpy array was printed; inside a printed text a line break is written as an escape."""


def with_turns(row: dict[str, Any]) -> dict[str, Any]:
    """The row with each cell that is a list of turns as text read as that list."""
    read = {}
    for name, cell in row.items():
        if isinstance(cell, str) and cell[:1] == "[" and name not in TEXT_COLUMNS and _TURNS.match(cell):
            turns = _turns(cell)
            if turns:
                read[name] = turns
    return row | read if read else row


def _turns(text: str) -> list[dict[str, Any]] | None:
    """The list of turns that a text writes down, or None."""
    value = None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        if len(text) <= MAX_PRINTED_CHARACTERS and text.count("[") + text.count("{") <= 100 * MAX_DEPTH:
            value = _printed(text) or _printed(_NO_COMMA.sub("}, {", text))
    turns = isinstance(value, list) and all(isinstance(turn, dict) and ({"role", "from"} & turn.keys()) for turn in value)
    return value if turns and not is_too_deep(value) else None


def _printed(text: str) -> Any:
    """What Python printed as this text: only texts, numbers, lists and objects, no code; None where it is something else."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return None
