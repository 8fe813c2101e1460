"""The preference file: votes, changes and deletions are only ever appended, each on disk before it counts; a reader folds them."""

import json
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from edgetune.errors import InputError
from edgetune.preferences.record import Candidate, Choice, Vote, from_dict
from edgetune.storage.files import append_synced, safe_name, truncate_synced
from edgetune.storage.workspace import Workspace

DEFAULT_NAME = "prefs"
"""The preference file that is meant where none is named."""


@dataclass
class Folded:
    """What a file's lines add up to.

    votes: those that count, in order. deleted: those that were deleted. problems: lines that cannot be read.
    """

    votes: dict[str, Vote] = field(default_factory=dict)
    deleted: dict[str, Vote] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


class Store:
    """A preference file that many processes may append to: each line is written whole, under a lock, and fsynced."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._folded, self._read, self._lines, self._file = Folded(), 0, 0, (0, 0)

    @property
    def name(self) -> str:
        """The name people give it."""
        return self.path.stem

    @property
    def torn(self) -> Path:
        """Where torn ends are kept."""
        return self.path.with_suffix(".torn")

    def add(self, vote: Vote) -> Vote:
        """Save a vote: when this returns, it is on disk. On an error (a full disk, a choice that does not fit) nothing is saved."""
        self._append(vote.checked().as_dict())
        return vote

    def add_all(self, votes: list[Vote]) -> None:
        """Save many votes in one line, with one lock and one wait for the disk: a reader, and a crash, finds all of them or none."""
        if votes:
            self._append({"kind": "votes", **_stamp(), "votes": [vote.checked().as_dict() for vote in votes]})

    def delete(self, vote_id: str, reason: str = "") -> None:
        """Delete a vote by a line that says so; the vote's own line stays."""
        self._append({"kind": "delete", **_stamp(), "of": self.vote(vote_id).id, "reason": reason})

    def restore(self, vote_id: str) -> Vote:
        """Bring a deleted vote back. InputError where none of that id was deleted."""
        vote = self.fold().deleted.get(vote_id)
        if vote is None:
            raise _unknown(vote_id, "deleted vote", self.path)
        self._append({"kind": "restore", **_stamp(), "of": vote_id})
        return vote

    def amend(self, vote_id: str, choice: Choice) -> Vote:
        """Change what was chosen; the vote as it then is."""
        vote = self.vote(vote_id)
        changed = replace(vote, choice=choice).checked()
        row = changed.as_dict()
        self._append({"kind": "amend", **_stamp(), "of": vote.id, "choice": row["choice"], "candidates": row["candidates"]})
        return changed

    def votes(self) -> list[Vote]:
        """The votes that count, in the order they were given, with their changes."""
        return list(self.fold().votes.values())

    def vote(self, vote_id: str) -> Vote:
        """The vote of an id, or of the only one whose id begins so. InputError otherwise."""
        votes = self.fold().votes
        matching = [vote for name, vote in votes.items() if vote_id and name.startswith(vote_id)]
        if vote_id in votes:
            return votes[vote_id]
        if len(matching) != 1:
            raise _unknown(vote_id, "vote", self.path)
        return matching[0]

    def fold(self) -> Folded:
        """Read what is new in the file. A line that cannot be read is named, never guessed; a torn end is not read at all."""
        try:
            with open(self.path, "rb") as file:
                now = os.fstat(file.fileno())
                if self._file != (now.st_dev, now.st_ino) or now.st_size < self._read:
                    self._folded, self._read, self._lines, self._file = Folded(), 0, 0, (now.st_dev, now.st_ino)
                file.seek(self._read)
                whole, newline, end = file.read().rpartition(b"\n")
        except FileNotFoundError:
            return Folded()

        # Whole lines are read once; the numbers of the bad ones are for the person.
        for line in whole.split(b"\n") if newline else []:
            self._lines += 1
            try:
                _apply(self._folded, json.loads(line))
            except (ValueError, KeyError, TypeError, InputError) as error:
                problem = f"line {self._lines} of {self.path.name} is no vote: {error.__class__.__name__} {error}"
                self._folded.problems.append(problem)
        self._read += len(whole) + len(newline)

        if _is_record(end):  # only its newline is missing; it is read again once that is there, which changes nothing
            with suppress(KeyError, TypeError, ValueError, InputError):
                _apply(self._folded, json.loads(end))
        return self._folded

    def _append(self, row: dict[str, Any]) -> None:
        line = json.dumps(row, ensure_ascii=False, allow_nan=False).encode("utf-8", errors="replace") + b"\n"
        with self._alone():
            self._mend()
            append_synced(self.path, line)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Hold the file's lock, which the system frees when its holder dies."""
        from filelock import FileLock

        self.path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(self.path.with_name(f".{self.path.name}.lock")):
            yield

    def _mend(self) -> None:
        """Deal with an end that has no newline: a whole record gets it, a torn one goes to the file of torn ends."""
        end = torn_end(self.path)
        if not end:
            return
        if _is_record(end):
            append_synced(self.path, b"\n")
        else:
            append_synced(self.torn, end + b"\n")
            truncate_synced(self.path, self.path.stat().st_size - len(end))


