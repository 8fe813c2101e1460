"""The app: its frame, its themes and keys, and what holds on every screen."""

import asyncio
import signal
import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from typing import Any, ClassVar

from textual.app import App, SystemCommand
from textual.binding import BindingType
from textual.screen import Screen
from textual.theme import Theme

from edgetune.storage.workspace import Workspace
from tui import background_writes
from tui.ascii_filter import Narrow
from tui.base_app import BaseApp
from tui.keys import key, own
from tui.navigation import open_screen
from tui.pages.page import Page
from tui.themes import DARK, LIGHT, THEMES

AGAIN = 2.0
"""Seconds in which a second Ctrl-C leaves."""
INTERRUPTED = 130


class EdgeTuneApp(BaseApp):
    """The terminal app on one workspace."""

    CSS_PATH = "edgetune.tcss"
    TITLE = "EdgeTune"
    COMMAND_PALETTE_BINDING = "ctrl+p"
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (110, "-wide"), (170, "-broad")]  # noqa: RUF012  (Textual declares it so)
    VERTICAL_BREAKPOINTS = [(0, "-low"), (30, "-high")]  # noqa: RUF012
    BINDINGS: ClassVar[list[BindingType]] = [
        key("app.help", "f1", "help", "Help", "What this screen is for, and its keys."),
        key("app.theme", "f2", "turn_theme", "Light or dark", "Switch between the dark and the light theme.", show=False),
        key("app.quit", "ctrl+q", "quit", "Quit", "Leave the app. Running jobs continue.", show=False, priority=True),
    ]

    def __init__(self, workspace: Workspace, ascii_only: bool = False) -> None:
        super().__init__(workspace, ascii_only)
        if ascii_only:
            self._filters.append(Narrow())
        own(self.settings.keys)
        for theme in THEMES:
            self.register_theme(theme)
        known = self.settings.theme if self.settings.theme in self.available_themes else DARK
        self.set_reactive(App.theme, known)  # before anything is styled: set later, all would be styled twice
        self.stylesheet.set_variables(self.get_css_variables())
        self._pressed = 0.0

    def on_mount(self) -> None:
        """Keys of the user's own, signals, and the first screen."""
        self.set_keymap(self.settings.keys)
        self.theme_changed_signal.subscribe(self, self.recolour)
        self._leave_on_signals()
        open_screen(self, "home")

    def _leave_on_signals(self) -> None:
        """TERM and HUP leave as Ctrl-Q does: Textual itself would leave the terminal raw."""
        if self.is_headless or threading.current_thread() is not threading.main_thread():
            return
        for name in ("SIGTERM", "SIGHUP", "SIGINT"):
            with suppress(AttributeError, NotImplementedError):  # Windows has neither HUP nor handlers in the loop
                asyncio.get_running_loop().add_signal_handler(getattr(signal, name), self.exit, None, INTERRUPTED)

    def get_system_commands(self, screen: Screen[Any]) -> Iterable[SystemCommand]:
        """What the palette offers: every key of the screen and of what is focused that does something now."""
        offered = set()
        for active in screen.active_bindings.values():
            binding = active.binding
            entry = (binding.description, binding.tooltip)
            if not active.enabled or binding.system or not binding.tooltip or entry in offered:
                continue
            offered.add(entry)
            action, node = binding.action, active.node

            async def call(action: str = action, node: Any = node) -> None:
                await self.run_action(action, node)

            yield SystemCommand(binding.description, binding.tooltip, call)
        yield SystemCommand("Theme", "Choose among all themes.", self.action_change_theme)

    def action_turn_theme(self) -> None:
        """Dark to light, or back."""
        self.theme = LIGHT if self.current_theme.dark else DARK

    def watch_theme(self, theme: str) -> None:
        """A chosen theme is kept."""
        if self.is_running and theme != self.settings.theme:
            self.settings.theme = theme
            background_writes.soon(self.settings.save, self.settings_path)

    def recolour(self, theme: Theme) -> None:
        """Another theme: screens redraw what has colours of its own."""
        for screen in self.screen_stack:
            if isinstance(screen, Page) and screen.is_mounted:
                screen.recolour()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """No help on the help."""
        return not (action == "help" and self.screen_stack and getattr(self.screen, "IS_HELP", False))

    def action_help(self) -> None:
        """Show the help of the screen that is open."""
        open_screen(self, "help", self.screen)

    def action_help_quit(self) -> None:
        """Ctrl-C: pressed twice it leaves, for that is what people try first."""
        now = time.monotonic()
        if now - self._pressed < AGAIN:
            self.exit(return_code=INTERRUPTED)
        self._pressed = now
        self.notify("Press Ctrl+C again to leave; running jobs continue.", timeout=AGAIN)
