"""What the steps of a new run share."""

from typing import ClassVar

from textual.containers import Vertical

from edgetune.storage.workspace import Workspace
from tui.base_app import BaseApp, app_of
from tui.draft import Draft


class Step(Vertical):
    """One step. TITLE: its name. ABOUT: what to do here. It changes the draft; `lacking` says what is still missing."""

    TITLE: ClassVar[str] = ""
    ABOUT: ClassVar[str] = ""

    def __init__(self, draft: Draft) -> None:
        super().__init__(classes="step")
        self.draft = draft

    @property
    def ours(self) -> BaseApp:
        """The app, as what it is."""
        return app_of(self)

    @property
    def workspace(self) -> Workspace:
        """The workspace."""
        return self.ours.workspace

    def lacking(self) -> str:
        """What is missing before the next step, in words; empty when nothing is."""
        return ""

    def enter(self) -> None:
        """Take the focus where it belongs."""

    def recolour(self) -> None:
        """Another theme: what was drawn with colours of the one before is drawn again."""

    def changed(self) -> None:
        """Keep the draft as it is now."""
        self.draft.save(self.workspace)
