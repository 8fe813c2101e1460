"""Data: look at any file of examples, without making a run of it."""

from collections.abc import Iterable
from typing import ClassVar

from textual.binding import BindingType
from textual.widget import Widget
from textual.widgets import Static

from tui import draft as drafts
from tui.keys import key
from tui.pages.page import Page
from tui.steps.data import DataStep


class Looked(DataStep):
    """Files and their X-ray; nothing of it is kept."""

    def changed(self) -> None:
        """A look changes nothing."""


class Data(Page):
    """Shows files of examples."""

    NAME = "Data"
    ABOUT = (
        "Checks a file of examples: what a run would learn from it, and what is wrong with it; "
        "and its rows as the model sees them, what the model learns in green. Tokens are those of the base chosen last."
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        key("page.help", "question_mark", "app.help", "Help", "What this screen is for, and its keys.", show=False)
    ]

    def body(self) -> Iterable[Widget]:
        """What to do, and the files."""
        base = drafts.load_draft(self.workspace).base or "nano"
        yield Static(f"Enter on a file looks at it. Tokens as {base} reads them.", id="about", markup=False)
        yield Looked(drafts.Draft(base=base))

    def recolour(self) -> None:
        """Report and row."""
        self.query_one(Looked).recolour()

    def on_mount(self) -> None:
        """The files have the focus."""
        self.query_one(Looked).enter()
