"""Screens by name: whoever opens one names it here and imports none, so that no screen depends on another.

A screen's module is imported when it is first opened, which keeps the way to the app's first screen short.
"""

from importlib import import_module
from typing import Any

from textual.app import App
from textual.screen import Screen

SCREENS = {
    "arena": "tui.screens.arena:ArenaScreen",
    "arena_setup": "tui.screens.arena_setup:ArenaSetup",
    "chat": "tui.screens.chat:Chat",
    "compare": "tui.screens.compare:Compare",
    "data": "tui.screens.data:Data",
    "doctor": "tui.screens.doctor:Doctor",
    "error": "tui.dialogs.error:ErrorDialog",
    "export": "tui.screens.export:Export",
    "help": "tui.dialogs.help:Help",
    "home": "tui.screens.home:Home",
    "new_run": "tui.screens.new_run:NewRun",
    "rank": "tui.screens.rank:Rank",
    "rank_setup": "tui.screens.rank_setup:RankSetup",
    "run": "tui.screens.run:RunScreen",
    "settings": "tui.screens.settings:SettingsScreen",
    "versus": "tui.screens.versus:Versus",
}
"""Where each screen is defined, as MODULE:CLASS. What a screen needs to know is its constructor's business."""


def create(name: str, *values: Any) -> Screen[Any]:
    """A new screen of that name, made with the values that its class takes. KeyError for a name that is not in SCREENS."""
    module, _, screen = SCREENS[name].partition(":")
    created: Screen[Any] = getattr(import_module(module), screen)(*values)
    return created


def open_screen(app: App[Any], name: str, *values: Any) -> None:
    """Show a screen in front of the one that is open; Escape comes back to that."""
    app.push_screen(create(name, *values))


def replace_screen(app: App[Any], name: str, *values: Any) -> None:
    """Show a screen instead of the one that is open."""
    app.switch_screen(create(name, *values))
