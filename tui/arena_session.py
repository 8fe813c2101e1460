"""An arena: models that answer one after the other, and the votes on their answers, for one thread at a time."""

import threading
from collections.abc import Callable
from pathlib import Path

from edgetune.chat.engine import Engine
from edgetune.errors import InputError
from edgetune.preferences.authors import Author
from edgetune.preferences.naming import unique
from edgetune.preferences.record import Choice, Vote
from edgetune.preferences.store import store
from edgetune.sessions.arena import Arena, Match, Result
from edgetune.storage.workspace import Workspace
from tui.vote_plan import VotePlan

Progress = Callable[[int, int, int], None]
"""Told the model's number, how many of its answers are written, and of how many."""


class Left(Exception):
    """The person has left while answers were written."""


class Contest:
    """Lets models answer and takes votes. All methods but `leave` block: call them beside the UI, one at a time."""

    def __init__(self, workspace: Workspace, plan: VotePlan) -> None:
        self.plan, self.workspace = plan, workspace
        self.store = store(workspace, plan.into)
        self.arena: Arena | None = None
        self.left_out: list[str] = []
        self._engine: Engine | None = None
        self._leave = threading.Event()

    def open(self, paths: list[Path]) -> None:
        """Read the prompts, and begin or go on. Raises EdgeTuneError."""
        asked = self.plan.given(self.workspace, self.store)
        if asked is None:
            raise InputError("An arena needs prompts", "Nothing says what to ask.", "Choose where they come from.")
        asked.prompts, self.left_out = asked.prompts[: self.plan.limit], asked.left_out
        names = unique(model.name for model in self.plan.models)
        models = dict(zip(names, paths, strict=True))
        self.arena = Arena(self.store, models, asked, self.plan.sampling, max_tokens=self.plan.max_tokens)

    def write(self, progress: Progress) -> int:
        """Let each model answer what it is still needed for, one in memory at a time; how many prompts some model could not take."""
        arena = self._opened()
        for number, (name, path) in enumerate(arena.models.items(), 1):
            if not any(name in pair for _, *pair in arena.unvoted()):
                continue

            def told(done: int, total: int, number: int = number) -> None:
                if self._leave.is_set():
                    raise Left
                progress(number, done, total)

            with Engine(path) as engine:
                self._engine = engine
                arena.write(Author(name, engine), told)
        self._engine = None
        return len(arena.failed)

    def next(self) -> tuple[Match | None, Result, int]:
        """The next two answers, None when all are compared; the result so far; how many matches are left."""
        arena = self._opened()
        return arena.next(), arena.result(), len(arena.unvoted())

    def take(self, match: Match, value: str) -> Vote:
        """left, right, tie or bad; on disk when this returns."""
        return self._opened().take(match, Choice("pair", value))

    def skip(self, match: Match) -> None:
        """No vote on this match."""
        self._opened().take(match, Choice("skip"))

    def undo(self) -> Vote | None:
        """Take the last vote back."""
        return self._opened().undo()

    def leave(self) -> None:
        """Stop writing; from any thread."""
        self._leave.set()

    def close(self) -> None:
        """End the process that writes."""
        engine, self._engine = self._engine, None
        if engine:
            engine.close()

    def _opened(self) -> Arena:
        if self.arena is None:
            raise InputError("The arena is not open", "Its models or prompts could not be read.", "Try again.")
        return self.arena
