"""The line of runs that a run builds on, as people read it."""

from typing import Any


def describe_lineage(line: list[dict[str, Any]]) -> str:
    """A line of runs as people read it."""
    return " → ".join(f"{earlier['run']} ({_how(earlier)})" for earlier in line)


def _how(earlier: dict[str, Any]) -> str:
    return f"{earlier['method']} on {' and '.join(earlier['votes'])}" if earlier.get("votes") else str(earlier["method"])
