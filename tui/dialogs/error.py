"""A failure: what happened, why, and what to do next, to read and to copy."""

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.widgets import Button, Static

from edgetune.errors import EdgeTuneError
from edgetune.text import safe_text
from tui.cli_terms import in_app
from tui.dialogs.dialog import Dialog
from tui.keys import key


class ErrorDialog(Dialog[None]):
    """Shows an EdgeTuneError."""

    NAME = "Failure"
    ABOUT = "Something did not work. The dialog says why and what to do; copy it to ask somebody."
    AUTO_FOCUS = "#close"
    BINDINGS: ClassVar[list[BindingType]] = [key("error.copy", "c", "copy", "Copy", "Copy the whole message to the clipboard.")]

    def __init__(self, error: EdgeTuneError) -> None:
        super().__init__()
        self.title_shown, self.cause, self.remedy = (safe_text(in_app(part)) for part in (error.title, error.cause, error.remedy))

    def compose(self) -> ComposeResult:
        """Title, cause, remedy; copy and close."""
        box = VerticalScroll(classes="box failure")
        box.border_title = "Something went wrong"
        with box:
            yield Static(self.title_shown, markup=False, classes="error-title")
            if self.cause:
                yield Static("Why", classes="label")
                yield Static(self.cause, markup=False)
            if self.remedy:
                yield Static("What to do", classes="label")
                yield Static(self.remedy, markup=False, classes="remedy")
            with Horizontal(classes="buttons"):
                yield Button("Close", id="close", variant="primary", compact=True)
                yield Button("Copy (c)", id="copy", compact=True)

    @property
    def text(self) -> str:
        """The message as it is copied."""
        return "\n".join(part for part in (self.title_shown, self.cause, self.remedy) if part)

    def action_copy(self) -> None:
        """Put the message on the clipboard, through the terminal (OSC 52)."""
        self.app.copy_to_clipboard(self.text)
        self.notify("Copied.")

    def on_button_pressed(self, event: Button.Pressed) -> None:
        """The two buttons."""
        if event.button.id == "copy":
            self.action_copy()
        else:
            self.action_close()
