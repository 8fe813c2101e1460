"""One of a few."""

from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import OptionList
from textual.widgets.option_list import Option

from edgetune.text import one_line
from tui.dialogs.dialog import Dialog
from tui.keys import with_keys


class Choose(Dialog[str]):
    """Asks for one of a few values."""

    NAME = "Choose"
    ABOUT = "Enter chooses the selected value."

    def __init__(self, question: str, values: list[str], now: str = "") -> None:
        super().__init__()
        self.question, self.values, self.now = question, values, now

    def compose(self) -> ComposeResult:
        """The values, the one that holds now marked."""
        with Vertical(classes="box") as box:
            box.border_title, box.border_subtitle = (
                Content(one_line(self.question, 66)),
                with_keys("Enter: OK, {dialog.close}: cancel"),
            )
            yield OptionList(*(Option(one_line(value, 80), id=f"v{number}") for number, value in enumerate(self.values)), markup=False)

    def on_mount(self) -> None:
        """Mark the one that holds now."""
        self.query_one(OptionList).highlighted = self.values.index(self.now) if self.now in self.values else 0

    @on(OptionList.OptionSelected)
    def chosen(self, event: OptionList.OptionSelected) -> None:
        """Enter."""
        self.dismiss(self.values[event.option_index])
