"""A ranking: the llama.cpp processes and the session of votes, for one thread at a time, and what has been written so far."""

import threading
from dataclasses import dataclass
from pathlib import Path

from edgetune.chat.engine import Engine
from edgetune.errors import InputError
from edgetune.preferences import candidates
from edgetune.preferences.authors import Author
from edgetune.preferences.naming import unique
from edgetune.preferences.order import order
from edgetune.preferences.prompts import Prompt, PromptList
from edgetune.preferences.record import Choice, Vote
from edgetune.preferences.store import store
from edgetune.sessions.ranking import Session, State, Task
from edgetune.storage.workspace import Workspace
from tui.vote_plan import VotePlan


class Left(Exception):
    """The person has left while answers were written."""


@dataclass(frozen=True)
class Written:
    """What there is of the answers that are being written."""

    prompt: Prompt | None
    texts: list[str]
    notices: list[str]


class Ranking:
    """Asks models and takes votes. All methods but `written`, `leave` and `waiting` block: call them beside the UI, one at a time."""

    def __init__(self, workspace: Workspace, plan: VotePlan) -> None:
        self.plan, self.workspace = plan, workspace
        self.store = store(workspace, plan.into)
        self.session: Session | None = None
        self.left_out: list[str] = []
        self._engines: list[Engine] = []
        self._lock, self._texts, self._notices = threading.Lock(), dict[int, str](), list[str]()
        self._prompt: Prompt | None = None
        self._anew, self._leave = False, threading.Event()

    def open(self, paths: list[Path]) -> None:
        """Read the prompts, load the models, and begin or go on. Raises EdgeTuneError."""
        given = self.plan.given(self.workspace, self.store)
        authors = []
        for name, path in zip(unique(model.name for model in self.plan.models), paths, strict=True):
            self._engines.append(Engine(path))
            authors.append(Author(name, self._engines[-1]))
        asked: PromptList = given or self.plan.asked_of(authors[0])
        self.left_out = asked.left_out
        writers = candidates.in_turn(authors, self.plan.sampling, self.plan.count)
        self.session = Session(self.store, asked, writers, max_tokens=self.plan.max_tokens)

    def next(self) -> tuple[Task | None, State]:
        """The next thing to vote on, None when all is done, and how far it is."""
        session = self._opened()
        task = session.task(self._heard, self._noticed)
        return task, session.state()

    def take(self, keys: str) -> Vote:
        """The vote of keys as the command line knows them ("213", "0", "1=2"); on disk when this returns."""
        session = self._opened()
        task = session.waiting
        return session.take(order(keys, len(task.candidates) if task else 0))

    def take_pair(self, value: str) -> Vote:
        """The vote on two answers: tie or bad."""
        return self._opened().take(Choice("pair", value))

    def edit(self, number: int, text: str) -> Vote:
        """The person's own version of an answer (from 0)."""
        return self._opened().edited(number, text)

    def skip(self) -> None:
        """No vote on this one."""
        self._opened().skip()

    def undo(self) -> Vote | None:
        """Take the last vote back; its answers are the next task."""
        return self._opened().undo()

    def written(self) -> Written:
        """What was written of the task so far, and what was said since the last call."""
        with self._lock:
            said, self._notices = self._notices, []
            return Written(self._prompt, [self._texts[number] for number in sorted(self._texts)], said)

    def leave(self) -> None:
        """Stop writing; from any thread."""
        self._leave.set()

    def close(self) -> None:
        """End the processes."""
        engines, self._engines = self._engines, []
        for engine in engines:
            engine.close()

    def _opened(self) -> Session:
        if self.session is None:
            raise InputError("No model is loaded", "It is not open yet, or failed to open.", "Try again.")
        return self.session

    def _heard(self, number: int, text: str) -> None:
        if self._leave.is_set():
            raise Left
        now = self.session.writing if self.session else None
        with self._lock:
            if now is not self._prompt:
                self._prompt, self._texts = now, {}
            if self._anew:
                self._texts.pop(number, None)
                self._anew = False
            self._texts[number] = self._texts.get(number, "") + text

    def _noticed(self, text: str) -> None:
        with self._lock:
            self._notices.append(text)
            self._anew = True
