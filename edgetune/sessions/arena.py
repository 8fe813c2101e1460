"""Blind comparison of models: each answers every prompt, every two answers meet with their sides drawn, and the result has its interval."""

import hashlib
import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path

from edgetune.chat.sampling import Sampling
from edgetune.errors import EdgeTuneError, InputError
from edgetune.preferences.authors import Author
from edgetune.preferences.candidates import seeded
from edgetune.preferences.prompts import Prompt, PromptList
from edgetune.preferences.rating import Ratings, Share, bradley_terry, share, verdict
from edgetune.preferences.record import PERSON, Candidate, Choice, Vote
from edgetune.preferences.store import Store

EQUAL = "equal"
"""The judge of answers that are the same text: a tie that nobody needs to be asked about."""


@dataclass(frozen=True)
class Match:
    """Two models' answers to a prompt, in the order they are shown. Whose they are is for nobody to see before the vote."""

    prompt: Prompt
    models: tuple[str, str]
    candidates: list[Candidate]


@dataclass(frozen=True)
class Duel:
    """What the votes say of two models. share: how often `one` won, ties and both bad counting half."""

    one: str
    other: str
    wins: int
    losses: int
    ties: int
    share: Share

    @property
    def verdict(self) -> str:
        """In words; "better" only when the interval excludes 50 %."""
        return verdict(self.one, self.other, self.share)


@dataclass(frozen=True)
class Result:
    """All duels, and the ratings of all models."""

    duels: list[Duel]
    ratings: Ratings


class Arena:
    """A comparison that resumes where it was left: models by name, prompts, and a preference file that holds the votes.

    models: name and GGUF of each. seed: draws the sides and the answers. judge: who votes; votes of another judge are another arena.
    """

    def __init__(
        self,
        store: Store,
        models: dict[str, Path],
        prompts: PromptList,
        sampling: Sampling,
        *,
        seed: int = 0,
        max_tokens: int | None = None,
        judge: str = PERSON,
    ) -> None:
        if len(models) < 2:
            raise InputError("An arena needs two models", f"{len(models)} was named.", "Name two or more, each once.")
        self.store, self.models, self.prompts = store, models, prompts.prompts
        self.sampling, self.seed, self.max_tokens, self.judge = sampling, seed, max_tokens, judge
        self.id = self._identity()
        self._answers: dict[tuple[str, str], Candidate] = {}
        self.failed: set[str] = set()

    def _identity(self) -> str:
        """The same for the same models, prompts and settings: a model that was exported again is another."""
        parts = [f"{name} {path.resolve()} {path.stat().st_size} {path.stat().st_mtime_ns}" for name, path in self.models.items()]
        parts += [prompt.key for prompt in self.prompts] + [str(self.sampling), str(self.seed), str(self.max_tokens), self.judge]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]

    def unvoted(self) -> list[tuple[Prompt, str, str]]:
        """What is still to be compared, in the order of the prompts, sides and order of duels drawn."""
        done = {(vote.about["prompt"], frozenset(vote.about["models"])) for vote in self.votes()}
        matches = []
        for prompt in self.prompts:
            draw = random.Random(f"{self.seed} {prompt.key}")
            duels = [draw.sample(pair, 2) for pair in combinations(self.models, 2)]
            draw.shuffle(duels)
            matches += [(prompt, one, other) for one, other in duels if (prompt.key, frozenset((one, other))) not in done]
        return [(prompt, one, other) for prompt, one, other in matches if prompt.key not in self.failed]

    def write(self, author: Author, progress: Callable[[int, int], None] = lambda _done, _total: None) -> None:
        """Let one model answer all prompts that it is still needed for. One model at a time need be in memory."""
        needed = list({p.key: p for p, *pair in self.unvoted() if author.name in pair}.values())
        for number, prompt in enumerate(needed, 1):
            settings = replace(self.sampling, seed=seeded(self.seed, prompt, 0))
            try:
                draft = author.draft(prompt.messages, settings, self.max_tokens)
                for _ in draft:
                    pass
                self._answers[author.name, prompt.key] = draft.candidate
            except InputError:
                self.failed.add(prompt.key)
            progress(number, len(needed))
        if self.failed and not self.unvoted() and not self.votes():
            raise EdgeTuneError(
                "No prompt can be answered", f"{author.name} refused all of them.", "Use shorter prompts or a longer --ctx."
            )

    def next(self) -> Match | None:
        """The next two answers; None when all are compared. Equal texts are entered as ties without asking."""
        for prompt, one, other in self.unvoted():
            match = Match(prompt, (one, other), [self._answers[one, prompt.key], self._answers[other, prompt.key]])
            if match.candidates[0].text.strip() != match.candidates[1].text.strip():
                return match
            self.vote(match, Choice("pair", "tie"), EQUAL)
        return None

    def vote(self, match: Match, choice: Choice, judge: str | None = None) -> Vote:
        """A vote on a match; on disk when this returns."""
        about = {"arena": self.id, "prompt": match.prompt.key, "models": list(match.models)}
        return self.store.add(Vote(match.prompt.messages, match.candidates, choice, "arena", judge or self.judge, about=about))

    def undo(self) -> Vote | None:
        """Remove the last vote that the person gave; None where there is none."""
        last = next((vote for vote in reversed(self.votes()) if vote.judge != EQUAL), None)
        if last is not None:
            self.store.delete(last.id, "undo")
            for name, candidate in zip(last.about["models"], last.candidates, strict=True):
                self._answers[name, last.about["prompt"]] = candidate
        return last

    def needs(self, model: str) -> bool:
        """Whether a match that is still to be voted on needs this model's answer."""
        return any(model in pair for _, *pair in self.unvoted())

    def votes(self) -> list[Vote]:
        """This arena's votes, skipped matches with them."""
        return [vote for vote in self.store.votes() if vote.about.get("arena") == self.id]

    def result(self) -> Result:
        """Win rates and ratings, from the votes so far."""
        return result(self.votes(), list(self.models))


def result(votes: list[Vote], models: list[str]) -> Result:
    """Win rates of every two models that met, and ratings of all, from arena votes; skipped matches count for nothing."""
    points: dict[tuple[str, str], list[float]] = {}
    for vote in votes:
        if vote.choice.type != "pair":
            continue
        left, right = vote.about["models"]
        score = {"left": 1.0, "right": 0.0}.get(vote.choice.value, 0.5)
        one, other = sorted((left, right), key=models.index)
        points.setdefault((one, other), []).append(score if one == left else 1 - score)
    duels = [
        Duel(one, other, scores.count(1.0), scores.count(0.0), scores.count(0.5), share(sum(scores), len(scores)))
        for (one, other), scores in sorted(points.items(), key=lambda item: [models.index(name) for name in item[0]])
    ]
    wins = {(d.one, d.other): d.wins + d.ties / 2 for d in duels} | {(d.other, d.one): d.losses + d.ties / 2 for d in duels}
    return Result(duels, bradley_terry(wins))
