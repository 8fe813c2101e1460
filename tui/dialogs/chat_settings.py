"""How a model answers: system prompt, sampling, length; and where votes on it go. Each with what it does."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from textual import on, work
from textual.app import ComposeResult
from textual.containers import Vertical

from edgetune.chat.sampling import Sampling
from edgetune.errors import InputError
from edgetune.sessions.chat_session import ChatSettings
from edgetune.storage.files import safe_name
from edgetune.text import said
from tui.dialogs.ask import AskText
from tui.dialogs.dialog import Dialog
from tui.keys import with_keys
from tui.widgets.listing import Line, Listing


@dataclass(frozen=True)
class Way:
    """One thing that can be turned. kind: what reads a typed value."""

    name: str
    title: str
    hint: str
    kind: Callable[[str], Any]


WAYS = (
    Way("system", "system prompt", "what the model is told before everything else", str),
    Way("temperature", "temperature", "0 takes the likeliest token; 1 is the model's own spread", float),
    Way("top_k", "top-k", "choose among the K likeliest tokens; 0 for all", int),
    Way("top_p", "top-p", "choose among the likeliest tokens that together reach P", float),
    Way("min_p", "min-p", "drop tokens less likely than this share of the likeliest", float),
    Way("repeat_penalty", "repeat penalty", "above 1, avoid the last 64 tokens", float),
    Way("seed", "seed", "repeat the same choices; empty draws one for each answer", int),
    Way("max_tokens", "longest answer", "in tokens; empty: 512, at most half the context", int),
    Way("into", "votes go to", "the preference file of that name, for 'train --method dpo'", safe_name),
)
OF_WAYS = ("system", "max_tokens", "into")
"""Those that are no part of the sampling."""


class ChatSettingsDialog(Dialog[None]):
    """Turns the ways of a talk. votes: whether votes can be given in it."""

    NAME = "How it answers"
    ABOUT = "Enter changes the marked setting; it holds from the next answer on."

    def __init__(self, ways: ChatSettings, votes: bool = True) -> None:
        super().__init__()
        self.ways = ways
        self.shown = [way for way in WAYS if votes or way.name != "into"]

    def compose(self) -> ComposeResult:
        """A list."""
        with Vertical(classes="box ways") as box:
            box.border_title, box.border_subtitle = self.NAME, with_keys("Enter changes, {dialog.close} closes")
            yield Listing("setting", "value", "what it does")

    def on_mount(self) -> None:
        """Show them."""
        self.draw()
        self.query_one(Listing).table.focus()

    def value(self, way: Way) -> Any:
        """What it is now."""
        return getattr(self.ways if way.name in OF_WAYS else self.ways.sampling, way.name)

    def draw(self) -> None:
        """The settings as they are."""
        self.query_one(Listing).show([Line(way.name, (way.title, said(self.value(way)) or "-", way.hint)) for way in self.shown])

    @on(Listing.Chosen)
    @work(group="dialog")
    async def change(self, event: Listing.Chosen) -> None:
        """Ask for another value."""
        way = next(way for way in WAYS if way.name == event.key)
        text = await self.app.push_screen_wait(AskText(f"{way.title}: {way.hint}", said(self.value(way)), lambda t: self.changed(way, t)))
        if text is not None:
            vars(self.ways).update(vars(self.changed(way, text)))
            self.draw()

    def changed(self, way: Way, text: str) -> ChatSettings:
        """The ways with one value changed. InputError where it cannot be."""
        text = text.strip()
        try:
            value: Any = way.kind(text) if text or way.kind in (str, safe_name) else None
        except ValueError as error:
            raise InputError(f"'{text[:40]}' is no number", f"{way.title} is one.", "Correct it.") from error
        if way.name == "max_tokens" and value is not None and value < 1:
            raise InputError("Nothing to generate", "It must be at least 1.", "Correct it.")
        if way.name in OF_WAYS:
            return replace(self.ways, **{way.name: value})
        if value is None and way.name != "seed":
            raise InputError("A number is needed", f"{way.title} cannot be empty.", "Type one.")
        sampling = Sampling(**{**self.ways.sampling.as_dict(), way.name: value})
        sampling.checked()
        return replace(self.ways, sampling=sampling)
