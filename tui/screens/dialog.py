"""What all dialogs share: a box in the middle, Escape for no."""

from typing import ClassVar, Generic, TypeVar, cast

from textual.binding import BindingType
from textual.screen import ModalScreen

from tui.app import EdgeTuneApp
from tui.keys import key
from tui.widgets.keys_line import KeysLine

T = TypeVar("T")


class Dialog(ModalScreen[T | None], Generic[T]):
    """A dialog that gives T, or None when it is left. NAME and ABOUT as on every screen."""

    NAME: ClassVar[str] = ""
    ABOUT: ClassVar[str] = ""
    BINDINGS: ClassVar[list[BindingType]] = [
        key("dialog.close", "escape", "close", "Close", "Leave the dialog."),
        key("app.help", "f1", "app.help", "Help", "What this screen is for, and its keys."),
    ]

    def on_mount(self) -> None:
        """Its keys stand where those of the screen below stood."""
        if not self.query(KeysLine):
            self.mount(KeysLine())

    @property
    def ours(self) -> EdgeTuneApp:
        """The app, as what it is."""
        return cast(EdgeTuneApp, self.app)

    def action_close(self) -> None:
        """Leave without an answer."""
        self.dismiss(None)
