"""All runs at a glance, looked at again and again: each log is read once and then only what was added."""

from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from edgetune import methods
from edgetune.errors import EdgeTuneError
from edgetune.runs import launch
from edgetune.runs.curve import Curve
from edgetune.runs.events import READ_BYTES, State, Tail, fold
from edgetune.storage.files import system_error
from edgetune.storage.workspace import Run, Workspace

MAX_POINTS = 40
"""Points of a run's loss that are kept for a curve as small as a word."""


@dataclass
class Seen:
    """A run as last seen. loss: its curve. bytes: on disk, when last measured. problem: why it cannot be used, or empty.

    writes_answers: whether its model does; a reward model gives scores.
    """

    run: Run
    base_name: str = ""
    total: int = 0
    status: str = "new"
    state: State = field(default_factory=State)
    loss: Curve = field(default_factory=lambda: Curve(MAX_POINTS))
    bytes: int = 0
    measured: bool = False
    problem: str = ""
    writes_answers: bool = True

    @property
    def name(self) -> str:
        """The run's name."""
        return self.run.name

    @property
    def answers(self) -> bool:
        """Whether its result can be talked with: it is finished and writes answers."""
        return self.status == "finished" and self.writes_answers


class Overview:
    """The runs of a workspace, newest first. For one thread at a time."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self._known: dict[tuple[str, int], tuple[Seen, Tail]] = {}
        self._again = False

    def measure_again(self) -> None:
        """Have the next look measure the folders anew: something else than a worker's events changed them, as an export or a prune does."""
        self._again = True

    def look(self) -> list[Seen]:
        """Every run as it is now."""
        known, self._known = self._known, {}
        again, self._again = self._again, False
        views = []
        for run in reversed(self.workspace.runs()):
            with suppress(FileNotFoundError):  # deleted or renamed this moment
                key = (run.name, run.folder.stat().st_ino)
                self._known[key] = seen, tail = known.get(key) or (Seen(run), Tail(run.events))
                seen.measured = seen.measured and not again
                _update(seen, tail)
                views.append(seen)
        return views


def _update(seen: Seen, tail: Tail) -> None:
    # The request does not change while a run lives, except for its steps, which a resume may extend.
    try:
        if not seen.base_name:
            request = seen.run.request()
            seen.writes_answers = methods.of(request).writes_answers
            seen.base_name = str(request["base_name"])
        seen.total = int(seen.run.request()["steps"])

        # In portions, so that a long log is never in memory as a whole.
        changed = False
        while events := [event for _, event in tail.placed(READ_BYTES)]:
            _take(seen, events)
            changed = True

    # The caller drops a deleted run; any other failure is shown in this run's row only, and leaves the other rows alone.
    except FileNotFoundError:
        raise
    except (EdgeTuneError, OSError) as problem:
        error = system_error(problem) if isinstance(problem, OSError) else problem
        seen.status, seen.problem = "damaged", f"{error.title}. {error.cause}"
        return

    # Adding up a run's files is slow, so it is done only after something has happened.
    before, seen.status = seen.status, launch.shown_status(seen.run, seen.state)
    if not seen.measured or changed or before != seen.status:
        seen.measured = True
        seen.bytes = seen.run.size()


def _take(seen: Seen, events: list[dict[str, Any]]) -> None:
    fold(events, seen.state)
    del seen.state.samples[:]
    for event in events:
        if event["kind"] == "step":
            seen.loss.add(event["step"], event["loss"])
