"""The line of runs that a run builds on, as people read it."""

from typing import Any


def describe_lineage(line: list[dict[str, Any]]) -> str:
    """A line of runs as people read it."""
    return " → ".join(f"{one['run']} ({_how(one)})" for one in line)


def _how(one: dict[str, Any]) -> str:
    return f"{one['method']} on {' and '.join(one['votes'])}" if one.get("votes") else str(one["method"])
