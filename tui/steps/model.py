"""Step 1: which base model."""

from dataclasses import dataclass
from typing import ClassVar

from rich.text import Text
from textual import on, work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.widgets import Static

from edgetune.bases import find, folders
from edgetune.bases.licence import licence
from edgetune.config.recipe import build_recipe
from edgetune.errors import InputError
from edgetune.estimate.fit import judge_base
from edgetune.formatting import format_size
from edgetune.machine.hardware import Choice
from edgetune.storage.workspace import Workspace
from edgetune.text import one_line, safe_text
from tui import tables
from tui.dialogs.ask import AskText
from tui.draft import Draft
from tui.error_handling import run_in_thread, show_errors
from tui.keys import key, with_keys
from tui.steps.step import Step
from tui.widgets.listing import Line, Listing


@dataclass(frozen=True)
class ModelCandidate:
    """A base on disk. room: whether it can be trained here, and why."""

    base: find.Base
    room: Choice
    licence: str


def _bases(workspace: Workspace, preset: str) -> list[ModelCandidate]:
    recipe, _ = build_recipe({}, None, preset)
    return [
        ModelCandidate(base, judge_base(base, recipe), licence(base.path))
        for base in find.described_bases(folders.search_folders(workspace))
    ]


class ModelStep(Step):
    """Choose a base."""

    TITLE = "Model"
    ABOUT = "The model you start from. Larger ones know more and take longer."
    BINDINGS: ClassVar[list[BindingType]] = [
        key("model.fetch", "g", "fetch", "Download a model", "Fetch a model from a hub; it says what and how much, and asks first."),
        key("model.folder", "f", "folder", "Add folder", "Look for models in another folder."),
    ]

    def __init__(self, draft: Draft) -> None:
        super().__init__(draft)
        self.candidates: dict[str, ModelCandidate] = {}

    def compose(self) -> ComposeResult:
        """The bases, and more about the marked one."""
        bases = Listing("model", "fit", "size", "context", "architecture", "license", id="base-list", empty="looking for models …")
        bases.border_title = "Bases on this machine"
        yield bases
        yield Static("", id="chosen", markup=False)

    def on_mount(self) -> None:
        """Look for models."""
        self.look()

    def enter(self) -> None:
        """The list."""
        self.query_one(Listing).table.focus()

    def recolour(self) -> None:
        """The list."""
        self.query_one(Listing).show([self._line(candidate) for candidate in self.candidates.values()])

    @work(exclusive=True)
    @show_errors
    async def look(self) -> None:
        """Find bases, and whether they fit in this machine's memory."""
        candidates = await run_in_thread(_bases, self.workspace, self.draft.preset)
        lines = [self._line(candidate) for candidate in candidates]
        self.candidates = {line.key: candidate for line, candidate in zip(lines, candidates, strict=True)}
        self.query_one(Listing).show(lines)
        nothing = with_keys("No models found.\n{model.fetch} downloads one from a hub, {model.folder} adds a folder that holds some.")
        self.query_one(Listing).empty(nothing)
        row = next((number for number, line in enumerate(lines) if line.key == self.draft.base), 0)
        self.query_one(Listing).table.move_cursor(row=row)
        self._tell()

    def _line(self, candidate: ModelCandidate) -> Line:
        base, colours = candidate.base, self.app.theme_variables
        room = Text(candidate.room.value, style=colours.get({"fits": "success", "tight": "warning"}.get(candidate.room.value, "error"), ""))
        size = f"{tables.parameters(base.parameters)}, {format_size(base.bytes)}"
        cells = (one_line(base.name, 40), room, size, f"{base.context:,}", one_line(base.architecture, 20), candidate.licence or "-")
        return Line(tables.base_line(base).key, cells)

    @on(Listing.Moved)
    def moved(self, event: Listing.Moved) -> None:
        """More about the marked one."""
        event.stop()
        self._tell()

    def _tell(self) -> None:
        lines = [f"Chosen: {self.draft.base}" if self.draft.base else "Enter chooses the selected model."]
        if candidate := self.candidates.get(self.query_one(Listing).current or ""):
            lines.append(f"{candidate.base.name}: {candidate.room.value}, {candidate.room.reason}")
            lines += [candidate.base.left_out] if candidate.base.left_out else []
        self.query_one("#chosen", Static).update("\n".join(one_line(line, 300) for line in lines))

    @on(Listing.Chosen)
    def choose(self, event: Listing.Chosen) -> None:
        """Enter on a base: it is chosen, and the next step opens."""
        event.stop()
        self._take(event.key)
        self.screen.call_later(self.screen.run_action, "next")

    def _take(self, base: str) -> None:
        if base != self.draft.base:
            self.draft.base, self.draft.kind, self.draft.verdict = base, "", ""
        self.changed()
        self._tell()

    @work(group="dialog")
    @show_errors
    async def action_fetch(self) -> None:
        """Get a model; it is chosen then."""
        from tui.dialogs.fetch import Fetch

        if base := await self.app.push_screen_wait(Fetch()):
            self._take(base)
            self.look()

    @work(group="dialog")
    @show_errors
    async def action_folder(self) -> None:
        """Ask for a folder and look there too."""
        question = "A folder that holds models (or is one)"
        if folder := await self.app.push_screen_wait(AskText(question, "", folders.full_path)):
            await run_in_thread(folders.add_folder, self.workspace, folder)
            self.look()

    def lacking(self) -> str:
        """A base."""
        if not self.draft.base:
            return "Choose a base first: Enter on one of them."
        try:
            find.resolve_base(self.draft.base)
        except InputError as error:
            return safe_text(f"{error.title}. {error.cause}")
        return ""
