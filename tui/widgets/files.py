"""A file picker: one folder at a time, its files and folders as a list that can be filtered."""

from pathlib import Path

from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.message import Message

from edgetune.formatting import format_size
from edgetune.text import one_line
from tui.error_handling import run_in_thread, show_errors
from tui.widgets.listing import Line, Listing

UP = ".."


class Files(Vertical):
    """Lists a folder. Posts Picked on a file; a folder is opened. endings: of the files that are shown."""

    class Picked(Message):
        """A file was picked."""

        def __init__(self, path: Path) -> None:
            super().__init__()
            self.path = path

    def __init__(self, folder: Path, endings: tuple[str, ...], id: str | None = None) -> None:
        super().__init__(id=id)
        self.folder, self.endings = folder, endings

    def compose(self) -> ComposeResult:
        """The list."""
        yield Listing("name", "size", empty="nothing here", gives=0)

    def on_mount(self) -> None:
        """Open the first folder."""
        self.run_worker(self.open(self.folder), exclusive=True)

    @show_errors
    async def open(self, folder: Path) -> None:
        """Show a folder, its first file marked; the folder one comes from where there is that."""
        lines = await run_in_thread(_lines, folder, self.endings)
        came_from, self.folder = self.folder, folder
        listing = self.query_one(Listing)
        listing.border_title = Content(one_line(folder.name or str(folder), 40))
        listing.unfilter()
        listing.show(lines)
        names = [line.key for line in lines]
        first_file = next((number for number, line in enumerate(lines) if line.cells[1]), min(1, len(lines) - 1))
        from_below = came_from.parent == folder and came_from.name in names
        listing.table.move_cursor(row=names.index(came_from.name) if from_below else first_file)

    @on(Listing.Chosen)
    def chosen(self, event: Listing.Chosen) -> None:
        """Open a folder, pick a file."""
        event.stop()
        path = self.folder.parent if event.key == UP else self.folder / event.key
        if path.is_dir():
            self.run_worker(self.open(path), exclusive=True)
        else:
            self.post_message(self.Picked(path))

    @on(Listing.Moved)
    def moved(self, event: Listing.Moved) -> None:
        """Nobody's business."""
        event.stop()


def _lines(folder: Path, endings: tuple[str, ...]) -> list[Line]:
    folders, files = [], []
    for path in sorted(folder.iterdir(), key=lambda path: path.name.lower()):
        if path.name.startswith("."):
            continue
        try:
            if path.is_dir():
                folders.append(Line(path.name, (f"{one_line(path.name, 60)}/", "")))
            elif path.name.lower().endswith(endings):
                files.append(Line(path.name, (path.name, format_size(path.stat().st_size))))
        except OSError:
            continue
    return [Line(UP, ("../", "")), *folders, *files]
