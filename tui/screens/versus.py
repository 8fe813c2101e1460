"""Two models side by side, mostly a run and its base: the same question to both."""

import asyncio
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

from rich.text import Text
from textual import on, work
from textual.binding import BindingType
from textual.containers import Horizontal
from textual.widget import Widget
from textual.widgets import Static

from edgetune.sessions.chat_session import ChatSession, ChatSettings
from edgetune.sessions.models import Model
from edgetune.storage.workspace import Run
from edgetune.text import one_line
from tui import gguf_of
from tui.dialogs.chat_settings import ChatSettingsDialog
from tui.error_handling import run_or_undo, show_errors
from tui.keys import key
from tui.pages.page import Page
from tui.widgets.bubbles import Bubbles
from tui.widgets.prompt import Prompt
from tui.widgets.streamed import stream
from tui.widgets.text_line import set_text


class Versus(Page):
    """Asks a run's base and the run the same questions, or any two models."""

    NAME = "Base and tuned"
    ABOUT = (
        "The same question to two models, mostly the base and what was made of it, one after the other, each with the machine to itself. "
        "Enter sends; {versus.stop} stops, or goes back if nothing is being written. Temperature 0 makes the answers repeatable."
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        key("versus.stop", "escape", "back", "Stop or back", "Stop the answers; if none is being written, go back."),
        key("versus.ways", "ctrl+t", "settings", "Settings", "System prompt, temperature and the like, for both."),
        key("versus.reset", "ctrl+l", "reset", "New chat", "Start a new chat with both models."),
    ]

    def __init__(self, run: Run | None, pair: tuple[Model, Model] | None = None) -> None:
        super().__init__()
        self.run_shown, self.pair = run, pair
        self.sessions: list[ChatSession] = []
        self.answering = False

    @property
    def names(self) -> tuple[str, ...]:
        """What the two are called."""
        return tuple(model.name for model in self.pair) if self.pair else ("base", "tuned")

    async def files(self) -> list[Path]:
        """Both as GGUF files, written first where they are not."""
        if self.pair:
            return [await gguf_of.of_model(model, self.workspace, self.tell) for model in self.pair]
        assert self.run_shown is not None
        return [await find(self.workspace, self.run_shown, self.tell) for find in (gguf_of.base, gguf_of.tuned)]

    def body(self) -> Iterable[Widget]:
        """Two columns of messages, one line to type in."""
        with_base, with_tuned = Bubbles(id="base", classes="panel"), Bubbles(id="tuned", classes="panel")
        with_base.border_title, with_tuned.border_title = (Text(one_line(name, 40)) for name in self.names)
        yield Horizontal(with_base, with_tuned, id="versus")
        yield Prompt(id="prompt")
        yield Static("", id="gauge", markup=False)

    def on_mount(self) -> None:
        """Load both."""
        self.bar.title(" and ".join(self.names) if self.run_shown is None else f"{self.NAME} · {self.run_shown.name}")
        self.query_one(Prompt).focus()
        self.load()

    def tell(self, text: str) -> None:
        """Say what goes on."""
        set_text(self, "#gauge", text)

    @work(exclusive=True, group="talk")
    @show_errors
    async def load(self) -> None:
        """Find or write both files, and load them."""
        sessions: list[ChatSession] = []
        try:
            for path in await self.files():
                sessions.append(session := ChatSession(path))
                self.tell(f"loading {path.name} …")
                await run_or_undo(session.load, session.close)
                session.settings.sampling = replace(session.settings.sampling, temperature=0.0)
        except BaseException:
            # Whatever failed, no process may be left without a screen that ends it.
            close_in_background(sessions)
            self.tell("The two models are not loaded.")
            raise
        self.sessions = sessions
        self._ready()

    def _ready(self) -> None:
        self.tell(f"temperature {self.sessions[0].settings.sampling.temperature:g}" if self.sessions else "")
        self.refresh_bindings()

    @on(Prompt.Sent)
    def sent(self, event: Prompt.Sent) -> None:
        """Enter."""
        if self.sessions and not self.answering:
            self.query_one(Prompt).text = ""
            self.answer(event.text)
        else:
            self.ours.say("The models are still loading, or answering.")

    @work(exclusive=True, group="talk")
    @show_errors
    async def answer(self, text: str) -> None:
        """Ask the base, then the tuned model."""
        self.answering = True
        self.refresh_bindings()
        try:
            for session, name in zip(self.sessions, ("#base", "#tuned"), strict=True):
                if self.answering:
                    await stream(session, self.query_one(name, Bubbles), text)
        finally:
            self.answering = False
            self.refresh_bindings()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Only what can be done now."""
        if action in ("settings", "reset"):
            return bool(self.sessions and not self.answering)
        return True

    def action_back(self) -> None:
        """Stop, or leave."""
        if not self.answering:
            super().action_back()
            return
        self.answering = False
        for session in self.sessions:
            session.stop()

    async def action_reset(self) -> None:
        """A new chat with both."""
        for session, name in zip(self.sessions, ("#base", "#tuned"), strict=True):
            session.reset()
            await self.query_one(name, Bubbles).remove_children()

    def action_settings(self) -> None:
        """The same for both."""

        def use(settings: ChatSettings | None) -> None:
            for session in self.sessions:
                session.settings = replace(settings or session.settings)
            self._ready()

        self.app.push_screen(ChatSettingsDialog(self.sessions[0].settings, votes=False), use)

    def on_unmount(self) -> None:
        """The processes end with the screen."""
        close_in_background(self.sessions)


def close_in_background(sessions: Iterable[ChatSession]) -> None:
    """End processes, beside the UI."""
    for session in sessions:
        session.stop()
        asyncio.get_running_loop().run_in_executor(None, session.close)
