"""A job's event log: appended by its worker alone, read by everybody, and what it says about the job's state."""

import json
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgetune.errors import EdgeTuneError
from edgetune.storage.files import append_line, cut_torn_line

FINAL = {"finished", "failed", "stopped"}


class EventLog:
    """Appends events, one JSON object a line, each with a sequence number and the time."""

    def __init__(self, path: Path) -> None:
        self.path = path
        cut_torn_line(path)  # of a worker that died while it wrote
        last = next(iter(reversed(read_events(path))), {"seq": 0})
        self.seq = int(last["seq"])

    def append(self, kind: str, **values: Any) -> dict[str, Any]:
        """Write one event; on a full disk this waits until there is room."""
        self.seq += 1
        event = {"seq": self.seq, "time": round(time.time(), 3), "kind": kind, **values}
        append_line(self.path, (json.dumps(event, ensure_ascii=False) + "\n").encode("utf-8", errors="replace"))
        return event


READ_BYTES = 2**18
"""Bytes of a log that are read in one go: a long one must not fill the memory, and who watches may draw in between."""


class Tail:
    """Follows an event log from a byte offset; a torn last line is held back until it is whole."""

    def __init__(self, path: Path, offset: int = 0) -> None:
        self.path, self.offset = path, offset

    def new(self) -> list[dict[str, Any]]:
        """The events that were added since the last call. A torn line in the middle is an EdgeTuneError."""
        return [event for _, event in self.placed()]

    def placed(self, most: int | None = None) -> list[tuple[int, dict[str, Any]]]:
        """`new`, each with the byte offset of its line. most: about how many bytes to read at once; the rest comes with the next call."""
        # A run that was just created has no events yet.
        try:
            with open(self.path, "rb") as file:
                file.seek(self.offset)
                raw = file.read() if most is None else file.read(most) + file.readline()
        except FileNotFoundError:
            return []

        # The worker may be in the middle of a line: what is not complete is left for the next call.
        whole = raw[: raw.rfind(b"\n") + 1]

        # The offset moves only after every line was read, so that a damaged one is met again, not skipped.
        events, offset = [], self.offset
        for line in whole.splitlines(keepends=True):
            try:
                events.append((offset, json.loads(line)))
            except ValueError as error:
                raise EdgeTuneError(
                    f"{self.path} is damaged", f"A line in its middle is not an event: {error}", "Copy it from a backup, or delete the run."
                ) from error
            offset += len(line)
        self.offset = offset
        return events


def read_events(path: Path) -> list[dict[str, Any]]:
    """All whole events of a log."""
    return Tail(path).new()


@dataclass
class State:
    """What a run's events add up to."""

    status: str = "new"  # new, waiting, running, finished, stopped, failed, interrupted
    step: int = 0
    total: int = 0
    loss: float | None = None
    base_loss: float | None = None
    eval_loss: float | None = None
    best_loss: float | None = None
    best_step: int = 0
    tokens_per_second: float | None = None
    eta: float | None = None
    seconds: float = 0.0
    error: dict[str, str] | None = None
    device: str = ""
    samples: list[dict[str, Any]] = field(default_factory=list)
    accuracy: dict[str, Any] | None = None
    base_accuracy: dict[str, Any] | None = None
    warnings: list[str] = field(default_factory=list)

    @property
    def loss_after(self) -> float | None:
        """The held-out loss to set against that before training: the best, or else the last that was measured."""
        return self.best_loss if self.best_loss is not None else self.eval_loss


def fold(events: Iterable[dict[str, Any]], state: State | None = None) -> State:
    """The state that a run's events lead to, from the beginning or going on from `state`, which is changed.

    Raises EdgeTuneError where an event lacks what its kind must say.
    """
    state = State() if state is None else state
    for event in events:
        try:
            _apply(state, event)
        except (KeyError, TypeError) as error:
            kind = event.get("kind") if isinstance(event, dict) else None
            raise EdgeTuneError(
                "The run's event log is damaged",
                f"An event of the kind {kind!r} has no {error}.",
                "Copy it from a backup, or delete the run.",
            ) from error
    return state


def _apply(state: State, event: dict[str, Any]) -> None:
    """Change the state as one event says. KeyError or TypeError where the event is not what a worker writes."""
    kind = event["kind"]

    # A run that starts again is no longer what the worker before it ended as.
    if kind == "started":
        state.status, state.error = "running", None
        state.total, state.device = event["total"], event["device"]
    elif kind in ("launched", "waiting"):
        state.status, state.error, state.eta = "waiting", None, None
    elif kind == "step":
        state.status = "running"
        state.step, state.loss, state.tokens_per_second, state.eta = (
            event["step"],
            event["loss"],
            event["tokens_per_second"],
            event["eta"],
        )
        state.seconds += event["seconds"]
    elif kind == "evaluated":
        state.eval_loss = event["loss"]

        # Step 0 is the model before training: it is what the others are compared with, never the best of them.
        if event["step"] == 0:
            state.base_loss = event["loss"]
        elif event["improved"]:
            state.best_loss, state.best_step = event["loss"], event["step"]
        if "accuracy" in event:
            # Only methods that learn from pairs have an accuracy.
            state.accuracy = {key: event[key] for key in ("accuracy", "interval", "count")}
            state.base_accuracy = state.accuracy if event["step"] == 0 else state.base_accuracy
    elif kind == "warning":
        state.warnings.append(event["text"])
    elif kind == "sample":
        state.samples.append(event)
    elif kind in FINAL:
        state.status = kind
        state.error = event.get("error")
        state.eta = None


def _over(events: list[dict[str, Any]]) -> bool:
    """Whether these end a run: an end after which it began again is none."""
    last = next((event["kind"] for event in reversed(events) if event["kind"] in (*FINAL, "launched", "waiting", "started")), "")
    return last in FINAL


def follow(
    path: Path, offset: int, alive: Callable[[], bool], leave: Callable[[], bool] = lambda: False, poll: float = 0.1
) -> Iterator[dict[str, Any]]:
    """Yield events as they come, until a final one, until `alive()` says that the worker is gone, or until `leave()` says so.

    `leave` is asked at every look, also while nothing happens.
    """
    tail = Tail(path, offset)
    while not leave():
        living = alive()
        events = tail.new()
        yield from events
        if _over(events) or not (living or events):
            return
        time.sleep(poll)
