"""A preference file of the workspace, with changes and deletions as lines. Recognised so that it can be refused with the reason."""

from typing import Any

from edgetune.data.formats import Example
from edgetune.data.row import RowError

TITLE = "preference file of the workspace"
PRECEDENCE = 10
SHAPE = "`kind` and `id` with `candidates` and a `choice`, or `of`"
SAMPLE = {
    "kind": "vote",
    "id": "0d4c9a6be0f1",
    "prompt": [{"role": "user", "content": "What is far?"}],
    "candidates": [{"completion": [{"role": "assistant", "content": "The moon."}]}],
    "choice": {"type": "thumbs", "value": True},
}


def detect(row: dict[str, Any]) -> bool:
    """Whether the row has this shape."""
    return "id" in row and (
        (row.get("kind") == "votes" and isinstance(row.get("votes"), list))
        or (row.get("kind") in ("vote", "amend") and isinstance(row.get("candidates"), list) and isinstance(row.get("choice"), dict))
        or (row.get("kind") in ("delete", "restore") and "of" in row)
    )


def convert(row: dict[str, Any]) -> Example:
    """Always refused: read line by line, votes that were changed or taken back would count."""
    raise RowError(
        "vote_log",
        "this is a preference file with all its history, in which changes and deletions are separate lines; "
        "train on the current votes with --data NAME, or export them: edgetune prefs export NAME --out pairs.jsonl",
    )
