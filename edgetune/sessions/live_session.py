"""What a ranking and an arena share while their models answer: the plan, the preference file, and how the person leaves."""

import threading

from edgetune.preferences.store import store
from edgetune.sessions.vote_plan import VotePlan
from edgetune.storage.workspace import Workspace


class PersonLeft(Exception):
    """The person has left while models were loaded or answers written; what is on disk stays."""


class LiveSession:
    """Votes on a plan's prompts with models that are loaded. left_out: rows of the prompts that cannot be asked, with the reason."""

    def __init__(self, workspace: Workspace, plan: VotePlan) -> None:
        self.workspace, self.plan = workspace, plan
        self.store = store(workspace, plan.into)
        self.left_out: list[str] = []
        self._leaving = threading.Event()

    def leave(self) -> None:
        """Stop writing; from any thread."""
        self._leaving.set()

    def _check_leaving(self) -> None:
        """Called after each model that was loaded, and with every piece of an answer. Raises PersonLeft after `leave`."""
        if self._leaving.is_set():
            raise PersonLeft
