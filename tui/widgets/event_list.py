"""All events of a run in words, however many: only the lines on screen are read and drawn."""

from functools import lru_cache
from typing import Any, ClassVar

from rich.segment import Segment
from rich.style import Style
from textual.binding import BindingType
from textual.geometry import Size
from textual.scroll_view import ScrollView
from textual.strip import Strip

from edgetune.errors import EdgeTuneError
from edgetune.runs.describe_event import describe_event
from edgetune.runs.history import History
from edgetune.text import one_line
from tui.cli_terms import in_app
from tui.keys import key

LINE_WIDTH = 300
"""Cells of a line."""
COLOURS = {"evaluated": "secondary", "sample": "primary", "finished": "success", "failed": "error", "stopped": "warning", "note": "warning"}


class EventList(ScrollView, can_focus=True):
    """The events of a history, newest last; it follows the end while it stands there.

    every: all events, steps too; otherwise only news.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        key("events.every", "a", "every", "All events", "Show every training step too, or only the main events."),
        key("events.end", "end,G", "end", "Newest", "Go to the newest and follow it.", show=False),
    ]

    def __init__(self, history: History, id: str | None = None) -> None:
        super().__init__(id=id, classes="panel")
        self.border_title = "Events"
        self.history, self.every = history, False
        self._following = True
        self._read = lru_cache(512)(history.event)

    @property
    def count(self) -> int:
        """Lines there are."""
        return len(self.history.places) if self.every else len(self.history.news)

    def update(self) -> None:
        """Take note of what the history has taken in."""
        if self.virtual_size.height != self.count:
            self.virtual_size = Size(LINE_WIDTH, self.count)
            self.border_subtitle = f"{self.count:,}"
            self.refresh()
            if self._following:
                self._to_end()

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """Who scrolls away from the end stays there; who comes back follows again."""
        super().watch_scroll_y(old_value, new_value)
        self._following = new_value >= self.max_scroll_y - 1

    def on_resize(self) -> None:
        """The end stays in sight."""
        if self._following:
            self._to_end()

    def _to_end(self) -> None:
        """By force: before it was laid out it counts as too short to be scrolled."""
        self.scroll_end(animate=False, force=True)

    def on_mount(self) -> None:
        """Show what is there already, from its end."""
        self.update()

    def action_every(self) -> None:
        """All events, or news alone."""
        self.every = not self.every
        self.virtual_size = Size(LINE_WIDTH, self.count)
        self.border_subtitle = f"{self.count:,}"
        self._to_end()
        self.refresh()

    def action_end(self) -> None:
        """To the newest."""
        self._to_end()

    def _event(self, line: int) -> dict[str, Any]:
        number = line if self.every else self.history.news[line]
        try:
            return self._read(number)
        except (OSError, ValueError, EdgeTuneError):  # the run was deleted under us
            return {"kind": "note", "text": "cannot be read any more"}

    def render_line(self, y: int) -> Strip:
        """One line, read when it is drawn."""
        left, top = self.scroll_offset
        line, width = y + top, self.size.width
        if line >= self.count:
            return Strip.blank(width, self.rich_style)
        event = self._event(line)
        style = Style.parse(self.app.theme_variables.get(COLOURS.get(event["kind"], ""), "") or "none")
        text = one_line(in_app(describe_event(event)), width - 1)
        return Strip([Segment(text, self.rich_style + style)]).crop_extend(left, left + width, self.rich_style)
