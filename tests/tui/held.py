"""Functions that stand still, so that a screen can be seen while it waits for them."""

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from edgetune.chat.conversation import Answer
from edgetune.chat.model_info import GenerationStats

Hold = Callable[[Any, str], threading.Event]
PATIENCE = 60.0
"""Seconds after which what is held goes on by itself: a test that failed must end."""


@pytest.fixture
def hold(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hold]:
    """Makes `owner.name`, called in a thread, wait until the event that this gives is set; then it is as it was."""
    events: list[threading.Event] = []

    def stop(owner: Any, name: str) -> threading.Event:
        real, go = getattr(owner, name), threading.Event()
        events.append(go)

        def waits(*args: Any, **options: Any) -> Any:
            go.wait(PATIENCE)
            return real(*args, **options)

        monkeypatch.setattr(owner, name, waits)
        return go

    yield stop
    for go in events:
        go.set()


class Halting:
    """Answers that stop after `SIGNS` signs, from `halt` on until `go`."""

    SIGNS = 28

    def __init__(self) -> None:
        self._going = threading.Event()
        self._going.set()

    def halt(self) -> None:
        """The next answers stop."""
        self._going.clear()

    def go(self) -> None:
        """All go on."""
        self._going.set()

    def of(self, pieces: Iterator[str]) -> Iterator[str]:
        """An answer that stops."""
        left = self.SIGNS
        for piece in pieces:
            yield piece[:left]
            if len(piece) > left:
                self._going.wait(PATIENCE)
            yield piece[left:]
            left = max(left - len(piece), 0)


@pytest.fixture
def halting(monkeypatch: pytest.MonkeyPatch) -> Iterator[Halting]:
    """Answers of real models that can be halted."""
    made, real = Halting(), Answer.__iter__
    monkeypatch.setattr(Answer, "__iter__", lambda answer: made.of(real(answer)))
    yield made
    made.go()


@pytest.fixture
def steady(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every answer comes as fast as the next: a figure with more digits would move what stands after it."""
    monkeypatch.setattr(GenerationStats, "tokens_per_second", property(lambda stats: 1234.0))
