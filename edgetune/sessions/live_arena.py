"""An arena with its models: they answer one after the other, then their answers are voted on; for one thread at a time."""

from collections.abc import Callable
from pathlib import Path

from edgetune.chat.engine import Engine
from edgetune.errors import InputError
from edgetune.preferences.authors import Author
from edgetune.preferences.naming import unique
from edgetune.preferences.record import Choice, Vote
from edgetune.sessions.arena import Arena, Match, Result
from edgetune.sessions.live_session import LiveSession
from edgetune.sessions.vote_plan import VotePlan
from edgetune.storage.workspace import Workspace

Progress = Callable[[int, int, int], None]
"""Told the model's number, how many of its answers are written, and of how many."""


class LiveArena(LiveSession):
    """Lets models answer and saves votes. All methods but `leave` block: call them in a thread, one at a time."""

    def __init__(self, workspace: Workspace, plan: VotePlan) -> None:
        super().__init__(workspace, plan)
        self.arena: Arena | None = None
        self._engine: Engine | None = None

    def open(self, paths: list[Path]) -> None:
        """Read the prompts, and start or resume. paths: a GGUF for each model of the plan. Raises EdgeTuneError."""
        prompts = self.plan.read_prompts(self.workspace, self.store)
        if prompts is None:
            raise InputError("An arena needs prompts", "Nothing says what to ask.", "Choose where they come from.")
        prompts.prompts, self.left_out = prompts.prompts[: self.plan.limit], prompts.left_out
        names = unique(model.name for model in self.plan.models)
        models = dict(zip(names, paths, strict=True))
        self.arena = Arena(self.store, models, prompts, self.plan.sampling, max_tokens=self.plan.max_tokens)

    def write(self, progress: Progress) -> int:
        """Let each model answer what it is still needed for, one in memory at a time; how many prompts some model could not take."""
        arena = self._opened()
        for number, (name, path) in enumerate(arena.models.items(), 1):
            if not arena.needs(name):
                continue

            def on_answer(done: int, total: int, number: int = number) -> None:
                self._check_leaving()
                progress(number, done, total)

            with Engine(path) as engine:
                self._engine = engine
                arena.write(Author(name, engine), on_answer)
        self._engine = None
        return len(arena.failed)

    def next(self) -> tuple[Match | None, Result, int]:
        """The next two answers, None when all are compared; the result so far; how many matches are left."""
        arena = self._opened()
        return arena.next(), arena.result(), len(arena.unvoted())

    def vote(self, match: Match, value: str) -> Vote:
        """left, right, tie or bad; on disk when this returns."""
        return self._opened().vote(match, Choice("pair", value))

    def skip(self, match: Match) -> None:
        """No vote on this match."""
        self._opened().vote(match, Choice("skip"))

    def undo(self) -> Vote | None:
        """Remove the last vote."""
        return self._opened().undo()

    def close(self) -> None:
        """End the process that writes."""
        engine, self._engine = self._engine, None
        if engine:
            engine.close()

    def _opened(self) -> Arena:
        if self.arena is None:
            raise InputError("The arena is not open", "Its models or prompts could not be read.", "Try again.")
        return self.arena
