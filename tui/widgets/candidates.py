"""Answers side by side to choose between; stacked where the terminal is narrow."""

from collections.abc import Sequence

from textual.app import ComposeResult
from textual.containers import Container, VerticalScroll
from textual.events import Click
from textual.message import Message
from textual.widgets import Static

from edgetune.text import safe_text

PLACES = ("best", "2nd", "3rd", "4th")


class Candidate(VerticalScroll):
    """One answer. Posts Picked when it is clicked."""

    can_focus = True

    class Picked(Message):
        """This answer was clicked."""

        def __init__(self, number: int) -> None:
            super().__init__()
            self.number = number

    def __init__(self, number: int) -> None:
        super().__init__(classes="panel candidate")
        self.number = number
        self._text: str | None = None

    def compose(self) -> ComposeResult:
        """The text."""
        yield Static("", markup=False)

    def on_mount(self) -> None:
        """Its number, which is its key."""
        self.place(None)

    def show(self, text: str) -> None:
        """Show a text as it is: it is never markup."""
        if text != self._text:
            self._text = text
            self.query_one(Static).update(safe_text(text))

    def place(self, place: int | None, note: str = "") -> None:
        """Where it was put, from 0 for the best."""
        word = "" if place is None else f" {PLACES[place]}"
        self.border_title = f"{self.number + 1}{word}"
        self.border_subtitle = note
        self.set_class(place is not None, "-placed")
        self.set_class(place == 0, "-best")

    def on_click(self, event: Click) -> None:
        """The same as its key."""
        event.stop()
        self.post_message(self.Picked(self.number))


class Candidates(Container):
    """Up to four answers."""

    def compose(self) -> ComposeResult:
        """Places for four."""
        for number in range(4):
            yield Candidate(number)

    def on_mount(self) -> None:
        """Nothing yet."""
        self.show([])

    @property
    def all(self) -> list[Candidate]:
        """The four places."""
        return list(self.query(Candidate))

    def show(self, texts: Sequence[str]) -> None:
        """Show these; the other places are not there."""
        for panel, text in zip(self.all, [*texts, *[None] * 4], strict=False):
            panel.display = text is not None
            if text is not None:
                panel.show(text)

    def rank(self, order: Sequence[int]) -> None:
        """Mark the order so far: numbers from the best on."""
        for panel in self.all:
            panel.place(order.index(panel.number) if panel.number in order else None)
