"""What screens and widgets may ask of the app: its workspace, its settings, and a toast."""

from pathlib import Path
from typing import Any

from textual.app import App
from textual.notifications import SeverityLevel

from edgetune.storage.workspace import Workspace
from tui import settings


class BaseApp(App[None]):
    """The app as everything below it knows it; `tui.app` adds the frame, the keys and the first screen."""

    def __init__(self, workspace: Workspace, ascii_only: bool = False) -> None:
        super().__init__()
        self.workspace, self.ascii_only = workspace, ascii_only
        self.settings = settings.load_settings(self.settings_path)

    @property
    def settings_path(self) -> Path:
        """Where the app keeps its settings."""
        return self.workspace.path / "app.json"

    def say(self, text: str, severity: SeverityLevel = "information") -> None:
        """A toast. The text is shown as it is: no markup, nothing that drives a terminal."""
        from edgetune.text import safe_text

        self.clear_notifications()  # one at a time: they would hide what they speak of
        self.notify(safe_text(text), severity=severity, markup=False)


def app_of(node: Any) -> BaseApp:
    """The app that a screen or widget belongs to."""
    app = node.app
    assert isinstance(app, BaseApp)
    return app
