"""Write a run as GGUF files: choose types and programs, watch writing and proof, and go on to chat."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar

from rich.text import Text
from textual import on, work
from textual.binding import BindingType
from textual.widget import Widget
from textual.widgets import Static
from textual.worker import Worker

from edgetune.estimate.gguf_types import DEFAULT_TYPE
from edgetune.formatting import format_size
from edgetune.gguf.export_options import ExportOption, list_export_options
from edgetune.storage.workspace import FAILED_SUFFIX, Run
from edgetune.text import one_line
from tui.command import edgetune
from tui.error_handling import run_in_thread, show_errors
from tui.keys import key, with_keys
from tui.navigation import open_screen
from tui.pages.page import Page
from tui.progress import progress
from tui.widgets.listing import Line, Listing

PROGRAMS = {
    "ollama": ("for Ollama", "a folder with a Modelfile: ollama create NAME"),
    "lmstudio": ("for LM Studio", "a folder as LM Studio keeps its models"),
    "llama-server": ("for llama-server", "a folder with a script that starts it"),
}
"""Programs that get a folder of their own, as `edgetune export --for` names them."""
FINDINGS = 4
"""Lines of what a proof found that are shown."""


class Export(Page):
    """Writes a run as GGUF, in one or several types."""

    NAME = "Export"
    ABOUT = (
        "A GGUF is the model in one file, as llama.cpp, Ollama and LM Studio read it. {export.mark} marks types, and programs "
        "that get a folder; {export.write} writes them. Each file is proven to be the model that was trained before it gets its name. "
        "Loss is the mean KL divergence to the full model: the less, the closer its answers. "
        "It is what this file's own proof measured (=), or what was published of Llama-3-8B (~); small models lose more. "
        "Tokens/s are estimated from this machine's memory speed, for the processor."
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        key("export.mark", "space", "mark", "Mark", "Mark the type or program, or unmark it."),
        key("export.write", "w", "write", "Write", "Write the marked types."),
        key("export.cancel", "x", "cancel", "Cancel", "Stop writing; nothing half-written stays."),
        key("export.chat", "c", "chat", "Chat", "Chat with the run."),
        key("page.help", "question_mark", "app.help", "Help", "What this screen is for, and its keys.", show=False),
    ]

    def __init__(self, run: Run) -> None:
        super().__init__()
        self.run_shown = run
        self.marked = {DEFAULT_TYPE}
        self.offers: dict[str, ExportOption] = {}
        self.found: list[str] = []
        self.head = ""
        self._writing: Worker[None] | None = None

    def body(self) -> Iterable[Widget]:
        """Types and programs, the marked one in words, and how it goes."""
        types = Listing("", "type", "size", "loss", "tokens/s", "made", id="types", empty="looking …")
        types.border_title = f"Types of GGUF for {self.run_shown.name}"
        yield types
        yield Static("", id="type", markup=False)
        yield Static(with_keys("{export.mark} marks, {export.write} writes."), id="progress", markup=False)

    def on_mount(self) -> None:
        """What is there."""
        self.bar.title(f"Export · {self.run_shown.name}")
        self.query_one(Listing).table.focus()
        self.look()

    @work(exclusive=True, group="look")
    @show_errors
    async def look(self) -> None:
        """Types, with those that were written already."""
        self.offers = {one.type: one for one in await run_in_thread(list_export_options, self.run_shown)}
        self.draw()

    def draw(self) -> None:
        """The table as things are."""
        listing, first = self.query_one(Listing), not self.query_one(Listing).lines
        lines = [self._line(one) for one in self.offers.values()]
        for name, (title, _) in PROGRAMS.items():
            lines.append(Line(name, (self._mark(name), Text(title, style=self._style(name)), "", "", "", "")))
        listing.show(lines)
        if first:
            listing.table.move_cursor(row=list(self.offers).index(DEFAULT_TYPE))
        self._tell_type(listing.current)
        self.refresh_bindings()

    def recolour(self) -> None:
        """The table."""
        self.draw()

    def _style(self, name: str) -> str:
        return f"bold {self.app.theme_variables.get('accent', '')}" if name in self.marked else ""

    def _mark(self, name: str) -> Text:
        return Text("[x]" if name in self.marked else "[ ]", style=self._style(name))

    def _line(self, one: ExportOption) -> Line:
        size = format_size(one.bytes) if one.written else f"about {format_size(one.bytes)}"
        loss = f"{'=' if one.measured else '~'} {one.loss:.2g}" if one.loss is not None else "-"
        there = Text(f"✔ {'proven' if one.proven else 'written'}" if one.written else "", style=self.app.theme_variables.get("success", ""))
        name = Text(one.type, style=self._style(one.type))
        return Line(one.type, (self._mark(one.type), name, size, loss, f"about {_round(one.speed):,}", there), one.description)

    @on(Listing.Moved)
    def moved(self, event: Listing.Moved) -> None:
        """The marked one in words."""
        event.stop()
        self._tell_type(event.key)

    def _tell_type(self, name: str | None) -> None:
        text = Text()
        if one := self.offers.get(name or ""):
            text.append(f"{one.type}: {one.description}.\n")
            if one.measured:
                same = f", same next token {one.same:.1%}" if one.same is not None else ""
                text.append(f"Loss {one.loss:.2g}{same}: measured by its proof on your rows.", "dim")
            elif one.loss is not None:
                text.append(f"Loss {one.loss:g}: published of Llama-3-8B; small models lose more.", "dim")
            else:
                text.append("Its loss is not known yet: its proof will measure it.", "dim")
        elif name in PROGRAMS:
            title, words = PROGRAMS[name]
            text.append(f"{title}: {words}.\nThe model lies on the disk once, under two names.")
        self.query_one("#type", Static).update(text)

    @property
    def types(self) -> list[str]:
        """The marked types, the largest first."""
        return [name for name in self.offers if name in self.marked]

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Only what can be done now."""
        busy = bool(self._writing and not self._writing.is_finished)
        if action == "cancel":
            return busy
        if action == "write":
            return bool(self.types) and not busy
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
        self.draw()

    def action_write(self) -> None:
        """Write them."""
        self._writing = self.write()
        self.refresh_bindings()

    def action_cancel(self) -> None:
        """Stop it."""
        if self._writing:
            self._writing.cancel()

    @work(exclusive=True, group="write")
    @show_errors
    async def write(self) -> None:
        """Run `edgetune export`, show its progress and what the proofs find."""
        types, self.head = self.types, ""
        words = [word for name in types for word in ("--type", name)]
        words += [word for name in PROGRAMS if name in self.marked for word in ("--for", name)]
        before, self.found = await run_in_thread(_files, self.run_shown), []
        self._tell(f"writing and proving {', '.join(types)} …")
        try:
            made = await edgetune(self.workspace, "export", self.run_shown.name, *words, said=self._said)
        except BaseException:
            self._tell(ended(before, _files(self.run_shown)))
            raise
        finally:
            self.call_later(self.refresh_bindings)
            self.call_later(self.look)
        folders = [Path(place["path"]).name for one in made for place in one.get("for", [])]
        written = ", ".join(f"{one['type']} {format_size(one['bytes'])}" for one in made)
        chat = with_keys("Press {export.chat} to chat.")
        self._tell(f"Made {written}. {chat}", *([f"folders: {', '.join(folders)}"] if folders else []))

    def _said(self, line: str) -> None:
        if found := progress(line):
            self._tell(found.line(self.ours.ascii_only))
        elif ": " in line and ("passed" in line or "FAILED" in line):
            self.found.append(line)
            self._tell(self.head)
        else:
            self._tell(line)

    def _tell(self, text: str, *last: str) -> None:
        """What goes on, and below it what the proof found last."""
        self.head = text
        if self.is_mounted:
            shown_lines = [text, *self.found[len(last) - FINDINGS :], *last]
            self.query_one("#progress", Static).update("\n".join(one_line(line, max(self.size.width - 3, 20)) for line in shown_lines))

    def action_chat(self) -> None:
        """Chat with the run."""
        open_screen(self.app, "chat", self.run_shown.name)


def _round(speed: float) -> int:
    """A speed with two figures that count, for it is an estimate."""
    digits = max(len(str(int(speed))) - 2, 0)
    return round(speed / 10**digits) * 10**digits


def _files(run: Run) -> dict[str, Any]:
    """The GGUF files of a run, each with what changes when it is written anew."""
    if not run.exports.is_dir():
        return {}
    return {path.name: (path.stat().st_mtime_ns, path.stat().st_ino) for path in sorted(run.exports.glob("*.gguf"))}


def ended(before: dict[str, Any], after: dict[str, Any]) -> str:
    """What an export that did not come to its end left."""
    new = [name for name, stamp in after.items() if before.get(name) != stamp]
    aside, written = [name for name in new if name.endswith(FAILED_SUFFIX)], [name for name in new if not name.endswith(FAILED_SUFFIX)]
    said = [f"Written: {', '.join(written)}."] if written else []
    said += [f"Kept aside, for the proof failed: {', '.join(aside)}."] if aside else []
    return " ".join(said) or "Nothing was written."
