"""Files of preferences in any known shape become votes; a vote that is there already is not added twice."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgetune.data import formats, scan
from edgetune.data.detect import apply_map
from edgetune.data.formats import Example
from edgetune.data.row import RowError
from edgetune.data.sources import sources
from edgetune.errors import InputError
from edgetune.preferences.record import Candidate, Choice, Vote
from edgetune.preferences.store import Store


@dataclass
class Imported:
    """What an import did. left_out: file, line and reason of rows that are no preference."""

    read: int = 0
    taken: int = 0
    repeated: int = 0
    format: str = ""
    left_out: list[tuple[str, int, str]] = field(default_factory=list)


def import_file(file: str, into: Store, asked: str = "auto", mapping: dict[str, str] | None = None) -> Imported:
    """Read a file of preferences and add a vote for each row, all at once; of another preference file, each vote that counts.

    InputError, and nothing is added, when no row is a preference.
    """
    done = Imported()
    votes: list[Vote] = []
    mapping = mapping or {}
    files = sources([file])
    formats_of = {str(s.path): detected.format for s, detected in zip(files, scan.detect_formats(files, asked, mapping), strict=True)}
    done.format = " and ".join(dict.fromkeys(formats_of.values()))

    # Preference files hold whole votes, other files rows that each become one.
    for path in [path for path, form in formats_of.items() if form == "vote_log"]:
        stored = Store(Path(path)).votes()
        votes += stored
        done.read += len(stored)
    for row in scan.all_rows([source for source in files if formats_of[str(source.path)] != "vote_log"]):
        done.read += 1
        try:
            if row.problem:
                raise RowError(row.kind, row.problem)
            example = formats.module(formats_of[row.file]).convert(apply_map(row.value, mapping))
            votes.append(vote_of(example, {"file": row.file, "line": row.line}))
        except RowError as error:
            done.left_out.append((row.file, row.line, str(error)))
    if not votes:
        first = done.left_out[0][2] if done.left_out else "there are no rows"
        raise InputError(
            f"{file} holds no preferences", f"All {done.read} rows were left out; the first: {first}.", "Check the file and --format."
        )

    # What is there already, or comes twice, is not added again.
    known = {digest(vote) for vote in into.votes()}
    fresh: dict[str, Vote] = {}
    for vote in votes:
        if (key := digest(vote)) not in known:
            fresh.setdefault(key, vote)
    into.add_all(list(fresh.values()))
    done.taken, done.repeated = len(fresh), len(votes) - len(fresh)
    return done


def vote_of(example: Example, about: dict[str, Any]) -> Vote:
    """The vote that a row of examples stands for. Raises RowError for a row without a preference."""
    if example.kind == "preference":
        answers, ranks = ranked(example.pairs)
        choice = Choice("pair", "left") if ranks == [1, 2] else Choice("ranking", ranks)
        return Vote(example.messages, [Candidate(turns) for turns in answers], choice, "import", tools=example.tools, about=about)
    if example.kind == "unpaired":
        start = max(number for number, turn in enumerate(example.messages) if turn["role"] == "assistant")
        candidate = Candidate(example.messages[start:])
        return Vote(
            example.messages[:start], [candidate], Choice("thumbs", bool(example.label)), "import", tools=example.tools, about=about
        )
    raise RowError("not_preference", f"a row of kind {example.kind} prefers nothing")


def ranked(pairs: list[tuple[Any, Any]]) -> tuple[list[Any], list[int]]:
    """The answers of pairs, and ranks that give these pairs back: one above the number of answers that beat it."""
    answers: list[Any] = []
    for turns in (side for pair in pairs for side in pair):
        if turns not in answers:
            answers.append(turns)
    return answers, [1 + sum(worse == turns for _, worse in pairs) for turns in answers]


def digest(vote: Vote) -> str:
    """What makes two votes the same: prompt, and answers with their ranks or labels, in whatever order they came."""
    kept = [[c.completion, label] for c, label in vote.labels()] or [[c.completion, vote.choice.value] for c in vote.candidates]
    pairs = [[good.completion, bad.completion] for good, bad in vote.pairs()]
    parts = [sorted(json.dumps(item, sort_keys=True, ensure_ascii=False) for item in items) for items in (kept, pairs)]
    return json.dumps([_normalized(vote.prompt), vote.choice.type == "thumbs", parts], sort_keys=True, ensure_ascii=False)


def duplicates(votes: Iterable[Vote]) -> Iterator[tuple[Vote, Vote]]:
    """(earlier, later) of every later vote that says the same as an earlier one; repeats that were asked for and skips do not count."""
    seen: dict[str, Vote] = {}
    for vote in votes:
        if "repeats" in vote.about or vote.choice.type == "skip":
            continue
        first = seen.setdefault(digest(vote), vote)
        if first is not vote:
            yield first, vote


def contradictions(votes: Iterable[Vote]) -> Iterator[tuple[Vote, Vote]]:
    """(earlier, later) of votes that prefer the same two answers the other way round."""
    seen: dict[str, Vote] = {}
    for vote in votes:
        if "repeats" in vote.about:
            continue
        for good, bad in vote.pairs():
            sides = [json.dumps([_normalized(vote.prompt), side.completion], sort_keys=True) for side in (good, bad)]
            if (other := seen.get(sides[1] + sides[0])) is not None:
                yield other, vote
            seen[sides[0] + sides[1]] = vote


def _normalized(turns: list[dict[str, Any]]) -> list[list[str]]:
    return [[turn["role"], str(turn.get("content") or "").strip()] for turn in turns]
