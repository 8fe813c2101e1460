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
from edgetune.text import format_value
from tui.dialogs.ask import AskText
from tui.dialogs.dialog import Dialog
from tui.keys import with_keys
from tui.widgets.listing import Line, Listing


@dataclass(frozen=True)
class Setting:
    """One thing that can be changed. read: what reads a typed value."""

    name: str
    title: str
    hint: str
    read: Callable[[str], Any]


SETTINGS = (
    Setting("system", "system prompt", "What the model is told before everything else.", str),
    Setting("temperature", "temperature", "0 always gives the likeliest token; 1 is the model's own spread.", float),
    Setting("top_k", "top-k", "Choose among the K likeliest tokens; 0 for all.", int),
    Setting("top_p", "top-p", "Choose among the likeliest tokens that together reach P.", float),
    Setting("min_p", "min-p", "Drop tokens less likely than this share of the likeliest.", float),
    Setting("repeat_penalty", "repeat penalty", "Above 1, the last 64 tokens are avoided.", float),
    Setting("seed", "seed", "Repeat the same choices; empty draws one for each answer.", int),
    Setting("max_tokens", "longest answer", "In tokens; empty means 512, at most half the context.", int),
    Setting("into", "votes go to", "The preference file of that name, for 'train --method dpo'.", safe_name),
)
NOT_SAMPLING = ("system", "max_tokens", "into")
"""Those that are no part of the sampling."""


class ChatSettingsDialog(Dialog[ChatSettings]):
    """Changes how a chat answers, and gives the changed settings. votes: whether votes can be given in it."""

    NAME = "How it answers"
    ABOUT = "Enter changes the selected setting, from the next answer on."

    def __init__(self, settings: ChatSettings, votes: bool = True) -> None:
        super().__init__()
        self.settings = settings
        self.shown = [setting for setting in SETTINGS if votes or setting.name != "into"]

    def compose(self) -> ComposeResult:
        """A list."""
        with Vertical(classes="box list-box") as box:
            box.border_title, box.border_subtitle = self.NAME, with_keys("Enter changes, {dialog.close} closes")
            yield Listing("setting", "value", "what it does")

    def on_mount(self) -> None:
        """Show them."""
        self.draw()
        self.query_one(Listing).table.focus()

    def value(self, setting: Setting) -> Any:
        """What it is now."""
        return getattr(self.settings if setting.name in NOT_SAMPLING else self.settings.sampling, setting.name)

    def draw(self) -> None:
        """The settings as they are."""
        self.query_one(Listing).show(
            [Line(setting.name, (setting.title, format_value(self.value(setting)) or "-", setting.hint)) for setting in self.shown]
        )

    @on(Listing.Chosen)
    @work(group="dialog")
    async def change(self, event: Listing.Chosen) -> None:
        """Ask for another value."""
        setting = next(setting for setting in SETTINGS if setting.name == event.key)
        text = await self.app.push_screen_wait(
            AskText(f"{setting.title}: {setting.hint}", format_value(self.value(setting)), lambda t: self.changed(setting, t))
        )
        if text is not None:
            self.settings = self.changed(setting, text)
            self.draw()

    def action_close(self) -> None:
        """Leave with the settings as they are now."""
        self.dismiss(self.settings)

    def changed(self, setting: Setting, text: str) -> ChatSettings:
        """The settings with one value changed. InputError where it cannot be."""
        text = text.strip()
        try:
            value: Any = setting.read(text) if text or setting.read in (str, safe_name) else None
        except ValueError as error:
            raise InputError(f"'{text[:40]}' is not a number", f"{setting.title} needs one.", "Type a number, such as 1.") from error
        if setting.name == "max_tokens" and value is not None and value < 1:
            raise InputError("Nothing to generate", "An answer has at least 1 token.", "Type a larger number, or nothing.")
        if setting.name in NOT_SAMPLING:
            return replace(self.settings, **{setting.name: value})
        if value is None and setting.name != "seed":
            raise InputError("A number is needed", f"{setting.title} cannot be empty.", "Type a number, or close this.")
        sampling = Sampling(**{**self.settings.sampling.as_dict(), setting.name: value})
        sampling.checked()
        return replace(self.settings, sampling=sampling)
