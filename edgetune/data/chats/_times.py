"""Moments as exports write them, as seconds since 1970; a time without a zone counts as UTC."""

from datetime import UTC, datetime
from typing import Any


def seconds(value: Any) -> float | None:
    """Of an ISO date, of seconds, or of milliseconds (larger than 1e11), as a number or text; None for anything else."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        try:
            moment = datetime.fromisoformat(str(value).strip())
        except ValueError:
            return None
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    return number / 1000 if number > 1e11 else number


def parsed(text: str, *forms: str) -> float | None:
    """Of a text in the first of several forms (strptime's) that fits; None when none does."""
    cleaned = " ".join(text.replace("\u202f", " ").replace("\u00a0", " ").split())
    for form in forms:
        try:
            return datetime.strptime(cleaned, form).replace(tzinfo=UTC).timestamp()
        except ValueError:
            continue
    return None
