"""An answer as it should have been."""

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.widgets import Static, TextArea

from edgetune.text import safe_text
from tui.dialogs.dialog import Dialog
from tui.keys import key, with_keys


class EditAnswer(Dialog[str]):
    """Gives the changed text."""

    NAME = "Edit the answer"
    ABOUT = "Write it as you would have wanted it: your version is then the chosen one, the model's the rejected one."
    BINDINGS: ClassVar[list[BindingType]] = [key("edit.keep", "ctrl+s", "keep", "OK", "Vote for this version.", priority=True)]

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = safe_text(text)

    def compose(self) -> ComposeResult:
        """The text, to be changed."""
        with Vertical(classes="box edit") as box:
            box.border_title, box.border_subtitle = self.NAME, with_keys("{edit.keep}: OK, {dialog.close}: cancel")
            yield Static("Your version is chosen, the model's is rejected.", classes="how", markup=False)
            yield TextArea(self.text, soft_wrap=True, show_line_numbers=False, compact=True)

    def on_mount(self) -> None:
        """At the end of the text."""
        area = self.query_one(TextArea)
        area.focus()
        area.move_cursor(area.document.end)

    def action_keep(self) -> None:
        """Give it."""
        self.dismiss(self.query_one(TextArea).text.strip())
