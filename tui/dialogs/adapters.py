"""Adapters of a chat: on or off, and how strong, without loading the model again."""

from pathlib import Path
from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.widgets import Static

from edgetune.runs import manage
from edgetune.sessions.chat_session import ChatSession
from edgetune.storage.workspace import ADAPTER_CONFIG, Workspace
from edgetune.text import one_line
from tui.command import edgetune
from tui.dialogs.ask import AskText
from tui.dialogs.dialog import Dialog
from tui.error_handling import run_in_thread, show_errors
from tui.keys import key, with_keys
from tui.widgets.listing import Line, Listing
from tui.widgets.text_line import set_text

STEP = 0.1
WRITE = "write:"
"""Before the name of a run whose adapter is not written as a GGUF yet."""


class Adapters(Dialog[None]):
    """Turns the adapters of a chat."""

    NAME = "Adapters"
    ABOUT = (
        "A run's adapter can be used on its base at any strength: 1 is full strength, 0 is off, values between are weaker. "
        "Changes apply from the next answer; the model is not loaded again."
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        key("adapters.less", "left,minus", "strength(-1)", "Weaker", "A tenth less."),
        key("adapters.more", "right,plus", "strength(1)", "Stronger", "A tenth more."),
        key("adapters.file", "f", "file", "A file", "Load a GGUF LoRA by its path."),
    ]

    def __init__(self, workspace: Workspace, session: ChatSession) -> None:
        super().__init__()
        self.workspace, self.session = workspace, session
        self.available: list[str] = []

    def compose(self) -> ComposeResult:
        """A list, and a word about the model."""
        with Vertical(classes="box list-box") as box:
            keys = with_keys(
                "Enter: on or off, {adapters.less} and {adapters.more}: strength, {adapters.file}: a file, {dialog.close} closes"
            )
            box.border_title, box.border_subtitle = self.NAME, keys
            nothing = with_keys("No run has an adapter as a GGUF yet.\n{adapters.file} loads one from a file.")
            yield Listing("", "strength", "adapter", "", empty=nothing)
            yield Static("", classes="how", markup=False)

    def on_mount(self) -> None:
        """Look for them."""
        self.query_one(Listing).table.focus()
        if of := self.session.load().info.metadata.get("edgetune.run"):
            self.tell(f"This file already holds what {of} learned: its own adapter would count twice.")
        self.look()

    def tell(self, text: str) -> None:
        """A word below the list."""
        set_text(self, ".how", one_line(text, 200))

    @work
    @show_errors
    async def look(self) -> None:
        """All there are."""
        self.available = await run_in_thread(adapter_files, self.workspace)
        self.draw()

    def draw(self) -> None:
        """The list as it is."""
        loaded = [str(path) for path, _ in self.session.adapter_files]
        lines = []
        for entry in dict.fromkeys([*loaded, *self.available]):
            if entry.startswith(WRITE):
                lines.append(Line(entry, ("", "-", entry.removeprefix(WRITE), "Not written yet; Enter writes it.")))
                continue
            scale = self.session.scale_of(Path(entry))
            lines.append(
                Line(entry, ("on" if scale else "off", f"{scale or 0:g}", Path(entry).stem, "loaded" if scale is not None else ""))
            )
        self.query_one(Listing).show(lines)

    @on(Listing.Chosen)
    def toggle(self, event: Listing.Chosen) -> None:
        """Enter."""
        if event.key.startswith(WRITE):
            self.write(event.key.removeprefix(WRITE))
        else:
            self.turn(Path(event.key), 0.0 if self.session.scale_of(Path(event.key)) else 1.0)

    def action_strength(self, step: int) -> None:
        """A tenth more or less."""
        current = self.query_one(Listing).current
        if current and not current.startswith(WRITE):
            self.turn(Path(current), round((self.session.scale_of(Path(current)) or 0.0) + step * STEP, 2))

    @work(exclusive=True, group="turn")
    @show_errors
    async def turn(self, path: Path, scale: float) -> None:
        """Use it so strong from now on."""
        await run_in_thread(self.session.set_adapter, path, scale)
        self.draw()

    @work(exclusive=True, group="turn")
    @show_errors
    async def write(self, run: str) -> None:
        """Write a run's adapter as a GGUF."""
        self.tell(f"Writing the adapter of {run} …")
        try:
            await edgetune(self.workspace, "export", run, "--adapter-only")
        finally:
            self.tell("")
        self.look()

    @work(group="dialog")
    async def action_file(self) -> None:
        """Ask for a path."""
        if text := await self.app.push_screen_wait(AskText("Path of a GGUF LoRA made for this base")):
            self.turn(Path(text).expanduser().absolute(), 1.0)


def adapter_files(workspace: Workspace) -> list[str]:
    """Adapters of runs as GGUF files; and runs with one that is not written yet."""
    files, unwritten = [], []
    for run in reversed(workspace.runs()):
        written = manage.adapters(run)
        files += [str(path) for path in written]
        if not written and (run.adapter / ADAPTER_CONFIG).is_file():
            unwritten.append(WRITE + run.name)
    return [*files, *unwritten]
