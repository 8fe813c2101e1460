"""Settings: theme, folders of models, where things lie, and every key with its name."""

import pkgutil
from collections.abc import Iterable, Sequence
from functools import cache
from importlib import import_module
from typing import ClassVar

from textual import on, work
from textual.binding import Binding, BindingType
from textual.widget import Widget
from textual.widgets import Static

from edgetune.bases import folders
from edgetune.bases.hub import NETWORK_NOTE
from edgetune.text import safe_text
from tui import background_writes
from tui.dialogs.ask import AskText
from tui.dialogs.choose import Choose
from tui.error_handling import run_in_thread, show_errors
from tui.keys import key, own, shown_key, typed, with_keys
from tui.pages.page import Page
from tui.themes import DARK
from tui.widgets.listing import Line, Listing


class SettingsScreen(Page):
    """Changes what the app remembers."""

    NAME = "Settings"
    ABOUT = (
        "What the app remembers. Enter changes the selected setting. "
        "Settings are kept in app.json in the workspace, folders in folders.json."
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        key("settings.reset", "u,backspace", "reset", "Reset to default", "Put the selected setting back to its default."),
        key("page.help", "question_mark", "app.help", "Help", "What this screen is for, and its keys.", show=False),
    ]

    def body(self) -> Iterable[Widget]:
        """Settings as a list."""
        listing = Listing("setting", "key or value", "what it is", id="settings")
        listing.border_title = "Settings"
        yield listing
        yield Static("", id="hint", markup=False)

    def on_mount(self) -> None:
        """Show them."""
        self.draw()
        self.query_one(Listing).table.focus()

    @on(Listing.Moved)
    def moved(self, event: Listing.Moved) -> None:
        """What the selected one is for, what it is called in app.json, and where that is."""
        name = event.key.removeprefix("key ")
        file = "folders.json" if name == "folders" else f"{name} in app.json, {'keys' if name != event.key else 'settings'}"
        text = f"{self.about.get(event.key, '')}\n{file}.  Workspace: {self.workspace.path}\nThe network is {NETWORK_NOTE}."
        self.query_one("#hint", Static).update(safe_text(text))

    def draw(self) -> None:
        """The settings as they are."""
        own_keys, listed = self.ours.settings.keys, folders.listed_folders(self.workspace)
        lines = [
            Line("theme", ("theme", self.app.theme, with_keys("Colors; {app.theme} switches between dark and light."))),
            Line("folders", ("folders", ", ".join(listed) or "-", "Where to look for models, besides the usual folders.")),
        ]
        for binding in bindings():
            name = binding.id or ""
            keys = ", ".join(shown_key(part) for part in own_keys.get(name, binding.key).split(","))
            where = name.split(".")[0].capitalize()
            lines.append(Line(f"key {name}", (f"{where}: {binding.description}", keys, binding.tooltip or ""), name))
        self.about = {line.key: str(line.cells[-1]) for line in lines}
        self.query_one(Listing).show(lines)

    @on(Listing.Chosen)
    @work(group="dialog")
    @show_errors
    async def change(self, event: Listing.Chosen) -> None:
        """Ask for another value."""
        settings, name = self.ours.settings, event.key
        if name == "theme":
            names = sorted(self.app.available_themes)
            if theme := await self.app.push_screen_wait(Choose("Theme", names, self.app.theme)):
                self.app.theme = theme
        elif name == "folders":
            known = folders.listed_folders(self.workspace)
            dialog = AskText("Folders, with commas between them", ", ".join(known), lambda text: typed_folders(text, known))
            text = await self.app.push_screen_wait(dialog)
            if text is not None:
                await run_in_thread(folders.save_folders, self.workspace, typed_folders(text, known))
        else:
            question = f"Keys for {name.removeprefix('key ')}, with commas between them"
            text = await self.app.push_screen_wait(AskText(question, self.key_of(name), typed))
            if text and typed(text):
                settings.keys[name.removeprefix("key ")] = typed(text)
                self._lost(name.removeprefix("key "))

        # Whatever was changed is used and written at once.
        await self.keep()

    def _lost(self, name: str) -> None:
        """Say which actions of the same screen lose a key to this one."""
        own_keys = self.ours.settings.keys

        def keys(binding: Binding) -> set[str]:
            return set(own_keys.get(binding.id or "", binding.key).split(","))

        for owner in declared().values():
            changed = next((binding for binding in owner if binding.id == name), None)
            for other in owner if changed else ():
                if other is not changed and changed and (both := keys(other) & keys(changed)):
                    self.ours.say(f"{', '.join(both)} was the key of {other.description} there, which has none now.", "warning")

    def key_of(self, name: str) -> str:
        """The keys an action has now."""
        binding = next(each for each in bindings() if f"key {each.id}" == name)
        return self.ours.settings.keys.get(binding.id or "", binding.key)

    @work
    @show_errors
    async def action_reset(self) -> None:
        """As it usually is."""
        settings, name = self.ours.settings, self.query_one(Listing).current or ""
        if name == "folders":
            await run_in_thread(folders.save_folders, self.workspace, [])
        elif name == "theme":
            self.app.theme = settings.theme = DARK
        settings.keys.pop(name.removeprefix("key "), None)
        await self.keep()

    async def keep(self) -> None:
        """Write them, use them, show them."""
        await run_in_thread(background_writes.done)  # a theme that was chosen is being kept
        await run_in_thread(self.ours.settings.save, self.ours.settings_path)
        own(self.ours.settings.keys)
        self.app.set_keymap(self.ours.settings.keys)
        self.draw()


def typed_folders(text: str, known: Sequence[str] = ()) -> list[str]:
    """Folders with commas between, by their full paths; known ones may be away. Raises InputError naming the first other that is none."""
    parts = [part.strip() for part in text.split(",") if part.strip()]
    return [part if part in known else folders.full_path(part) for part in parts]


@cache
def declared() -> dict[str, list[Binding]]:
    """The keys with a name that each screen and widget of the app declares, by module and class."""
    import tui

    by_owner: dict[str, list[Binding]] = {}
    for module in pkgutil.walk_packages(tui.__path__, "tui."):
        for owner in vars(import_module(module.name)).values():
            if isinstance(owner, type) and owner.__module__ == module.name:
                named = [each for each in vars(owner).get("BINDINGS", ()) if isinstance(each, Binding) and each.id]
                if named:
                    by_owner[f"{owner.__module__}.{owner.__qualname__}"] = named
    return by_owner


def bindings() -> list[Binding]:
    """Every key of the app that has a name, each once: those that hold everywhere first."""
    by_name: dict[str, Binding] = {}
    for owner in declared().values():
        for binding in owner:
            by_name.setdefault(binding.id or "", binding)

    def group(binding: Binding) -> tuple[bool, str]:
        name = (binding.id or "").split(".")[0]
        return name not in ("app", "page", "home"), name

    return sorted(by_name.values(), key=group)
