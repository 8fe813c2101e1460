"""The first line of a screen: where one is, and a word about it."""

from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.widgets import Static

from edgetune.text import one_line


class TopBar(Horizontal):
    """Title at the left, a note at the right; both plain text."""

    def __init__(self, title: str, note: str = "") -> None:
        super().__init__()
        self._title, self._note = title, note

    def compose(self) -> ComposeResult:
        """Two texts on one line."""
        yield Static(" EdgeTune ", id="brand", markup=False)
        yield Static(f" {self._title}", id="title", markup=False)
        yield Static(f"{self._note} ", id="note", markup=False)

    def title(self, text: str) -> None:
        """Change where one is."""
        self.query_one("#title", Static).update(f" {one_line(text, 100)}")

    def note(self, text: str) -> None:
        """Change the note."""
        self.query_one("#note", Static).update(f"{one_line(text, 160)} ")
