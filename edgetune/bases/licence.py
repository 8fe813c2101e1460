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
        kept = json.loads((folder / FETCH_RECORD).read_text(encoding="utf-8"))
        return one_line(str(kept["licence"]), 40)
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
    named = {}
    for line in lines[1:]:
        if line.strip() == "---":
            break
        name, colon, value = line.partition(":")
        if colon:
            named[name] = value.strip().strip("\"'")
    found = named.get("license", "")
    return one_line(named.get("license_name", found) if found == "other" else found, 40)
