"""What every screen of the app shares: a line on top, the body, the keys below, and help made from its declarations."""

from collections.abc import Iterable
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.screen import Screen
from textual.widget import Widget

from edgetune.storage.workspace import Workspace
from tui.base_app import BaseApp, app_of
from tui.keys import key
from tui.widgets.keys_line import KeysLine
from tui.widgets.top_bar import TopBar


class Page(Screen[None]):
    """A full screen. NAME: its name for people. ABOUT: what it is for, in the help. Escape goes back to the one before."""

    NAME: ClassVar[str] = ""
    ABOUT: ClassVar[str] = ""
    AUTO_FOCUS = None
    BINDINGS: ClassVar[list[BindingType]] = [key("page.back", "escape", "back", "Back", "Back to the previous screen.")]

    @property
    def ours(self) -> BaseApp:
        """The app, as what it is."""
        return app_of(self)

    @property
    def workspace(self) -> Workspace:
        """The workspace that is shown."""
        return self.ours.workspace

    @property
    def bar(self) -> TopBar:
        """The line on top."""
        return self.query_one(TopBar)

    def recolour(self) -> None:
        """Another theme: what was drawn with colours of the one before is drawn again."""

    def compose(self) -> ComposeResult:
        """The frame around the body."""
        yield TopBar(self.NAME)
        yield from self.body()
        yield KeysLine()

    def body(self) -> Iterable[Widget]:
        """What the screen shows."""
        return ()

    def action_back(self) -> None:
        """Leave this screen."""
        self.app.pop_screen()
