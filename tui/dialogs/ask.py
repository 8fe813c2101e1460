"""Two questions a dialog can ask: yes or no for what cannot be undone, and a short text."""

from collections.abc import Callable
from typing import ClassVar, Literal

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.widgets import Button, Input, Static

from edgetune.errors import EdgeTuneError
from edgetune.text import safe_text
from tui.dialogs.dialog import Dialog
from tui.keys import key, with_keys


class Confirm(Dialog[bool]):
    """Asks before what cannot be undone; 'no' has the focus."""

    NAME = "Are you sure?"
    ABOUT = "This cannot be undone."
    VARIANT: ClassVar[Literal["error", "primary"]] = "error"
    BINDINGS: ClassVar[list[BindingType]] = [
        key("confirm.yes", "y", "yes", "Yes", "Do it."),
        key("confirm.no", "n", "close", "No", "Leave it."),
    ]

    def __init__(self, question: str, yes: str) -> None:
        super().__init__()
        self.question, self.yes = question, yes

    def compose(self) -> ComposeResult:
        """The question and two buttons."""
        with Vertical(classes="box warning"):
            yield Static(safe_text(self.question), markup=False)
            with Horizontal(classes="buttons"):
                yield Button("No (n)", id="no", compact=True)
                yield Button(f"{self.yes} (y)", id="yes", variant=self.VARIANT, compact=True)

    def action_yes(self) -> None:
        """Yes."""
        self.dismiss(True)

    def on_button_pressed(self, event: Button.Pressed) -> None:
        """Either button."""
        self.dismiss(event.button.id == "yes" or None)


class Consent(Confirm):
    """Asks before the network is used."""

    NAME = "Use the network?"
    ABOUT = "Nothing is fetched before you say yes. A partial download is kept, and the next try resumes it."
    VARIANT = "primary"


class AskText(Dialog[str]):
    """Asks for one line; `check` raises an EdgeTuneError for what cannot be, which is shown below the line."""

    NAME = "A short text"
    ABOUT = "Type it and press Enter."

    def __init__(self, question: str, value: str = "", check: Callable[[str], object] = lambda _text: None) -> None:
        super().__init__()
        self.question, self.value, self.check = question, value, check

    def compose(self) -> ComposeResult:
        """The question, the line, and what is wrong with it."""
        with Vertical(classes="box asks") as box:
            box.border_subtitle = with_keys("Enter: OK, {dialog.close}: cancel")
            yield Static(safe_text(self.question), markup=False, classes="label")
            yield Input(self.value)
            yield Static("", markup=False, classes="wrong")

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Enter: give it, if it can be."""
        try:
            self.check(event.value)
        except EdgeTuneError as error:
            self.query_one(".wrong", Static).update(safe_text(f"{error.title}. {error.cause} {error.remedy}"))
        else:
            self.dismiss(event.value)
