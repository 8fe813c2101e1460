"""What all dialogs share: a box in the middle, Escape for no."""

from typing import ClassVar, Generic, TypeVar

from textual.binding import BindingType
from textual.screen import ModalScreen

from tui.base_app import BaseApp, app_of
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
    def ours(self) -> BaseApp:
        """The app, as what it is."""
        return app_of(self)

    def action_close(self) -> None:
        """Leave without an answer."""
        self.dismiss(None)
