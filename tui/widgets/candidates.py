"""Answers side by side to choose between or to put in order; stacked where the terminal is narrow."""

from collections.abc import Sequence

from textual.app import ComposeResult
from textual.containers import Container, VerticalScroll
from textual.events import Click, MouseDown, MouseUp
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
        self.set_rank(None)

    def show(self, text: str) -> None:
        """Show a text as it is: it is never markup."""
        if text != self._text:
            self._text = text
            self.query_one(Static).update(safe_text(text))

    def set_rank(self, rank: int | None, note: str = "") -> None:
        """Where it was put, from 0 for the best."""
        word = "" if rank is None else f" {PLACES[rank]}"
        self.border_title = f"{self.number + 1}{word}"
        self.border_subtitle = note
        self.set_class(rank is not None, "-placed")
        self.set_class(rank == 0, "-best")

    def on_click(self, event: Click) -> None:
        """The same as its key."""
        event.stop()
        self.post_message(self.Picked(self.number))

    @property
    def allow_select(self) -> bool:
        """Where answers are dragged, the mouse selects no text."""
        return not self.movable

    @property
    def movable(self) -> bool:
        """Whether it can be dragged."""
        return isinstance(self.parent, Candidates) and self.parent.movable


class Candidates(Container):
    """Up to four answers. movable: one dragged onto another takes its place, and Moved tells the order that is shown then."""

    class Moved(Message):
        """An answer was dragged: the numbers from the first place on."""

        def __init__(self, order: list[int]) -> None:
            super().__init__()
            self.order = order

    def __init__(self, id: str | None = None, movable: bool = False) -> None:
        super().__init__(id=id)
        self.movable = movable
        self._held: Candidate | None = None

    def on_mouse_down(self, event: MouseDown) -> None:
        """It may be the begin of a drag."""
        self._held = self._at(event) if self.movable else None

    def on_mouse_up(self, event: MouseUp) -> None:
        """Over another answer it was a drag."""
        held, self._held = self._held, None
        over = self._at(event)
        if held and over and held is not over:
            places = self.all
            after = places.index(held) < places.index(over)
            self.move_child(held, after=over) if after else self.move_child(held, before=over)
            self.post_message(self.Moved([panel.number for panel in self.all if panel.display]))

    def _at(self, event: MouseDown | MouseUp) -> Candidate | None:
        return next((panel for panel in self.all if panel.display and panel.region.contains(*event.screen_offset)), None)

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
        self.sort()
        for panel, text in zip(self.all, [*texts, *[None] * 4], strict=False):
            panel.display = text is not None
            if text is not None:
                panel.show(text)

    def sort(self) -> None:
        """Each where its number is."""
        self.sort_children(key=lambda panel: panel.number if isinstance(panel, Candidate) else 0)

    def rank(self, order: Sequence[int]) -> None:
        """Mark the order so far: numbers from the best on."""
        for panel in self.all:
            panel.set_rank(order.index(panel.number) if panel.number in order else None)
