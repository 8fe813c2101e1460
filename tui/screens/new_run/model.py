"""Step 1: which base model."""

from pathlib import Path
from typing import ClassVar

from rich.text import Text
from textual import on, work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.widgets import Static

from edgetune.bases import find
from edgetune.errors import EdgeTuneError, InputError
from edgetune.files import human
from edgetune.paths import at_home, is_folder
from edgetune.text import safe_text
from tui import tables
from tui.attempt import in_thread, shown
from tui.keys import key
from tui.screens.ask import AskText
from tui.screens.new_run.step import Step
from tui.widgets.listing import Line, Listing


class ModelStep(Step):
    """Choose a base."""

    TITLE = "Model"
    ABOUT = "The model you start from. Larger ones know more and take longer."
    BINDINGS: ClassVar[list[BindingType]] = [key("model.folder", "f", "folder", "Add folder", "Look for models in another folder.")]

    def compose(self) -> ComposeResult:
        """The bases, and more about the marked one."""
        bases = Listing("base", "architecture", "parameters", "size", "context", "here", id="base-list", empty="looking for models …")
        bases.border_title = "Bases on this machine"
        yield bases
        yield Static("", id="chosen", markup=False)

    def on_mount(self) -> None:
        """Look for models."""
        self.look()

    def enter(self) -> None:
        """The list."""
        self.query_one(Listing).table.focus()

    @work(exclusive=True)
    @shown
    async def look(self) -> None:
        """Find bases, and whether they fit in this machine's memory."""
        places = [self.workspace.path / "models", *(Path(folder) for folder in self.ours.settings.folders)]
        preset = self.draft.preset
        found = await in_thread(lambda: [(base, fits(base, preset)) for base in find.described(places)])
        colours = self.app.theme_variables
        lines = [self._line(base, fit, colours) for base, fit in found]
        self.query_one(Listing).show(lines)
        self.query_one(Listing).empty("No models found. f adds a folder that holds some.")
        row = next((number for number, line in enumerate(lines) if line.key == self.draft.base), 0)
        self.query_one(Listing).table.move_cursor(row=row)
        self._tell()

    def _line(self, base: find.Base, fit: str, colours: dict[str, str]) -> Line:
        plain = tables.base_line(base)
        shown_fit = Text(fit, style=colours.get("success" if fit == "fits" else "error", ""))
        cells = (base.name, base.architecture, tables.parameters(base.parameters), human(base.bytes), f"{base.context:,}", shown_fit)
        return Line(plain.key, cells)

    def _tell(self) -> None:
        self.query_one("#chosen", Static).update(
            safe_text(f"Chosen: {self.draft.base}") if self.draft.base else "Enter chooses the marked base."
        )

    @on(Listing.Chosen)
    def choose(self, event: Listing.Chosen) -> None:
        """Enter on a base: it is chosen, and the next step opens."""
        event.stop()
        if event.key != self.draft.base:
            self.draft.base, self.draft.kind, self.draft.verdict = event.key, "", ""
        self.changed()
        self._tell()
        self.screen.call_later(self.screen.run_action, "next")

    @work(group="dialog")
    @shown
    async def action_folder(self) -> None:
        """Ask for a folder and look there too."""
        folder = await self.app.push_screen_wait(AskText("A folder that holds models (or is one)", "", _is_folder))
        if folder:
            place = str(at_home(folder).resolve())
            if place not in self.ours.settings.folders:
                self.ours.settings.folders.append(place)
                self.ours.settings.save(self.ours.settings_path)
            self.look()

    def lacking(self) -> str:
        """A base."""
        if not self.draft.base:
            return "Choose a base first: Enter on one of them."
        try:
            find.resolve(self.draft.base)
        except InputError as error:
            return f"{error.title}. {error.cause}"
        return ""


def _is_folder(text: str) -> None:
    if not is_folder(at_home(text)):
        raise InputError(f"{text} is not a folder", "Nothing of that name is there.", "Check it.")


def fits(base: find.Base, preset: str) -> str:
    """Whether training the base fits in this machine's memory. The place for a prediction with shades."""
    from edgetune import hardware
    from edgetune.jobs.create import need_memory
    from edgetune.recipe import build

    try:
        need_memory(build({"base": "nano"}, None, preset)[0], base, hardware.device().value)
    except EdgeTuneError:
        return "no room"
    return "fits"
