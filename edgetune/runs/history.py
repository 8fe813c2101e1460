"""A run's past and present for whoever watches it: read once, added to as it grows, and bounded however long it gets."""

import json
from array import array
from typing import Any

from edgetune.runs import launch
from edgetune.runs.curve import Curve
from edgetune.runs.events import READ_BYTES, State, Tail, fold
from edgetune.storage.workspace import Run

LocatedEvents = list[tuple[int, dict[str, Any]]]
"""Events with the byte offsets of their lines."""
MAX_SAMPLES = 300
"""Sample answers kept: the first, of the base, and the newest."""
CURVES = ("loss", "learning_rate", "grad_norm", "tokens_per_second", "memory")
"""What step events measure, each a curve; with them stands `eval_loss`."""


class History:
    """A run's events folded into its state, its curves and its latest samples. The events themselves stay in the file.

    places: the byte offset of every event. news: which of them are not mere steps.
    """

    def __init__(self, run: Run) -> None:
        self.run, self.state = run, State()
        self.curves = {name: Curve() for name in (*CURVES, "eval_loss")}
        self.places, self.news = array("Q"), array("L")
        self.epoch: float | None = None
        self._tail = Tail(run.events)

    def update(self) -> bool:
        """Take in what was added to the log, a quarter of a megabyte at most; whether there was anything. EdgeTuneError: it is damaged."""
        return self.take(self.read())

    def read(self) -> LocatedEvents:
        """What was added to the log, for `take`. It changes nothing that is shown: one thread may read while another draws."""
        return self._tail.placed(READ_BYTES)

    def take(self, located: LocatedEvents) -> bool:
        """Take in what was read; whether there was anything."""
        for offset, event in located:
            self._add(offset, event)
        fold((event for _, event in located), self.state)
        samples = self.state.samples
        if len(samples) > 2 * MAX_SAMPLES:
            first = samples[0]["step"]
            beginning = [sample for sample in samples[:MAX_SAMPLES] if sample["step"] == first]
            samples[:] = beginning + samples[len(beginning) - MAX_SAMPLES :]
        return bool(located)

    def _add(self, offset: int, event: dict[str, Any]) -> None:
        if event["kind"] != "step":
            self.news.append(len(self.places))
        self.places.append(offset)
        if event["kind"] == "step":
            self.epoch = event.get("epoch")
            for name in CURVES:
                self.curves[name].add(event["step"], event.get(name))
        elif event["kind"] == "evaluated":
            self.curves["eval_loss"].add(event["step"], event["loss"])

    @property
    def status(self) -> str:
        """The run's status now, whether or not its worker could say it; 'stopping' while it does what a request to stop asks for."""
        return launch.shown_status(self.run, self.state)

    def event(self, number: int) -> dict[str, Any]:
        """An event by its place in the log, counted from 0."""
        with open(self.run.events, "rb") as file:
            file.seek(self.places[number])
            value: dict[str, Any] = json.loads(file.readline())
        return value
