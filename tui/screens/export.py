"""Write a run as GGUF files: choose types and programs, watch writing and proof, and continue in a chat."""

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar

from rich.text import Text
from textual import on, work
from textual.binding import BindingType
from textual.widget import Widget
from textual.widgets import Static
from textual.worker import Worker, WorkerError

from edgetune.estimate.gguf_types import AUTO, DEFAULT_TYPE
from edgetune.formatting import format_size
from edgetune.gguf.export_options import ExportOption, list_export_options
from edgetune.storage.workspace import FAILED_SUFFIX, Run
from edgetune.text import one_line
from tui.command import edgetune
from tui.dialogs.ask import Confirm
from tui.error_handling import run_in_thread, show_errors
from tui.keys import key, with_keys
from tui.navigation import open_screen
from tui.pages.page import Page
from tui.progress import progress
from tui.widgets.listing import Line, Listing
from tui.widgets.text_line import set_text

PROGRAMS = {
    "ollama": ("for Ollama", "a folder with a Modelfile: ollama create NAME"),
    "lmstudio": ("for LM Studio", "a folder as LM Studio keeps its models"),
    "llama-server": ("for llama-server", "a folder with a script that starts it"),
}
"""Programs that get a folder of their own, as `edgetune export --for` names them."""
AUTOMATIC = (
    "the smallest type from Q4_K_M up that holds what was learned",
    "Writes and proves one type after another until at least 0.95 of the change is in the weights and in the answers.",
)
"""What `edgetune export --type auto` does, in two sentences."""
FINDINGS = 4
"""Lines of what a proof found that are shown."""


