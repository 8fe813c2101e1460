"""Settings: theme, folders of models, where things lie, and every key with its name."""

from collections.abc import Iterable
from typing import Any, ClassVar

from textual import on, work
from textual.binding import Binding, BindingType
from textual.widget import Widget
from textual.widgets import Static

from tui.attempt import in_thread, shown
from tui.keys import key
from tui.screens.ask import AskText
from tui.screens.choose import Choose
from tui.screens.page import Page
from tui.widgets.listing import Line, Listing


class SettingsScreen(Page):
    """Changes what the app remembers."""

    NAME = "Settings"
    ABOUT = "What the app remembers. Enter changes the marked setting. All of it stands in the workspace's app.json."
    BINDINGS: ClassVar[list[BindingType]] = [
        key("settings.reset", "u,backspace", "reset", "As usual", "Put the marked setting back to what it usually is."),
        key("page.help", "question_mark", "app.help", "Help", "What this screen is for, and its keys.", show=False),
    ]

    def body(self) -> Iterable[Widget]:
        """Settings as a list."""
        listing = Listing("setting", "value", "what it is", id="settings")
        listing.border_title = "Settings"
        yield listing
        yield Static("", id="hint", markup=False)

    def on_mount(self) -> None:
        """Show them."""
        self.draw()
        self.query_one(Listing).table.focus()
        self.query_one("#hint", Static).update(f"Workspace: {self.workspace.path}\nThe network is never used.")

    def draw(self) -> None:
        """The settings as they are."""
        kept = self.ours.settings
        lines = [
            Line("theme", ("theme", self.app.theme, "colours; F2 switches between dark and light")),
            Line("folders", ("folders", ", ".join(kept.folders) or "-", "where to look for models, beside the usual places")),
        ]
        for binding in bindings():
            name = binding.id or ""
            lines.append(Line(f"key {name}", (f"key {name}", kept.keys.get(name, binding.key), binding.tooltip or binding.description)))
        self.query_one(Listing).show(lines)

    @on(Listing.Chosen)
    @work(group="dialog")
    @shown
    async def change(self, event: Listing.Chosen) -> None:
        """Ask for another value."""
        kept, name = self.ours.settings, event.key
        if name == "theme":
            names = sorted(self.app.available_themes)
            if found := await self.app.push_screen_wait(Choose("Theme", names, self.app.theme)):
                self.app.theme = found
        elif name == "folders":
            text = await self.app.push_screen_wait(AskText("Folders, with commas between them", ", ".join(kept.folders)))
            if text is not None:
                kept.folders = [part.strip() for part in text.split(",") if part.strip()]
        else:
            question = f"Keys for {name.removeprefix('key ')}, with commas between them"
            text = await self.app.push_screen_wait(AskText(question, self.key_of(name)))
            if text:
                kept.keys[name.removeprefix("key ")] = text.replace(" ", "")
        await self.keep()

    def key_of(self, name: str) -> str:
        """The keys an action has now."""
        found = next(binding for binding in bindings() if f"key {binding.id}" == name)
        return self.ours.settings.keys.get(found.id or "", found.key)

    @work
    @shown
    async def action_reset(self) -> None:
        """As it usually is."""
        kept, name = self.ours.settings, self.query_one(Listing).current or ""
        if name == "folders":
            kept.folders = []
        kept.keys.pop(name.removeprefix("key "), None)
        await self.keep()

    async def keep(self) -> None:
        """Write them, use them, show them."""
        await in_thread(self.ours.settings.save, self.ours.settings_path)
        self.app.set_keymap(self.ours.settings.keys)
        self.draw()


def bindings() -> list[Binding]:
    """Every key of the app that has a name, each once."""
    from tui.app import EdgeTuneApp
    from tui.screens.chat import Chat
    from tui.screens.compare import Compare
    from tui.screens.export import Export
    from tui.screens.home import Home
    from tui.screens.new_run import STEPS, NewRun
    from tui.screens.run import RunScreen
    from tui.screens.versus import Versus
    from tui.widgets.event_list import EventList

    found: dict[str, Binding] = {}
    owners: tuple[Any, ...] = (EdgeTuneApp, Page, Home, NewRun, *STEPS, RunScreen, Compare, EventList, Export, Chat, Versus, Listing)
    for owner in owners:
        for binding in owner.BINDINGS:
            if isinstance(binding, Binding) and binding.id:
                found.setdefault(binding.id, binding)
    return list(found.values())
