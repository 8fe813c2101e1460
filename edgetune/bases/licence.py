"""The licence of a base on disk, as its files name it."""

import json
from pathlib import Path

from edgetune.text import one_line

FETCH_RECORD = "fetched.json"
"""What `fetch` leaves beside a base."""
MAX_CARD_CHARACTERS = 64 * 2**10
"""Characters of a model card that are read."""


def licence(folder: Path) -> str:
    """What the record of the fetch says, else the model card's own `license`; empty where neither does."""
    try:
        record = json.loads((folder / FETCH_RECORD).read_text(encoding="utf-8"))
        return one_line(str(record["licence"]), 40)
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return _of_card(folder / "README.md")


def _of_card(path: Path) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            lines = file.read(MAX_CARD_CHARACTERS).splitlines()
    except OSError:
        return ""
    if not lines or lines[0].strip() != "---":
        return ""

    # The card's head is YAML between two lines of dashes; only its top-level words are needed.
    fields = {}
    for line in lines[1:]:
        if line.strip() == "---":
            break
        name, colon, value = line.partition(":")
        if colon:
            fields[name] = value.strip().strip("\"'")

    licence_name = fields.get("license", "")
    return one_line(fields.get("license_name", licence_name) if licence_name == "other" else licence_name, 40)
