"""Chats whose messages form a tree: every answer asked for again, and every prompt edited, is a branch."""

from collections.abc import Mapping
from typing import Any


def line_to(last: str, parents: Mapping[str, str]) -> list[str]:
    """The keys from the root to a message. A parent that is not there, or was passed already, ends the way."""
    way: list[str] = []
    passed: set[str] = set()
    while last in parents and last not in passed:
        passed.add(last)
        way.append(last)
        last = parents[last]
    return way[::-1]


def children_of(parents: Mapping[str, str]) -> dict[str, list[str]]:
    """The messages that follow each message, in the order of the file."""
    result: dict[str, list[str]] = {}
    for key, parent in parents.items():
        result.setdefault(parent, []).append(key)
    return result


def newest_leaf(parents: Mapping[str, str], times: Mapping[str, Any]) -> str:
    """The latest message that nothing follows; among those without a time the last one of the file; "" without any."""
    followed = set(parents.values())
    leaves = [key for key in parents if key not in followed]
    return (
        max(leaves, key=lambda key: times.get(key) or 0.0, default="")
        if any(times.get(k) for k in leaves)
        else (leaves[-1] if leaves else "")
    )
