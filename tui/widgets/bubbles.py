"""Who said what: questions as they were typed, answers as Markdown that grows without being drawn anew."""

from collections.abc import Sequence
from typing import Any

from textual.app import ComposeResult
from textual.containers import Vertical, VerticalScroll
from textual.widgets import Markdown, Static

from edgetune.text import safe_text

NEAR = 3
"""Lines from the end within which the view follows what is written."""


class Question(Static):
    """What the person said."""

    def __init__(self, text: str) -> None:
        super().__init__(safe_text(text), markup=False, classes="question")


class Reply(Vertical):
    """What the model said, and below it how fast."""

    def __init__(self, text: str = "") -> None:
        super().__init__()
        self._text = safe_text(text)

    def compose(self) -> ComposeResult:
        """Markdown whose links go nowhere: nothing a model writes may open a browser."""
        yield Markdown(self._text, open_links=False)
        yield Static("", classes="how", markup=False)

    @property
    def markdown(self) -> Markdown:
        """The text."""
        return self.query_one(Markdown)

    def how(self, text: str) -> None:
        """Say how it went."""
        self.query_one(".how", Static).update(text)


class Bubbles(VerticalScroll):
    """The messages, newest last; the view follows only while it is near the end."""

    def near_end(self) -> bool:
        """Whether the end is in sight."""
        return self.scroll_offset.y >= self.max_scroll_y - NEAR

    async def ask(self, text: str) -> Reply:
        """Add a question and the place for its answer."""
        reply = Reply()
        await self.mount(Question(text), reply)
        self.anchor()
        return reply

    async def tell(self, messages: Sequence[dict[str, Any]]) -> None:
        """Show what was said before."""
        for message in messages:
            text = str(message["content"])
            await self.mount(Question(text) if message["role"] == "user" else Reply(text))
        self.anchor()

    async def drop_last(self) -> None:
        """Take the last question and its answer away."""
        for kind in (Reply, Question):
            found = list(self.query(kind))
            if found:
                await found[-1].remove()

    async def notice(self, text: str) -> None:
        """A word that is neither's."""
        await self.mount(Static(safe_text(text), markup=False, classes="how"))