class Export(Page):
    """Writes a run as GGUF, in one or several types."""

    NAME = "Export"
    ABOUT = (
        "A GGUF is the model in one file, as llama.cpp, Ollama and LM Studio read it. {export.mark} selects types, and programs "
        "that get a folder; {export.write} writes them. Each file is proven to be the model that was trained before it gets its name. "
        "Loss is the mean KL divergence to the full model: the less, the closer its answers. "
        "It is what this file's own proof measured (=), or what was published of Llama-3-8B (~); small models lose more. "
        "Tokens/s are estimated from this machine's memory speed, for the processor."
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        key("export.mark", "space", "mark", "Select", "Select the type or program, or deselect it."),
        key("export.write", "w", "write", "Write", "Write the selected types."),
        key("export.cancel", "x", "cancel", "Cancel", "Stop writing; nothing half-written stays."),
        key("export.chat", "c", "chat", "Chat", "Chat with the run."),
        key("page.help", "question_mark", "app.help", "Help", "What this screen is for, and its keys.", show=False),
    ]

    def __init__(self, run: Run) -> None:
        super().__init__()
        self.run_shown = run
        self.selected = {DEFAULT_TYPE}
        self.offers: dict[str, ExportOption] = {}
        self.findings: list[str] = []
        self.head = ""
        self._writing: Worker[None] | None = None

    def body(self) -> Iterable[Widget]:
        """Types and programs, the selected one in words, and how it goes."""
        types = Listing("", "type", "size", "loss", "tokens/s", "made", id="types", empty="looking …")
        types.border_title = f"Types of GGUF for {self.run_shown.name}"
        yield types
        yield Static("", id="type", markup=False)
        yield Static(with_keys("{export.mark} selects, {export.write} writes."), id="progress", markup=False)

    def on_mount(self) -> None:
        """What is there."""
        self.bar.title(f"Export · {self.run_shown.name}")
        self.query_one(Listing).table.focus()
        self.look()

    @work(exclusive=True, group="look")
    @show_errors
    async def look(self) -> None:
        """Types, with those that were written already."""
        self.offers = {offer.type: offer for offer in await run_in_thread(list_export_options, self.run_shown)}
        self.draw()

    def draw(self) -> None:
        """The table as things are."""
        listing, first = self.query_one(Listing), not self.query_one(Listing).lines
        lines = [self._line(offer) for offer in self.offers.values()]
        lines.append(Line(AUTO, (self._check_mark(AUTO), Text(AUTO, style=self._style(AUTO)), "", "", "", ""), AUTOMATIC[0]))
        for name, (title, _) in PROGRAMS.items():
            lines.append(Line(name, (self._check_mark(name), Text(title, style=self._style(name)), "", "", "", "")))
        listing.show(lines)
        if first:
            listing.table.move_cursor(row=list(self.offers).index(DEFAULT_TYPE))
        self._tell_type(listing.current)
        self.refresh_bindings()

    def recolour(self) -> None:
        """The table."""
        self.draw()

    def _style(self, name: str) -> str:
        return f"bold {self.app.theme_variables.get('accent', '')}" if name in self.selected else ""

    def _check_mark(self, name: str) -> Text:
        return Text("[x]" if name in self.selected else "[ ]", style=self._style(name))

    def _line(self, offer: ExportOption) -> Line:
        size = format_size(offer.bytes) if offer.written else f"about {format_size(offer.bytes)}"
        loss = f"{'=' if offer.measured else '~'} {offer.loss:.2g}" if offer.loss is not None else "-"
        there = Text(
            f"✔ {'proven' if offer.proven else 'written'}" if offer.written else "", style=self.app.theme_variables.get("success", "")
        )
        name = Text(offer.type, style=self._style(offer.type))
        return Line(
            offer.type, (self._check_mark(offer.type), name, size, loss, f"about {_round(offer.speed):,}", there), offer.description
        )

    @on(Listing.Moved)
    def moved(self, event: Listing.Moved) -> None:
        """The selected one in words."""
        event.stop()
        self._tell_type(event.key)

    def _tell_type(self, name: str | None) -> None:
        text = Text()
        if offer := self.offers.get(name or ""):
            text.append(f"{offer.type}: {offer.description}.\n")
            if offer.measured:
                same = f", same next token {offer.same:.1%}" if offer.same is not None else ""
                text.append(f"Loss {offer.loss:.2g}{same}: measured by its proof on your rows.", "dim")
            elif offer.loss is not None:
                text.append(f"Loss {offer.loss:g}: published figure for Llama-3-8B; smaller models lose more.", "dim")
            else:
                text.append("Its loss is not known yet: its proof will measure it.", "dim")
        elif name == AUTO:
            text.append(f"{AUTO}: {AUTOMATIC[0]}.\n").append(AUTOMATIC[1], "dim")
        elif name in PROGRAMS:
            title, description = PROGRAMS[name]
            text.append(f"{title}: {description}.\nThe model lies on the disk once, under two names.")
        self.query_one("#type", Static).update(text)

    @property
    def types(self) -> list[str]:
        """The selected types, the largest first; or 'auto'."""
        return [name for name in (*self.offers, AUTO) if name in self.selected]

    @property
    def busy(self) -> bool:
        """Whether files are being written."""
        return bool(self._writing and not self._writing.is_finished)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Only what can be done now."""
        if action == "cancel":
            return self.busy
        if action == "write":
            return bool(self.types) and not self.busy
        return True

    @on(Listing.Chosen)
    def chosen(self, event: Listing.Chosen) -> None:
        """Enter selects as Space does."""
        self._toggle(event.key)

    def action_mark(self) -> None:
        """Select or deselect."""
        if current := self.query_one(Listing).current:
            self._toggle(current)

    def _toggle(self, name: str) -> None:
        """Select or deselect; 'auto' finds one type, so that none is selected beside it."""
        self.selected ^= {name}
        if name == AUTO:
            self.selected -= set(self.offers)
        elif name in self.offers:
            self.selected -= {AUTO}
        self.draw()

    def action_write(self) -> None:
        """Write them."""
        self._writing = self.write()
        self.refresh_bindings()

    def action_cancel(self) -> None:
        """Stop it."""
        if self._writing:
            self._writing.cancel()

    def action_back(self) -> None:
        """Leave this screen; while files are being written, ask, for that stops them."""
        if self.busy:
            self.stop_and_leave()
        else:
            super().action_back()

    @work(group="dialog", exclusive=True)
    async def stop_and_leave(self) -> None:
        """Ask; then wait for the command to end, so that nothing half-written is left behind."""
        if not await self.app.push_screen_wait(Confirm("Stop writing and leave? Files that are finished stay.", "Stop")):
            return
        if writing := self._writing:
            writing.cancel()
            with suppress(WorkerError):
                await writing.wait()
        super().action_back()

    @work(exclusive=True, group="write")
    @show_errors
    async def write(self) -> None:
        """Run `edgetune export`, show its progress and what the proofs find."""
        types, self.head = self.types, ""
        arguments = [word for name in types for word in ("--type", name)]
        arguments += [word for name in PROGRAMS if name in self.selected for word in ("--for", name)]

        # Files are compared with those before, to say what an export that fails has left.
        before, self.findings = await run_in_thread(_files, self.run_shown), []
        self._tell(f"writing and proving {', '.join(types)} …")
        try:
            files = await edgetune(self.workspace, "export", self.run_shown.name, *arguments, on_line=self._on_line)
        except BaseException:
            self._tell(ended(before, _files(self.run_shown)))
            raise
        finally:
            self.call_later(self.refresh_bindings)
            self.call_later(self.look)

        # The last lines name the files and the key that comes next.
        folders = [Path(folder["path"]).name for file in files for folder in file.get("for", [])]
        written = ", ".join(f"{file['type']} {format_size(file['bytes'])}" for file in files)
        chat = with_keys("Press {export.chat} to chat.")
        self._tell(f"Made {written}. {chat}", *([f"folders: {', '.join(folders)}"] if folders else []))

    def _on_line(self, line: str) -> None:
        if step := progress(line):
            self._tell(step.line(self.ours.ascii_only))
        elif ": " in line and ("passed" in line or "FAILED" in line):
            self.findings.append(line)
            self._tell(self.head)
        else:
            self._tell(line)

    def _tell(self, text: str, *last: str) -> None:
        """What goes on, and below it what the proof found last."""
        self.head = text
        lines = [text, *self.findings[len(last) - FINDINGS :], *last]
        set_text(self, "#progress", "\n".join(one_line(line, max(self.size.width - 3, 20)) for line in lines))

    def action_chat(self) -> None:
        """Chat with the run."""
        open_screen(self.app, "chat", self.run_shown.name)


def _round(speed: float) -> int:
    """A speed with two figures that count, for it is an estimate."""
    digits = max(len(str(int(speed))) - 2, 0)
    return round(speed / 10**digits) * 10**digits


def _files(run: Run) -> dict[str, Any]:
    """The GGUF files of a run, each with what changes when it is written again."""
    if not run.exports.is_dir():
        return {}
    return {path.name: (path.stat().st_mtime_ns, path.stat().st_ino) for path in sorted(run.exports.glob("*.gguf"))}


def ended(before: dict[str, Any], after: dict[str, Any]) -> str:
    """What an export that did not come to its end left."""
    new = [name for name, stamp in after.items() if before.get(name) != stamp]
    aside, written = [name for name in new if name.endswith(FAILED_SUFFIX)], [name for name in new if not name.endswith(FAILED_SUFFIX)]
    sentences = [f"Written: {', '.join(written)}."] if written else []
    sentences += [f"Proof failed, file set aside: {', '.join(aside)}."] if aside else []
    return " ".join(sentences) or "Nothing was written."
