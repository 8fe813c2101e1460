"""A table that can be filtered, keeps its place while its rows change, and says what to do while it is empty."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.events import Key
from textual.message import Message
from textual.widgets import DataTable, Input, Static

from edgetune.text import one_line
from tui.keys import key

Cell = str | Text


@dataclass(frozen=True)
class Line:
    """A row: what it is called inside, its cells, and what the filter finds beside them."""

    key: str
    cells: tuple[Cell, ...]
    hidden: str = ""

    @property
    def text(self) -> str:
        """What the filter looks at."""
        return " ".join(str(cell) for cell in self.cells).lower() + self.hidden


def safe(cell: Cell) -> Text:
    """A cell that cannot drive a terminal and is never markup."""
    return cell if isinstance(cell, Text) else Text(one_line(cell, 200), no_wrap=True)


class Listing(Vertical):
    """Rows under a head. Posts Chosen on Enter, Moved when the cursor comes to another row."""

    DEFAULT_CSS = """
    Listing { height: 1fr; }
    Listing Input { display: none; height: 1; border: none; padding: 0 1; }
    Listing.-filtering Input { display: block; }
    Listing .empty { display: none; height: 1fr; content-align: center middle; text-align: center; padding: 0 2; }
    Listing.-empty .empty { display: block; }
    Listing.-empty DataTable { display: none; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        key("list.filter", "slash", "filter", "Filter", "Show only the rows that hold a text.", show=False)
    ]

    class About(Message):
        """Something about a row."""

        def __init__(self, listing: "Listing", key: str) -> None:
            super().__init__()
            self.listing, self.key = listing, key

        @property
        def control(self) -> "Listing":
            """The listing it came from."""
            return self.listing

    class Chosen(About):
        """Enter was pressed on a row, or it was clicked."""

    class Moved(About):
        """The cursor came to another row."""

    def __init__(self, *columns: str, id: str | None = None, empty: str = "") -> None:
        super().__init__(id=id)
        self.columns, self._empty = columns, empty
        self.lines: list[Line] = []
        self._drawn: list[Line] = []
        self._wanted = ""

    def compose(self) -> ComposeResult:
        """The filter's line, the table, and what stands there while it is empty."""
        yield Input(placeholder="filter", compact=True)
        yield DataTable(cursor_type="row", zebra_stripes=False, show_header=bool(self.columns))
        yield Static(self._empty, classes="empty", markup=False)

    def on_mount(self) -> None:
        """Columns, once."""
        for column in self.columns:
            self.table.add_column(Text(column))
        self._draw()

    @property
    def table(self) -> "DataTable[Text]":
        """The table itself."""
        return self.query_one(DataTable)

    @property
    def current(self) -> str | None:
        """The key of the row under the cursor."""
        row = self.table.cursor_row if self._drawn else -1
        return self._drawn[row].key if 0 <= row < len(self._drawn) else None

    def show(self, lines: Sequence[Line]) -> None:
        """Show these rows. The cursor stays on the row it was on."""
        self.lines = list(lines)
        self._draw()

    def empty(self, text: str) -> None:
        """What stands there while there are no rows."""
        self.query_one(".empty", Static).update(text)

    def _draw(self) -> None:
        wanted = [line for line in self.lines if self._wanted in line.text] if self._wanted else self.lines
        self.set_class(not self.lines, "-empty")
        table, before = self.table, self.current
        if [line.key for line in wanted] != [line.key for line in self._drawn]:
            table.clear()
            for line in wanted:
                table.add_row(*map(safe, line.cells), key=line.key)
            self._drawn = wanted
            at = next((number for number, line in enumerate(wanted) if line.key == before), 0)
            table.move_cursor(row=at, animate=False)
            return
        for number, (old, new) in enumerate(zip(self._drawn, wanted, strict=True)):
            for place, (was, now) in enumerate(zip(old.cells, new.cells, strict=True)):
                if was != now:
                    table.update_cell_at((number, place), safe(now), update_width=True)  # type: ignore[arg-type]
        self._drawn = wanted

    def action_filter(self) -> None:
        """Open the filter's line."""
        self.add_class("-filtering")
        self.query_one(Input).focus()

    def on_input_changed(self, event: Input.Changed) -> None:
        """Filter while it is typed."""
        event.stop()
        self._wanted = event.value.strip().lower()
        self._draw()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Enter: back to the rows that are left."""
        event.stop()
        self.table.focus()

    def key_escape(self, event: Key) -> None:
        """Escape in the filter shows all rows again; elsewhere it is the screen's."""
        if self.has_class("-filtering"):
            event.stop()
            self.query_one(Input).value = ""
            self.remove_class("-filtering")
            self.table.focus()

    def on_data_table_row_selected(self, event: "DataTable.RowSelected") -> None:
        """Enter or a click on the row."""
        event.stop()
        if event.row_key.value:
            self.post_message(self.Chosen(self, event.row_key.value))

    def on_data_table_row_highlighted(self, event: "DataTable.RowHighlighted") -> None:
        """The cursor moved."""
        event.stop()
        if event.row_key and event.row_key.value:
            self.post_message(self.Moved(self, event.row_key.value))
