"""A conversation that forks: a changed question or another answer begins a branch, and the old one stays."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

Message = dict[str, Any]
START = -1
"""The parent of what a conversation begins with."""


@dataclass(frozen=True)
class Turn:
    """A question or an answer. parent: the turn it follows, by number, or START.

    provenance: what made an answer, as in a vote's candidate, and "tokens" with "tokens_per_second"; what is not known is left out.
    """

    role: str
    content: str
    parent: int = START
    provenance: dict[str, Any] = field(default_factory=dict)

    @property
    def message(self) -> Message:
        """As the model sees it."""
        return {"role": self.role, "content": self.content}


class Branches:
    """All turns in the order they came, and the tip: the turn that the conversation continues from."""

    def __init__(self, turns: Sequence[Turn] = (), tip: int | None = None) -> None:
        self.turns = list(turns)
        self.tip = len(self.turns) - 1 if tip is None else tip
        self._followed: dict[int, int] = {}

    def path(self, to: int | None = None) -> list[int]:
        """The turns from the first to one, or to the tip."""
        turn, path = self.tip if to is None else to, []
        while turn != START:
            path.append(turn)
            turn = self.turns[turn].parent
        return path[::-1]

    def messages(self, to: int | None = None) -> list[Message]:
        """The turns of that path, as messages."""
        return [self.turns[at].message for at in self.path(to)]

    def add(self, role: str, content: str, provenance: dict[str, Any] | None = None) -> int:
        """A turn after the tip, which it then is."""
        self.turns.append(Turn(role, content, self.tip, provenance or {}))
        self.go(len(self.turns) - 1)
        return self.tip

    def go(self, at: int) -> None:
        """Let a turn be the tip; START for none yet."""
        self.tip = at
        for turn in self.path():
            self._followed[self.turns[turn].parent] = turn

    def siblings(self, at: int) -> list[int]:
        """All turns that follow what this one follows, itself among them."""
        return [number for number, turn in enumerate(self.turns) if turn.parent == self.turns[at].parent]

    def branch_number(self, at: int) -> tuple[int, int]:
        """Which of how many branches a turn begins, from 1."""
        siblings = self.siblings(at)
        return siblings.index(at) + 1, len(siblings)

    def switch(self, at: int, step: int) -> int:
        """Open the branch `step` further than the one this turn begins, around the end, where it was last left; its first turn."""
        siblings = self.siblings(at)
        first = end = siblings[(siblings.index(at) + step) % len(siblings)]
        while (following := [n for n, turn in enumerate(self.turns) if turn.parent == end]) != []:
            end = self._followed.get(end, following[-1])
        self.go(end)
        return first

    def replace(self, at: int, content: str, provenance: dict[str, Any]) -> int:
        """Another version of a turn, as a separate branch; the tip then is it."""
        self.tip = self.turns[at].parent
        return self.add(self.turns[at].role, content, provenance)

    def forget(self, at: int, tip: int) -> None:
        """Drop the turn that came last of all, and continue from another."""
        assert at == len(self.turns) - 1, "only the last one can be dropped: the others' numbers are known outside"
        self.turns.pop()
        self._followed = {parent: turn for parent, turn in self._followed.items() if turn != at}
        self.go(tip)

    def rows(self) -> list[dict[str, Any]]:
        """As a file holds them."""
        return [{**turn.message, "parent": turn.parent, **({"made": turn.provenance} if turn.provenance else {})} for turn in self.turns]

    def lines(self) -> list[str]:
        """Every turn as a line, counted from 1. `*` marks the open branch; what a turn follows is named where it is not the one before."""
        opened, lines = set(self.path()), []
        for at, turn in enumerate(self.turns):
            after = "" if turn.parent == at - 1 else f" (after {turn.parent + 1})" if turn.parent != START else " (from the start)"
            lines.append(f"{'*' if at in opened else ' '} {at + 1}{after} {turn.role}: {turn.content}")
        return lines


def read(rows: Any, tip: Any) -> Branches:
    """The branches of a file. Raises ValueError, KeyError or TypeError for rows that are none."""
    turns = []
    for number, row in enumerate(rows):
        parent = row["parent"]
        if type(parent) is not int or not START <= parent < number:
            raise ValueError(f"turn {number} follows {parent!r}")
        turns.append(Turn(str(row["role"]), str(row["content"]), parent, dict(row.get("made", {}))))
    if type(tip) is not int or not START <= tip < len(turns):
        raise ValueError(f"the tip is {tip!r}")
    return Branches(turns, tip)


def unbranched(messages: Sequence[Message]) -> Branches:
    """Messages that follow one another, as a conversation without forks."""
    return Branches([Turn(str(message["role"]), str(message["content"]), number - 1) for number, message in enumerate(messages)])