def _apply(folded: Folded, row: dict[str, Any]) -> None:
    """Let one line change what the file adds up to."""
    kind = row["kind"]
    if kind == "vote":
        vote = from_dict(row)
        folded.votes[vote.id] = vote
    elif kind == "votes":
        folded.votes |= {vote.id: vote for vote in map(from_dict, row["votes"])}
    elif kind == "delete":
        if row["of"] in folded.votes:
            folded.deleted[row["of"]] = folded.votes.pop(row["of"])
    elif kind == "restore":
        if row["of"] in folded.deleted:
            folded.votes[row["of"]] = folded.deleted.pop(row["of"])
    elif kind == "amend":
        if row["of"] in folded.votes:
            vote = folded.votes[row["of"]]
            candidates = [Candidate(**candidate) for candidate in row["candidates"]]
            choice = Choice(row["choice"]["type"], row["choice"]["value"])
            folded.votes[row["of"]] = replace(vote, choice=choice, candidates=candidates).checked()
    else:
        raise ValueError(f"unknown kind {kind!r}")


def _stamp() -> dict[str, Any]:
    return {"id": secrets.token_hex(6), "time": round(time.time(), 3)}


def _is_record(end: bytes) -> bool:
    """Whether an end without a newline is a whole line all the same."""
    try:
        return isinstance(json.loads(end), dict)
    except ValueError:
        return False


def torn_end(path: Path) -> bytes:
    """What comes after the file's last newline."""
    if not path.is_file():
        return b""
    with open(path, "rb") as file:
        size = file.seek(0, 2)
        file.seek(max(size - 1, 0))
        if not size or file.read(1) == b"\n":
            return b""
    return path.read_bytes().rpartition(b"\n")[2]


def _unknown(vote_id: str, what: str, path: Path) -> InputError:
    return InputError(
        f"There is no {what} '{vote_id[:40]}'",
        f"{path.stem} has none with that id, or several whose id begins with it.",
        "'edgetune prefs list' shows them.",
    )


def store(workspace: Workspace, name: str = DEFAULT_NAME) -> Store:
    """The preference file of a name, which need not be there yet. InputError for what cannot be a name."""
    return Store(workspace.preferences / f"{safe_name(name)}.jsonl")


def existing(workspace: Workspace, name: str = DEFAULT_NAME) -> Store:
    """The preference file of a name. InputError when there is none."""
    named = store(workspace, name)
    if not named.path.is_file():
        names = ", ".join(s.name for s in stores(workspace))
        raise InputError(
            f"There are no preferences called '{name}'",
            f"Here are: {names}." if names else "No vote is saved yet.",
            "'edgetune collect' and 'edgetune rank' collect them; 'edgetune prefs import' reads a file.",
        )
    return named


def stores(workspace: Workspace) -> list[Store]:
    """All preference files, by name."""
    return [Store(path) for path in sorted(workspace.preferences.glob("*.jsonl"))] if workspace.preferences.is_dir() else []
