"""One vote as the preference file holds it: a prompt, candidate answers with all that made them, and what the person chose."""

import secrets
import time
from dataclasses import asdict, dataclass, field
from typing import Any

from edgetune.errors import InputError

Turns = list[dict[str, Any]]
PAIR_CHOICES = ("left", "right", "tie", "bad")
"""The first candidate, the second, both alike, and both bad."""
PERSON = "person"
"""What stands for the model of an answer that a person wrote."""


@dataclass(frozen=True)
class Candidate:
    """An answer and what made it.

    completion: its turns, mostly one of the assistant. model: its file's or run's name, or "person". path: the model's file.
    adapters: names of GGUF LoRAs with their scales. sampling: all settings with the seed. stop_reason: as the chat engine gives it.
    """

    completion: Turns
    model: str = ""
    path: str = ""
    adapters: dict[str, float] = field(default_factory=dict)
    sampling: dict[str, Any] = field(default_factory=dict)
    stop_reason: str = ""

    @property
    def text(self) -> str:
        """The answer's text."""
        return "\n".join(str(turn.get("content") or "") for turn in self.completion)


def assistant_answer(text: str, **provenance: Any) -> Candidate:
    """A candidate of one assistant turn."""
    return Candidate([{"role": "assistant", "content": text}], **provenance)


@dataclass(frozen=True)
class Choice:
    """What was chosen.

    type and value: "pair" one of PAIR_CHOICES; "ranking" a rank for each candidate, 1 the best, equal ranks allowed; "edit" None, the
    first candidate is the original and the second what the person made of it; "thumbs" whether the one candidate is good;
    "skip" None, nothing was chosen, kept so that the prompt is not asked again.
    """

    type: str
    value: Any = None


@dataclass(frozen=True)
class Vote:
    """A vote. source: collect, rank, arena, chat or import. judge: "person" or the rule that chose. time: seconds since 1970, UTC.

    about: what only its source needs (the prompt list it belongs to, the vote it repeats).
    """

    prompt: Turns
    candidates: list[Candidate]
    choice: Choice
    source: str = "collect"
    judge: str = PERSON
    tools: list[Any] | None = None
    about: dict[str, Any] = field(default_factory=dict)
    id: str = field(default_factory=lambda: secrets.token_hex(6))
    time: float = field(default_factory=lambda: round(time.time(), 3))

    def checked(self) -> "Vote":
        """Itself; InputError when the choice does not fit the candidates."""
        count, value = len(self.candidates), self.choice.value
        fits = {
            "pair": count == 2 and value in PAIR_CHOICES,
            "ranking": count >= 2 and isinstance(value, list) and len(value) == count and all(_is_rank(v) for v in value),
            "edit": count == 2 and value is None,
            "thumbs": count == 1 and isinstance(value, bool),
            "skip": value is None,
        }
        if not fits.get(self.choice.type, False):
            raise InputError(
                "The choice does not fit the answers",
                f"A choice of type {self.choice.type!r} with value {value!r} was given for {count} answers.",
                f"A pair is {', '.join(PAIR_CHOICES)}; a ranking has a rank for each answer; thumbs are up or down for one.",
            )
        return self

    def pairs(self) -> list[tuple[Candidate, Candidate]]:
        """(chosen, rejected) of every two answers of which one was preferred, those of the best first. Equal texts make no pair."""
        if self.choice.type == "pair":
            ranks = {"left": [1, 2], "right": [2, 1]}.get(self.choice.value, [1, 1])
        elif self.choice.type == "edit":
            ranks = [2, 1]
        else:
            ranks = self.choice.value if self.choice.type == "ranking" else []
        order = sorted(zip(ranks, self.candidates, strict=False), key=lambda item: item[0])
        pairs = [(good, bad) for rank, good in order for other, bad in order if rank < other]
        return [(good, bad) for good, bad in pairs if good.completion != bad.completion]

    def labels(self) -> list[tuple[Candidate, bool]]:
        """Answers with a verdict: thumbs; both of a pair that are bad; the best and the worst where one was preferred."""
        if self.choice.type == "thumbs":
            return [(self.candidates[0], self.choice.value)]
        if self.choice.type == "pair" and self.choice.value == "bad":
            return [(candidate, False) for candidate in self.candidates]
        pairs = self.pairs()
        if not pairs:
            return []
        chosen = {id(good) for good, _ in pairs}
        rejected = {id(bad) for _, bad in pairs}
        best, worst = chosen - rejected, rejected - chosen
        return [(c, id(c) in best) for c in self.candidates if id(c) in best | worst]

    def as_dict(self) -> dict[str, Any]:
        """The vote as its line holds it; what is empty is left out."""
        row = {"kind": "vote", "id": self.id, "time": self.time, "source": self.source, "judge": self.judge, "prompt": self.prompt}
        row["candidates"] = [{name: value for name, value in asdict(c).items() if value} for c in self.candidates]
        row["choice"] = {"type": self.choice.type, "value": self.choice.value}
        return row | ({"tools": self.tools} if self.tools else {}) | ({"about": self.about} if self.about else {})


def from_dict(row: dict[str, Any]) -> Vote:
    """The vote of a line. Raises KeyError, TypeError or InputError for what is none."""
    return Vote(
        prompt=list(row["prompt"]),
        candidates=[Candidate(**candidate) for candidate in row["candidates"]],
        choice=Choice(row["choice"]["type"], row["choice"]["value"]),
        source=row["source"],
        judge=row["judge"],
        tools=row.get("tools"),
        about=row.get("about", {}),
        id=row["id"],
        time=row["time"],
    ).checked()


def _is_rank(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1
