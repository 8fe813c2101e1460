"""Collecting votes over a list of prompts: answers to choose between, votes in, state out; resumed where it was left."""

import random
from collections.abc import Callable
from dataclasses import dataclass

from edgetune.chat.sampling import Sampling
from edgetune.errors import InputError
from edgetune.preferences import candidates as candidate_sets
from edgetune.preferences.authors import Author
from edgetune.preferences.candidates import Watch
from edgetune.preferences.consistency import Consistency, consistency, worth
from edgetune.preferences.prompts import Prompt, PromptList
from edgetune.preferences.record import PERSON, Candidate, Choice, Vote
from edgetune.preferences.store import Store

REPEAT_EVERY = 8
"""After so many new votes an earlier one is asked again, its answers the other way round, to see how consistent the person is."""


@dataclass(frozen=True)
class Task:
    """What is to be voted on. repeats: the earlier vote that is asked again; None for a new one."""

    prompt: Prompt
    candidates: list[Candidate]
    repeats: Vote | None = None


@dataclass(frozen=True)
class State:
    """How far a session is. done, total: prompts. votes, pairs: what all votes of the preference file hold, repeats apart."""

    done: int
    total: int
    votes: int
    pairs: int
    consistency: Consistency

    @property
    def summary(self) -> str:
        """All of it in one to three sentences."""
        text = f"{self.done} of {self.total} prompts done. {worth(self.pairs)}."
        repeated = self.consistency
        if repeated.compared:
            text += (
                f" Asked again, {repeated.same} of {repeated.compared} preferences came out the same "
                f"({repeated.share.low:.0%} to {repeated.share.high:.0%} with 95 % confidence)."
            )
        return text


