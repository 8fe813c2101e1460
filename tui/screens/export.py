"""Write a run as GGUF files: choose types, watch it, and go on to chat."""

import re
from collections.abc import Iterable
from typing import ClassVar

from rich.text import Text
from textual import on, work
from textual.binding import BindingType
from textual.widget import Widget
from textual.widgets import Static
from textual.worker import Worker

from edgetune.files import human
from edgetune.gguf_types import FACTS, USUAL
from edgetune.jobs import manage
from edgetune.text import one_line
from edgetune.workspace import Run
from tui.attempt import in_thread, shown
from tui.command import edgetune
from tui.keys import key
from tui.screens.page import Page
from tui.widgets.listing import Line, Listing
from tui.widgets.spark import bar

PROGRESS = re.compile(r"(\d+)/(\d+) (.*)")
"""How the command line tells progress where there is no terminal."""


class Export(Page):
    """Writes a run as GGUF, in one or several types."""

    NAME = "Export"
    ABOUT = (
        "A GGUF is the model in one file, as llama.cpp, Ollama and LM Studio read it. Space marks types, w writes them. "
        "Each file is proven to be the model that was trained before it gets its name. "
        "Loss is the mean KL divergence to the full model, as published for Llama-3-8B: the less, the closer its answers."
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        key("export.mark", "space", "mark", "Mark", "Mark the type, or unmark it."),
        key("export.write", "w", "write", "Write", "Write the marked types."),
        key("export.cancel", "x", "cancel", "Cancel", "Stop writing; nothing half-written stays."),
        key("export.chat", "c", "chat", "Chat", "Chat with the run."),
        key("page.help", "question_mark", "app.help", "Help", "What this screen is for, and its keys.", show=False),
    ]

    def __init__(self, run: Run) -> None:
        super().__init__()
        self.run_shown = run
        self.marked = {USUAL}
        self.parameters = 0
        self._writing: Worker[None] | None = None

    def body(self) -> Iterable[Widget]:
        """Types, how it goes, and what was written."""
        types = Listing("", "type", "size", "loss", "", "here", id="types")
        types.border_title = f"Types of GGUF for {self.run_shown.name}"
        yield types
        yield Static("Space marks, w writes.", id="progress", markup=False)

    def on_mount(self) -> None:
        """What is there."""
        self.bar.title(f"Export · {self.run_shown.name}")
        self.query_one(Listing).table.focus()
        self.look()

    @work(exclusive=True, group="look")
    @shown
    async def look(self) -> None:
        """Types, with those that were written already."""
        request = await in_thread(self.run_shown.request)
        self.parameters = int(request.get("base_parameters", 0))
        written = {one["type"]: one for one in await in_thread(manage.noted_exports, self.run_shown)}
        colours = self.app.theme_variables
        lines = []
        for fact in FACTS:
            on_now = fact.name in self.marked
            style = f"bold {colours.get('accent', '')}" if on_now else ""
            mark = Text("[x]" if on_now else "[ ]", style=style)
            loss = f"{fact.loss:g}" if fact.loss is not None else "-"
            made = written.get(fact.name)
            size = human(made["bytes"]) if made else f"about {human(fact.size(self.parameters))}"
            proven = bool(made and made.get("proof", {}).get("passed"))
            there = Text(f"✔ {'proven' if proven else 'written'}" if made else "", style=colours.get("success", ""))
            lines.append(Line(fact.name, (mark, Text(fact.name, style=style), size, loss, fact.words, there)))
        first = not self.query_one(Listing).lines
        self.query_one(Listing).show(lines)
        if first:
            self.query_one(Listing).table.move_cursor(row=next(n for n, fact in enumerate(FACTS) if fact.name == USUAL))
        self.refresh_bindings()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Only what can be done now."""
        busy = bool(self._writing and not self._writing.is_finished)
        if action == "cancel":
            return busy
        if action == "write":
            return bool(self.marked) and not busy
        return True

    @on(Listing.Chosen)
    def chosen(self, event: Listing.Chosen) -> None:
        """Enter marks as Space does."""
        self._toggle(event.key)

    def action_mark(self) -> None:
        """Mark or unmark."""
        if current := self.query_one(Listing).current:
            self._toggle(current)

    def _toggle(self, name: str) -> None:
        self.marked ^= {name}
        self.look()

    def action_write(self) -> None:
        """Write them."""
        self._writing = self.write()
        self.refresh_bindings()

    def action_cancel(self) -> None:
        """Stop it."""
        if self._writing:
            self._writing.cancel()

    @work(exclusive=True, group="write")
    @shown
    async def write(self) -> None:
        """Run `edgetune export`, show its progress."""
        types = [fact.name for fact in FACTS if fact.name in self.marked]
        words = [word for name in types for word in ("--type", name)]
        self._tell(f"writing and proving {', '.join(types)} …")
        try:
            made = await edgetune(self.workspace, "export", self.run_shown.name, *words, said=self._said)
        except BaseException:
            self._tell("Nothing was written.")
            raise
        finally:
            self.call_later(self.refresh_bindings)
        self._tell("; ".join(f"{one['type']} {human(one['bytes'])}" for one in made) + ". Press c to chat.")
        self.look()

    def _said(self, line: str) -> None:
        if found := PROGRESS.fullmatch(line):
            done, total = int(found[1]), int(found[2])
            self._tell(f"{bar(done / max(total, 1), 24, self.ours.ascii_only)} {done}/{total} {found[3]}")
        else:
            self._tell(line)

    def _tell(self, text: str) -> None:
        if self.is_mounted:
            self.query_one("#progress", Static).update(one_line(text, 300))

    def action_chat(self) -> None:
        """Chat with the run."""
        from tui.screens.chat import Chat

        self.app.push_screen(Chat(self.run_shown.name))
