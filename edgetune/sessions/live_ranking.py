"""A ranking with loaded models: the llama.cpp processes and the session of votes, for one thread at a time."""

import threading
from dataclasses import dataclass
from pathlib import Path

from edgetune.chat.engine import Engine
from edgetune.errors import InputError
from edgetune.preferences import candidates
from edgetune.preferences.authors import Author
from edgetune.preferences.naming import unique
from edgetune.preferences.order import order
from edgetune.preferences.prompts import Prompt
from edgetune.preferences.record import Choice, Vote
from edgetune.sessions.live_session import LiveSession
from edgetune.sessions.ranking import RankingSession, State, Task
from edgetune.sessions.vote_plan import VotePlan
from edgetune.storage.workspace import Workspace


@dataclass(frozen=True)
class Progress:
    """The answers that are being written, as far as they are, and what was noticed since the last look."""

    prompt: Prompt | None
    texts: list[str]
    notices: list[str]


class LiveRanking(LiveSession):
    """Asks models and saves votes. All methods but `progress` and `leave` block: call them in a thread, one at a time."""

    def __init__(self, workspace: Workspace, plan: VotePlan) -> None:
        super().__init__(workspace, plan)
        self.session: RankingSession | None = None
        self._engines: list[Engine] = []

        # What `progress` shows, written by the thread that asks.
        self._lock = threading.Lock()
        self._prompt: Prompt | None = None
        self._texts: dict[int, str] = {}
        self._notices: list[str] = []
        self._rewriting = False

    def open(self, paths: list[Path]) -> None:
        """Read the prompts, load the models, and start or resume. paths: a GGUF for each model of the plan.

        Raises EdgeTuneError, and PersonLeft after `leave`; no process is left running then.
        """
        given = self.plan.read_prompts(self.workspace, self.store)
        authors = []
        try:
            for name, path in zip(unique(model.name for model in self.plan.models), paths, strict=True):
                engine = Engine(path)
                self._engines.append(engine)  # not in one statement: `close` may replace the list while a model loads
                authors.append(Author(name, engine))
                self._check_leaving()
        except BaseException:
            self.close()
            raise

        prompts = given or self.plan.propose_prompts(authors[0])
        self.left_out = prompts.left_out
        writers = candidates.in_turn(authors, self.plan.sampling, self.plan.count)
        self.session = RankingSession(self.store, prompts, writers, max_tokens=self.plan.max_tokens)

    def next(self) -> tuple[Task | None, State]:
        """The next thing to vote on, None when all is done, and how far it is. Raises PersonLeft after `leave`."""
        session = self._opened()
        task = session.task(self._on_text, self._on_notice)
        return task, session.state()

    def vote(self, keys: str) -> Vote:
        """The vote of keys as the command line knows them ("213", "0", "1=2"); on disk when this returns."""
        session = self._opened()
        task = session.waiting
        return session.vote(order(keys, len(task.candidates) if task else 0))

    def vote_pair(self, value: str) -> Vote:
        """The vote on two answers: tie or bad."""
        return self._opened().vote(Choice("pair", value))

    def edit(self, number: int, text: str) -> Vote:
        """The person's own version of an answer (from 0)."""
        return self._opened().edit(number, text)

    def skip(self) -> None:
        """No vote on this task."""
        self._opened().skip()

    def undo(self) -> Vote | None:
        """Remove the last vote; its answers are the next task."""
        return self._opened().undo()

    def progress(self) -> Progress:
        """What is written of the task so far, and the notices since the last call."""
        with self._lock:
            notices, self._notices = self._notices, []
            return Progress(self._prompt, [self._texts[number] for number in sorted(self._texts)], notices)

    def close(self) -> None:
        """End the processes."""
        engines, self._engines = self._engines, []
        for engine in engines:
            engine.close()

    def _opened(self) -> RankingSession:
        if self.session is None:
            raise InputError("No model is loaded", "It is not open yet, or failed to open.", "Try again.")
        return self.session

    def _on_text(self, number: int, text: str) -> None:
        self._check_leaving()
        prompt = self.session.writing if self.session else None
        with self._lock:
            if prompt is not self._prompt:
                self._prompt, self._texts = prompt, {}
            # After a notice the same answer is written again from its beginning.
            if self._rewriting:
                self._texts.pop(number, None)
                self._rewriting = False
            self._texts[number] = self._texts.get(number, "") + text

    def _on_notice(self, text: str) -> None:
        with self._lock:
            self._notices.append(text)
            self._rewriting = True