class RankingSession:
    """Votes over a list of prompts, each on disk before `vote` returns. Everything it knows is in the preference file.

    authors: who writes each candidate, with the sampling settings. source: "rank" or "collect".
    repeats: whether earlier votes are asked again now and then. `writing` is the prompt whose answers are being written.
    """

    def __init__(
        self,
        store: Store,
        prompts: PromptList,
        authors: list[tuple[Author, Sampling]],
        *,
        source: str = "rank",
        seed: int = 0,
        max_tokens: int | None = None,
        repeats: bool = True,
    ) -> None:
        if not 2 <= len(authors) <= 4:
            raise InputError("Two to four answers can be compared", f"{len(authors)} were asked for.", "Choose from 2 to 4.")
        self.store, self.prompts, self.authors, self.source = store, prompts, authors, source
        self.seed, self.max_tokens, self.repeats = seed, max_tokens, repeats
        self._waiting: list[Task] = []
        self.writing: Prompt | None = None

    @property
    def waiting(self) -> Task | None:
        """The task that waits for a vote."""
        return self._waiting[-1] if self._waiting else None

    def state(self) -> State:
        """How far it is."""
        votes = self.store.votes()
        done = {vote.about["prompt"] for vote in self._own(votes)}
        fresh = [vote for vote in votes if "repeats" not in vote.about and vote.choice.type != "skip"]
        own = sum(prompt.key in done for prompt in self.prompts.prompts)
        return State(own, len(self.prompts.prompts), len(fresh), sum(len(vote.pairs()) for vote in fresh), consistency(votes))

    def task(self, watch: Watch = lambda _number, _text: None, notice: Callable[[str], None] = lambda _text: None) -> Task | None:
        """The next thing to vote on; its answers are streamed to `watch` as they are written. None when the list is done.

        A prompt whose answers hardly differ after all tries is skipped with a `notice`; so is one that the model cannot answer.
        """
        if self._waiting:
            return self._waiting[-1]
        votes = self.store.votes()
        if self.repeats and (again := self._repeat(votes)):
            self._waiting.append(again)
            return again
        done = {vote.about["prompt"] for vote in self._own(votes)}
        for prompt in self.prompts.prompts:
            if prompt.key in done:
                continue
            task = self.ask(prompt, watch, notice)
            if task is not None:
                return task
        return None

    def ask(self, prompt: Prompt, watch: Watch = lambda _n, _t: None, notice: Callable[[str], None] = lambda _t: None) -> Task | None:
        """The answers to one prompt as the next task, whether or not it is in the list; None when there is nothing to choose between."""
        self.writing = prompt
        order = list(self.authors)
        random.Random(f"{self.seed} {prompt.key}").shuffle(order)

        # A prompt that cannot be answered is skipped for good, so that it is not tried again with every start.
        try:
            written = candidate_sets.sample(order, prompt, self.seed, max_tokens=self.max_tokens, watch=watch, notice=notice)
        except InputError as error:
            notice(f"Skipped: {error.title}. {error.cause}")
            self.store.add(Vote(prompt.messages, [], Choice("skip"), self.source, about=self._about(prompt, why=error.title)))
            return None

        # So is one whose answers give nothing to choose between.
        distinct = candidate_sets.differing(written)
        if len(distinct) < 2:
            notice("Skipped: the answers are nearly identical even at high temperature. A vote between them would teach nothing.")
            self.store.add(Vote(prompt.messages, written, Choice("skip"), self.source, about=self._about(prompt, why="alike")))
            return None

        if len(distinct) < len(written):
            notice(f"{len(written) - len(distinct)} of {len(written)} answers are nearly identical to another: left out.")
        self._waiting.append(Task(prompt, distinct))
        return self._waiting[-1]

    def vote(self, choice: Choice, judge: str = PERSON) -> Vote:
        """A vote on the task: a pair's choice or a ranking of all its candidates. On disk when this returns."""
        task = self._current()
        about = self._about(task.prompt, repeats=task.repeats.id) if task.repeats else self._about(task.prompt)
        vote = self.store.add(Vote(task.prompt.messages, task.candidates, choice, self.source, judge, about=about))
        self._waiting.pop()
        return vote

    def edit(self, number: int, text: str) -> Vote:
        """The person's own version of a candidate (from 0): it is chosen, the original rejected. The task is then done."""
        from edgetune.preferences.edit import edit_vote

        task = self._current()
        vote = self.store.add(edit_vote(task.prompt.messages, task.candidates[number], text, self.source, self._about(task.prompt)))
        self._waiting.pop()
        return vote

    def thumbs(self, number: int, good: bool) -> Vote:
        """A verdict on one candidate (from 0); the task stays."""
        task = self._current()
        about = {"list": self.prompts.name}
        return self.store.add(Vote(task.prompt.messages, [task.candidates[number]], Choice("thumbs", good), self.source, about=about))

    def skip(self) -> None:
        """Leave the task without a vote; it is not asked again."""
        task = self._current()
        about = self._about(task.prompt, repeats=task.repeats.id) if task.repeats else self._about(task.prompt)
        self.store.add(Vote(task.prompt.messages, task.candidates, Choice("skip"), self.source, about=about))
        self._waiting.pop()

    def undo(self) -> Vote | None:
        """Remove this list's last vote or skip, also one of an earlier day; its answers are the next task. None: nothing to undo."""
        votes = self.store.votes()
        last = next((vote for vote in reversed(votes) if self._is_own(vote) and len(vote.candidates) > 1 and "why" not in vote.about), None)
        if last is None:
            return None
        self.store.delete(last.id, "undo")
        prompt = next((p for p in self.prompts.prompts if p.key == last.about["prompt"]), None) or Prompt(last.prompt)
        candidates = last.candidates if last.choice.type != "edit" else []
        repeats = next((vote for vote in votes if vote.id == last.about.get("repeats")), None)
        if candidates:
            self._waiting.append(Task(prompt, candidates, repeats))
        return last

    def _repeat(self, votes: list[Vote]) -> Task | None:
        """An earlier vote to ask again, when it is time: every REPEAT_EVERY new votes, one that was not repeated yet."""
        own = [vote for vote in votes if self._is_own(vote)]
        fresh = [v for v in own if "repeats" not in v.about and v.choice.type in ("pair", "ranking") and v.pairs()]
        repeated = {vote.about["repeats"] for vote in own if "repeats" in vote.about}
        due = len(fresh) // REPEAT_EVERY
        not_repeated = [vote for vote in fresh[: -REPEAT_EVERY // 2] if vote.id not in repeated]
        if len(repeated) >= due or not not_repeated:
            return None
        vote = random.Random(f"{self.seed} {due}").choice(not_repeated)
        return Task(Prompt(vote.prompt), vote.candidates[::-1], vote)

    def _about(self, prompt: Prompt, **more: str) -> dict[str, str]:
        return {"list": self.prompts.name, "prompt": prompt.key, **more}

    def _is_own(self, vote: Vote) -> bool:
        return vote.source == self.source and vote.about.get("list") == self.prompts.name and "prompt" in vote.about

    def _own(self, votes: list[Vote]) -> list[Vote]:
        return [vote for vote in votes if self._is_own(vote) and "repeats" not in vote.about]

    def _current(self) -> Task:
        if not self._waiting:
            raise InputError("There is nothing to vote on", "No answers are shown.", "Ask for the next answers first.")
        return self._waiting[-1]
