"""Chats whose messages form a tree: every answer asked for again, and every prompt edited, is a branch."""

from collections.abc import Mapping

from edgetune.data.chats._chat import Message


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


def newest_leaf(parents: Mapping[str, str], times: Mapping[str, float | None]) -> str:
    """The latest message that nothing follows; where none has a time the last one of the file; "" without any."""
    followed = set(parents.values())
    leaves = [key for key in parents if key not in followed]
    if any(times.get(key) for key in leaves):
        return max(leaves, key=lambda key: times.get(key) or 0.0)
    return leaves[-1] if leaves else ""


def line_on_screen(messages: Mapping[str, Message], parents: Mapping[str, str], last: str) -> list[Message]:
    """The messages of the line that ends with `last` (or, where that is missing, with the newest), then all others, left out.

    An answer on the line gets the texts of the other answers to the same message.
    """
    last = last if last in messages else newest_leaf(parents, {key: message.time for key, message in messages.items()})
    shown = line_to(last, parents)
    below = children_of(parents)
    on_line = set(shown)
    for key in shown:
        if messages[key].role == "assistant":
            others = [messages[other] for other in below[parents[key]] if other != key]
            messages[key].others = [other.text for other in others if other.role == "assistant" and other.text and not other.left_out]

    hidden = [messages[key] for key in messages if key not in on_line]
    for message in hidden:
        message.left_out = message.left_out or "another branch"
    return [*(messages[key] for key in shown), *hidden]
