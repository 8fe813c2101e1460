"""Home: this machine, the runs with what they do now, the exports and the bases found on disk."""

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import ClassVar

from textual import on, work
from textual.binding import BindingType
from textual.containers import Horizontal
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Static

from edgetune.bases import find, folders
from edgetune.formatting import format_size
from edgetune.machine import hardware
from edgetune.runs import manage
from edgetune.runs.overview import Overview, Seen
from edgetune.storage.files import safe_name
from edgetune.text import one_line
from tui import background_writes, tables
from tui.dialogs.ask import AskText, Confirm
from tui.error_handling import run_in_thread, show_errors
from tui.keys import key, with_keys
from tui.navigation import open_screen
from tui.pages.page import Page
from tui.widgets.listing import Listing
from tui.widgets.tour import Tour

EVERY = 1.0
"""Seconds between two looks at the runs."""
TOGETHER = 0.3
"""Seconds that runs wait for bases, to be drawn at once."""
NO_RUNS = """No runs yet.

Press  [b $accent]$trying[/]  to try it: the bundled model learns about a lighthouse,
which takes about three minutes on a laptop.

Press  [b $accent]$new[/]  for a new run with your own examples."""


def _exports(seen: list[Seen]) -> list[tuple[Path, int]]:
    """The GGUF files of runs with their sizes, but for those that vanish this moment."""
    files = []
    for path in (path for run in seen for path in manage.exports(run.run)):
        with suppress(OSError):
            files.append((path, path.stat().st_size))
    return files


