"""Step 2: which examples, and what the X-ray says of them."""

import asyncio
from pathlib import Path
from typing import Any, ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.widgets import Static
from textual.worker import Worker, get_current_worker

from edgetune.data.readers import READERS
from edgetune.data.verdict import DO_NOT_TRAIN
from edgetune.storage.paths import exists
from edgetune.text import one_line, safe_text
from tui.command import edgetune
from tui.dialogs.ask import AskText
from tui.dialogs.choose import Choose
from tui.error_handling import run_in_thread, show_errors
from tui.keys import key, with_keys
from tui.report_words import report_text, row_text
from tui.start import flags
from tui.steps.step import Step
from tui.widgets.files import Files
from tui.widgets.listing import Listing

READING = "reading …  {data.stop} stops it."
STOPPED = "Reading was stopped. Enter on a file reads it again."
NO_FILE = "Enter on a file chooses it; it is then read completely, and its data check is shown here."
UNREAD = "It could not be read. Choose another file; or press {data.format} to name its shape, {data.map} to name its columns."
ROWS, NO_ROW = "As the model sees it", "Your rows as the model sees them. Green is what it learns."


class DataStep(Step):
    """Choose files of examples and look at them."""

    TITLE = "Data"
    ABOUT = "Your examples. They are looked at before anything is trained: Enter chooses a file, {data.add} adds another."
    BINDINGS: ClassVar[list[BindingType]] = [
        key("data.add", "plus,+", "add", "Add file", "Add the selected file to those chosen.", show=False),
        key("data.votes", "v", "votes", "Votes", "Use the votes of Rank, Arena or a chat as examples."),
        key("data.row_before", "left_square_bracket", "row(-1)", "Previous row", "Show the previous row.", show=False),
        key("data.row_after", "right_square_bracket", "row(1)", "Next row", "Show the next row as the model sees it."),
        key("data.format", "f", "format", "Shape", "Say which shape the examples have, when it is not recognized.", show=False),
        key("data.map", "m", "map", "Columns", "Say which column is which: instruction=question,output=answer.", show=False),
        key("data.stop", "x", "stop", "Stop", "Stop reading; nothing of the file is used."),
        key("data.anyway", "y", "anyway", "Anyway", f"Train even though the data check says '{DO_NOT_TRAIN}'."),
    ]

    def __init__(self, draft: Any) -> None:
        super().__init__(draft)
        self.row, self.report = 1, {}  # type: ignore[var-annotated]
        self._reading: Worker[None] | None = None

    def compose(self) -> ComposeResult:
        """Files at the left; X-ray and rows at the right."""
        first = Path(self.draft.data[0]).absolute().parent if self.draft.data else Path.cwd()
        with Horizontal():
            yield Files(first if first.is_dir() else Path.home(), tuple(f"{s}{z}" for s in READERS for z in ("", ".gz")), id="files")
            with Vertical(id="looked"):
                with VerticalScroll(classes="panel", id="xray") as xray:
                    xray.border_title = "Data check"
                    yield Static(NO_FILE, id="report", markup=False)
                with VerticalScroll(classes="panel", id="rows") as rows:
                    rows.border_title = ROWS
                    yield Static(NO_ROW, id="row", markup=False)

    def on_mount(self) -> None:
        """Look again at what was chosen before."""
        if self.draft.data:
            self.examine()

    def enter(self) -> None:
        """The files."""
        self.query_one(Listing).table.focus()

    @on(Files.Picked)
    def picked(self, event: Files.Picked) -> None:
        """A file instead of those before."""
        self._take([str(event.path)])

    def action_add(self) -> None:
        """The selected file, too."""
        files = self.query_one(Files)
        current = self.query_one(Listing).current
        if current and (path := files.folder / current).is_file() and str(path) not in self.draft.data:
            self._take([*self.draft.data, str(path)])

    @work(group="dialog")
    @show_errors
    async def action_votes(self) -> None:
        """A preference file instead of a file of examples."""
        from edgetune.preferences.store import stores

        names = [file.name for file in await run_in_thread(stores, self.workspace)]
        if not names:
            self.ours.say(with_keys("There are no votes yet: {home.rank} on Home ranks answers."), "warning")
        elif choice := await self.app.push_screen_wait(Choose("Votes as examples", names, self.draft.data[0] if self.draft.data else "")):
            self._take([choice])

    def _take(self, data: list[str]) -> None:
        self.draft.data, self.draft.kind, self.draft.verdict, self.draft.rows, self.draft.anyway = data, "", "", 0, False
        self.report = {}
        self.query_one("#row", Static).update(NO_ROW)
        self.query_one("#rows").border_title = ROWS
        self.changed()
        self.examine()

    def examine(self) -> None:
        """Look at the files, and at no others any more."""
        self._reading = self.read()
        self.refresh_bindings()

    @work(exclusive=True, group="xray")
    @show_errors
    async def read(self) -> None:
        """X-ray the files in a process of its own, then show the first row."""
        panel, report, worker = self.query_one("#xray"), self.query_one("#report", Static), get_current_worker()

        def tell(text: str) -> None:
            if worker is self._reading:  # else it is another file's turn
                report.update(text)

        names = ", ".join(one_line(Path(path).name, 40) for path in self.draft.data)
        panel.border_title = Content(f"Data check of {names}")
        reading = with_keys(READING)
        tell(reading)
        arguments = ("data", "check", *self.draft.check_arguments())
        try:
            self.report = await edgetune(self.workspace, *arguments, on_line=lambda line: tell(f"{reading}\n{one_line(line, 200)}"))
        except asyncio.CancelledError:
            tell(STOPPED)
            raise
        except BaseException:
            tell(with_keys(UNREAD))
            raise
        finally:
            self.call_later(self.refresh_bindings)
        self.draft.kind, self.draft.verdict, self.draft.rows = self.report["kind"], self.report["verdict"], self.report["kept"]
        self.changed()
        self._tell()
        self.refresh_bindings()
        self.row = 1
        self.show_row()

    def recolour(self) -> None:
        """Report and row."""
        if self.report:
            self._tell()
            self.show_row()

    def _tell(self) -> None:
        text = report_text(self.report, self.app.theme_variables, self.ours.ascii_only)
        self.query_one("#report", Static).update(text)

    @work(exclusive=True, group="row")
    @show_errors
    async def show_row(self) -> None:
        """A row token by token."""
        arguments = [
            "data",
            "preview",
            self.draft.data[0],
            "--row",
            str(self.row),
            *(["--base", self.draft.base] if self.draft.base else []),
        ]
        arguments += flags({name: self.draft.options[name] for name in ("format", "column_map") if name in self.draft.options})
        row = await edgetune(self.workspace, *arguments)
        self.query_one("#rows").border_title = f"Row {self.row}: green is what it learns"
        self.query_one("#row", Static).update(row_text(row, self.app.theme_variables))

    def action_row(self, by: int) -> None:
        """Another row."""
        last = self.report["files"][0]["read"]
        if 1 <= self.row + by <= last:
            self.row += by
            self.show_row()

    @work(group="dialog")
    @show_errors
    async def action_format(self) -> None:
        """Name the shape."""
        from edgetune.data.formats import format_order

        if choice := await self.app.push_screen_wait(
            Choose("Shape of the examples", ["auto", *format_order()], self.draft.options.get("format", "auto"))
        ):
            self._read_as("format", choice if choice != "auto" else None)

    @work(group="dialog")
    @show_errors
    async def action_map(self) -> None:
        """Name the columns."""
        from edgetune.data.detect import parse_map

        now = ",".join(self.draft.options.get("column_map", []))
        question = "Columns under other names, as instruction=question,output=answer (empty: as they are)"
        choice = await self.app.push_screen_wait(AskText(question, now, lambda text: parse_map([text] if text.strip() else [])))
        if choice is not None:
            self._read_as("column_map", [choice] if choice.strip() else None)

    def _read_as(self, name: str, value: Any) -> None:
        self.draft.options.pop(name, None)
        if value is not None:
            self.draft.options[name] = value
        if self.draft.data:
            self._take(self.draft.data)

    def action_stop(self) -> None:
        """Read no further; the command is stopped and waited for."""
        if self._reading:
            self.query_one("#report", Static).update("stopping …")
            self._reading.cancel()

    def action_anyway(self) -> None:
        """Override the X-ray."""
        self.draft.anyway = True
        self.changed()
        self.refresh_bindings()
        self.ours.say("It will be trained all the same.", "warning")

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Only what can be done now."""
        if action == "row":
            return bool(self.report)
        if action == "anyway":
            return self._stopped
        if action == "stop":
            return bool(self._reading and not self._reading.is_finished)
        return True

    @property
    def _stopped(self) -> bool:
        """Whether the X-ray advises against it, and nobody said to train all the same."""
        return self.draft.verdict == DO_NOT_TRAIN and not self.draft.anyway

    def _there(self, name: str) -> bool:
        """Whether a file or a preference file of that name is there."""
        return any(exists(Path(path)) for path in (name, name.rsplit(":", 1)[0], self.workspace.preferences / f"{name}.jsonl"))

    def lacking(self) -> str:
        """Files that were looked at and are good enough."""
        if not self.draft.data:
            return "Choose a file of examples first."
        missing = [name for name in self.draft.data if not self._there(name)]
        if missing:
            return safe_text(f"{missing[0]} is not there any more.")
        if not self.draft.kind:
            reading = self._reading and not self._reading.is_finished
            return "Still reading the file: one moment." if reading else "The file was not read. Choose it again, or another one."
        if self._stopped:
            return f"The data check says '{DO_NOT_TRAIN}': fix the file, or press {with_keys('{data.anyway}')} to train anyway."
        return ""
