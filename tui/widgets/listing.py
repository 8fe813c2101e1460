"""A table that can be filtered, keeps its place while its rows change, and says what to do while it is empty."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from rich.cells import cell_len
from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.message import Message
from textual.visual import VisualType
from textual.widgets import DataTable, Input, Static

from edgetune.text import one_line
from tui.keys import key, with_keys
from tui.widgets.columns import cut, fitted
from tui.widgets.text_line import set_text

Cell = str | Text
NO_MATCH = "No row holds this text.  {list.all} shows all again."


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


class Rows(DataTable[Text]):
    """A table whose first and last row are the ends, where Textual's goes to the first and last column."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("home", "scroll_top", show=False), Binding("end", "scroll_bottom", show=False)]


class Listing(Vertical):
    """Rows under a head. Posts Chosen on Enter, Moved when the cursor comes to another row.

    gives: the column that is cut short first where the terminal is too narrow for all; the last, which mostly explains.
    """

    DEFAULT_CSS = """
    Listing { height: 1fr; }
    Listing Input { display: none; height: 1; border: none; padding: 0 1; }
    Listing.-filtering Input { display: block; }
    Listing .empty { display: none; height: 1fr; content-align: center middle; text-align: center; padding: 0 2; }
    Listing.-empty .empty { display: block; }
    Listing.-empty DataTable { display: none; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        key("list.filter", "slash", "filter", "Filter", "Show only the rows that hold a text.", show=False),
        key("list.all", "escape", "show_all", "Show all", "Show all rows again."),
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

    def __init__(self, *columns: str, id: str | None = None, empty: VisualType = "", gives: int = -1) -> None:
        super().__init__(id=id, classes="-empty")
        self.columns, self._empty, self.gives = columns, empty, gives
        self.lines: list[Line] = []
        self._drawn: list[Line] = []
        self._cells: list[list[Text]] = []
        self._wanted = ""

    def compose(self) -> ComposeResult:
        """The filter's line, the table, and what stands there while it is empty."""
        yield Input(placeholder="filter", compact=True)
        yield Rows(cursor_type="row", zebra_stripes=False, show_header=bool(self.columns))
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

    def empty(self, text: VisualType) -> None:
        """What stands there while there are no rows."""
        self._empty = text
        self._tell()

    def _tell(self) -> None:
        """Why there are no rows."""
        set_text(self, ".empty", with_keys(NO_MATCH) if self.lines else self._empty)

    def on_resize(self) -> None:
        """Another width has room for more or less of each column."""
        self._draw()

    def _draw(self) -> None:
        if not self.query(DataTable):  # the screen is being left, or is not there yet
            return
        wanted = [line for line in self.lines if self._wanted in line.text] if self._wanted else self.lines
        if bool(wanted) is self.has_class("-empty") or not wanted:
            self.set_class(not wanted, "-empty")
            self._tell()
        table, before = self.table, self.current
        cells = self._room([[safe(cell) for cell in line.cells] for line in wanted])

        # Other rows than before: the table is filled again, the cursor on the row it was on.
        if [line.key for line in wanted] != [line.key for line in self._drawn]:
            table.clear()
            for line, row in zip(wanted, cells, strict=True):
                table.add_row(*row, key=line.key)
            self._drawn, self._cells = wanted, cells
            at = next((number for number, line in enumerate(wanted) if line.key == before), 0)
            table.move_cursor(row=at, animate=False)
            return

        # The same rows: only cells that changed are drawn.
        for number, (old, new) in enumerate(zip(self._cells, cells, strict=True)):
            for column, (was, now) in enumerate(zip(old, new, strict=True)):
                if was != now or was.style != now.style:
                    table.update_cell_at((number, column), now, update_width=True)  # type: ignore[arg-type]
        self._drawn, self._cells = wanted, cells

    def _room(self, rows: list[list[Text]]) -> list[list[Text]]:
        """The cells, cut where they are too long for all columns to be seen; the columns as wide as that.

        The table would measure its columns only after it has drawn them.
        """
        if not rows or not self.size.width:
            return rows
        heads = [cell_len(column) for column in self.columns] or [0] * len(rows[0])
        widths = [max(head, *(row[at].cell_len for row in rows)) for at, head in enumerate(heads)]
        scrolls = len(rows) + bool(self.columns) > self.size.height - self.has_class("-filtering")
        room = fitted(widths, self.size.width - 2 * len(widths) - scrolls, self.gives, heads[self.gives])
        for column, width in zip(self.table.ordered_columns, room, strict=True):
            column.auto_width, column.width = False, width
        return [[cut(cell, width) for cell, width in zip(row, room, strict=True)] for row in rows] if room != widths else rows

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """All rows are shown again only where some are not."""
        return self.has_class("-filtering") if action == "show_all" else True

    def action_filter(self) -> None:
        """Open the filter's line."""
        self.add_class("-filtering")
        self.query_one(Input).focus()
        self.screen.refresh_bindings()

    def action_show_all(self) -> None:
        """Close the filter's line: all rows again."""
        self.unfilter()
        self.table.focus()

    def unfilter(self) -> None:
        """All rows; the focus stays where it is."""
        self._wanted = self.query_one(Input).value = ""
        self.remove_class("-filtering")
        self._draw()
        self.screen.refresh_bindings()

    def on_input_changed(self, event: Input.Changed) -> None:
        """Filter while it is typed."""
        event.stop()
        self._wanted = event.value.strip().lower()
        self._draw()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Enter: back to the rows that are left."""
        event.stop()
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