class Home(Page):
    """The first screen."""

    NAME = "Home"
    ABOUT = (
        "Your runs with what they do now, the GGUF files made from them, and the base models found on this machine. "
        "Enter opens the selected item: a run, a chat with an export, a new run with a base. Running jobs continue when the app is closed."
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        key("home.new", "n", "new", "New run", "Teach a model from your examples, step by step."),
        key("home.try", "t", "try_it", "Try it", "Train the bundled model on the bundled examples: about three minutes."),
        key("home.chat", "c", "chat", "Chat", "Chat with the selected run or export."),
        key("home.export", "e", "export", "Export", "Write the selected run as GGUF files."),
        key("home.versus", "b", "versus", "Base and tuned", "The same question to the selected run and to its base.", show=False),
        key(
            "home.rank",
            "k",
            "screen('rank_setup')",
            "Rank",
            "Rank answers to teach the model what you like.",
        ),
        key("home.arena", "a", "screen('arena_setup')", "Arena", "Blind test of two or more models, with a margin of error."),
        key("home.rename", "r", "rename", "Rename", "Give the selected run another name.", show=False),
        key("home.compare", "v", "compare", "Compare", "Compare the selected run with another run.", show=False),
        key("home.delete", "d,delete", "delete", "Delete", "Delete the selected run and all its files.", show=False),
        key("home.prune", "p", "prune", "Free space", "Remove old checkpoints, caches and leftovers.", show=False),
        key("home.data", "x", "screen('data')", "Data", "Look at a file of examples without making a run.", show=False),
        key("home.doctor", "o", "screen('doctor')", "Doctor", "What this machine has, and what would be used.", show=False),
        key("home.settings", "s", "screen('settings')", "Settings", "Theme, folders of models, keys.", show=False),
        key("home.tour", "f4", "tour", "Tour", "A short tour of the app, in four steps.", show=False),
        key("tour.next", "space", "tour_next", "Next of the tour", "The next step of the tour.", show=False),
        key("tour.skip", "escape", "tour_skip", "Skip the tour", "End the tour; its key begins it again.", show=False),
        key("home.quit", "q", "app.quit", "Quit", "Leave the app. Running jobs continue."),
        key("page.help", "question_mark", "app.help", "Help", "What this screen is for, and its keys.", show=False),
    ]

    def __init__(self) -> None:
        super().__init__()
        self.runs: dict[str, Seen] = {}
        self._exports: list[tuple[Path, int]] = []
        self._busy = self._looked = False
        self._one_look = asyncio.Lock()

    def body(self) -> Iterable[Widget]:
        """The machine's line, three lists."""
        yield Static("looking at this machine …", id="machine", markup=False)
        columns = ("run", "state", "step", "loss", "held-out loss", "base", "size")
        runs = self.run_list = Listing(*columns, id="runs", empty="looking for runs …", gives=0)
        runs.border_title = "Runs"
        exports = self.export_list = Listing("export", "size", id="exports", empty="looking for exports …", gives=0)
        exports.border_title = "Exports"
        bases = self.base_list = Listing("base", "parameters", "size", "context", id="bases", empty="looking for models …", gives=0)
        bases.border_title, bases.border_subtitle = "Bases on this machine", "Enter trains it"
        if not self.ours.settings.toured:
            yield Tour(id="tour")
        yield runs
        yield Horizontal(exports, bases, id="below")

    def on_mount(self) -> None:
        """Begin to look."""
        self.overview = Overview(self.workspace)
        self.bar.note("offline")
        self.look(bases=True)
        self.look_at_machine()
        self.set_interval(EVERY, self.look_again)
        self.run_list.table.focus()

    def look_again(self) -> None:
        """A new look, unless the last one still goes on or nobody sees it."""
        if not self._busy and self.app.screen is self:
            self.look()

    def on_screen_resume(self) -> None:
        """Back on this screen: what changed meanwhile."""
        if self._looked:
            self.overview.measure_again()
            self.look(bases=True)

    @work(group="runs")
    @show_errors
    async def look(self, bases: bool = False) -> None:
        """Runs and exports as they are now; with `bases`, the models on disk too, drawn with them unless a slow disk keeps them waiting."""
        self._busy = True
        looking = (
            asyncio.create_task(run_in_thread(lambda: find.described_bases(folders.search_folders(self.workspace)))) if bases else None
        )
        try:
            async with self._one_look:
                seen = await run_in_thread(self.overview.look)
            exports = await run_in_thread(_exports, seen)
            if looking:
                await asyncio.wait({looking}, timeout=TOGETHER)
        finally:
            self._busy = False

        # All lists are drawn at once, so that the screen does not jump.
        self.runs, self._exports, self._looked = {run.name: run for run in seen}, exports, True
        self.recolour()
        self.refresh_bindings()
        if looking:
            self.base_list.show([tables.base_line(base) for base in await looking])

    def recolour(self) -> None:
        """Runs and exports as they were last seen, in the colours of now."""
        if not self._looked:
            return
        seen = list(self.runs.values())
        ascii_only, colours = self.ours.ascii_only, self.app.theme_variables
        runs, files = self.run_list, self.export_list
        runs.empty(Content.from_markup(NO_RUNS, trying=with_keys("{home.try}"), new=with_keys("{home.new}")))
        files.empty(with_keys("No exports yet.\n{home.export} on a finished run writes one."))
        runs.show([tables.run_line(run, colours, ascii_only) for run in seen])
        files.show([tables.export_line(path, size) for path, size in self._exports])
        files.border_subtitle = "Enter chats with it" if self._exports else ""
        used = sum(run.bytes for run in seen)
        runs.border_subtitle = f"Enter opens it · {format_size(used)} on disk" if seen else ""

    @work
    @show_errors
    async def look_at_machine(self) -> None:
        """The machine's line."""
        line = await run_in_thread(hardware.machine_summary)
        self.query_one("#machine", Static).update(one_line(f"This machine {line}", 300))

    @property
    def marked(self) -> Seen | None:
        """The run under the cursor."""
        current = self.run_list.current
        return self.runs.get(current) if current else None

    @property
    def file(self) -> Path | None:
        """The export under the cursor, where that list has the focus."""
        current = self.export_list.current if self.export_list.has_focus_within else None
        return Path(current) if current else None

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Only what can be done now."""
        if action == "back":
            return False
        if not self._looked:
            return action not in ("chat", "export", "rename", "delete", "compare", "versus", "tour_next", "tour_skip")

        # Keys that need a run or an export hold where one is selected.
        if action in ("tour_next", "tour_skip"):
            return bool(self.query(Tour))
        if action == "chat":
            return bool(self.file or (self.marked and self.marked.answers))
        if action in ("export", "versus"):
            return bool(self.marked and self.marked.answers)
        if action == "compare":
            return bool(self.marked and len(self.runs) > 1)
        if action in ("rename", "delete"):
            return bool(self.marked and self.marked.status not in ("running", "waiting", "stopping"))
        return True

    @on(Listing.Moved)
    def moved(self) -> None:
        """Other keys may be valid now."""
        self.refresh_bindings()

    @on(Listing.Chosen, "#runs")
    def open_run(self, event: Listing.Chosen) -> None:
        """Enter on a run."""
        if (seen := self.runs.get(event.key)) and seen.problem:
            self.ours.say(seen.problem, "warning")
        elif seen:
            open_screen(self.app, "run", seen.run)

    @on(Listing.Chosen, "#exports")
    def open_export(self, event: Listing.Chosen) -> None:
        """Enter on an export."""
        open_screen(self.app, "chat", event.key)

    @on(Listing.Chosen, "#bases")
    def open_base(self, event: Listing.Chosen) -> None:
        """Enter on a base."""
        self._new(event.key)

    def _new(self, base: str = "") -> None:

        open_screen(self.app, "new_run", base)

    def action_screen(self, name: str) -> None:
        """Open a screen that needs nothing of this one."""
        open_screen(self.app, name)

    async def action_tour(self) -> None:
        """The tour, from its first step."""
        await self.query(Tour).remove()
        await self.mount(Tour(id="tour"), before="#runs")
        self.refresh_bindings()

    async def action_tour_next(self) -> None:
        """The next step, or the end."""
        if not self.query_one(Tour).step():
            await self.action_tour_skip()

    async def action_tour_skip(self) -> None:
        """The tour is over, for good."""
        await self.query(Tour).remove()
        self.ours.settings.toured = True
        background_writes.soon(self.ours.settings.save, self.ours.settings_path)
        self.refresh_bindings()

    def action_new(self) -> None:
        """The guided flow."""
        self._new()

    def action_chat(self) -> None:
        """Chat with the export or the run."""
        if self.file:
            open_screen(self.app, "chat", str(self.file))
        elif self.marked:
            open_screen(self.app, "chat", self.marked.name)

    def action_versus(self) -> None:
        """Base and tuned side by side."""
        if self.marked:
            open_screen(self.app, "versus", self.marked.run)

    def action_export(self) -> None:
        """The export screen of the run."""
        if self.marked:
            open_screen(self.app, "export", self.marked.run)

    @work(exclusive=True, group="start")
    @show_errors
    async def action_try_it(self) -> None:
        """Begin the demo's run and open it."""
        from tui.start import demo

        self.ours.say("Starting: preparing the examples …")
        open_screen(self.app, "run", await demo(self.workspace))

    @work(group="dialog")
    @show_errors
    async def action_rename(self) -> None:
        """Ask for a name, and rename."""
        if not (marked := self.marked):
            return
        name = await self.app.push_screen_wait(AskText(f"A new name for {marked.name}", marked.name, safe_name))
        if name and name != marked.name:
            await run_in_thread(manage.rename_run, self.workspace, marked.name, name)
            self.look()

    @work(group="dialog")
    @show_errors
    async def action_compare(self) -> None:
        """Ask for the other run, and compare."""
        from tui.dialogs.choose import Choose

        if not (marked := self.marked):
            return
        names = [name for name in self.runs if name != marked.name]
        if other := await self.app.push_screen_wait(Choose(f"Compare {marked.name} with", names)):
            open_screen(self.app, "compare", marked.run, self.runs[other].run)

    @work(group="dialog")
    @show_errors
    async def action_delete(self) -> None:
        """Ask, and delete."""
        if not (marked := self.marked):
            return
        question = f"Delete {marked.name} and all its files ({format_size(marked.bytes)})? This cannot be undone."
        if await self.app.push_screen_wait(Confirm(question, "Delete")):
            freed = await run_in_thread(manage.delete_run, self.workspace, marked.name)
            self.ours.say(f"{marked.name} is deleted; {format_size(freed)} are free.")
            self.look()

    @work(group="dialog")
    @show_errors
    async def action_prune(self) -> None:
        """Say what would go, ask, and free it."""
        removable = await run_in_thread(manage.prunable, self.workspace)
        if not removable:
            self.ours.say("Nothing to free.")
            return
        size = sum(removable.values())
        question = f"Remove {len(removable)} old checkpoints, caches and leftovers and free {format_size(size)}? Caches can be made again."
        if await self.app.push_screen_wait(Confirm(question, "Remove")):
            await run_in_thread(manage.remove_paths, removable)
            self.ours.say(f"{format_size(size)} freed")
            self.overview.measure_again()
            self.look()
