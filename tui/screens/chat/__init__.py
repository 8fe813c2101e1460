"""Chat with a GGUF or a run: streaming answers, stopped, asked again, edited; system prompt and sampling turned while talking."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import ClassVar

from textual import on, work
from textual.binding import BindingType
from textual.widget import Widget
from textual.widgets import Static

from edgetune.errors import EdgeTuneError
from edgetune.sessions.chat_session import ChatSession
from edgetune.text import one_line
from tui import gguf_of
from tui.dialogs.chat_settings import ChatSettingsDialog
from tui.error_handling import run_in_thread, show_errors
from tui.keys import key, with_keys
from tui.navigation import replace_screen
from tui.screens.chat.actions import ChatAround
from tui.widgets.bubbles import Bubbles, Question
from tui.widgets.prompt import Prompt
from tui.widgets.spark import bar
from tui.widgets.streamed import follow, stream


class Chat(ChatAround):
    """Talk with a model. source: a GGUF file, or the name of a run, exported first where it is not."""

    NAME = "Chat"
    ABOUT = (
        "Talk with a model, offline, through llama.cpp in a process of its own. Enter sends, Ctrl+J begins a new line, "
        "{chat.stop} stops an answer that is being written, and leaves when none is. Conversations are kept, with all their branches: "
        "{chat.up} marks an earlier message, to ask it otherwise, answer it anew or vote on it."
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        key("chat.stop", "escape", "back", "Stop or back", "Stop the answer that is written, what is there stays; leave when none is."),
        key("chat.again", "ctrl+r", "again", "Again", "Another answer to the last or marked question; the old one stays as a branch."),
        key("chat.edit", "ctrl+o", "edit", "Edit", "Change the last or marked question; the old one stays as a branch."),
        key("chat.ways", "ctrl+t", "ways", "Settings", "System prompt, temperature and the like."),
        key("chat.model", "ctrl+g", "model", "Other model", "Chat with another run, base or GGUF file.", show=False),
        key("chat.reset", "ctrl+l", "reset", "New talk", "Forget all that was said."),
    ]

    def __init__(self, source: str) -> None:
        super().__init__()
        self.source = source

    def body(self) -> Iterable[Widget]:
        """Messages, the line to type in, and the gauge."""
        yield Bubbles(id="bubbles")
        yield Prompt(id="prompt")
        yield Static("", id="gauge", markup=False)

    def on_mount(self) -> None:
        """Load the model."""
        self.bar.title(f"Chat · {one_line(Path(self.source).name)}")
        self.query_one(Prompt).focus()
        self.load()

    @work(exclusive=True, group="talk")
    @show_errors
    async def load(self) -> None:
        """Find or write the GGUF, and load it."""
        gauge = self.query_one("#gauge", Static)
        try:
            path = Path(self.source)
            if path.is_absolute() and path.is_dir():  # a name alone is a run's
                path = await gguf_of.base_file(self.workspace, path, gauge.update)
            elif path.suffix.lower() != ".gguf":
                path = await gguf_of.tuned(self.workspace, self.workspace.run(self.source), gauge.update)
            gauge.update(f"loading {path.name} …")
            talk = ChatSession(path)
            await run_in_thread(talk.load)
        except BaseException:
            gauge.update("No model is loaded.")
            raise
        self.talk = talk
        self.bar.note(f"{talk.description} · {path.name}")
        self.gauge()
        self.refresh_bindings()

    def gauge(self) -> None:
        """How full the context is, and how fast the last answer came."""
        talk = self.talk
        if not talk:
            return
        text = f"context {bar(talk.used / max(talk.context, 1), 12, self.ours.ascii_only)} {talk.used:,}/{talk.context:,}"
        if talk.stats:
            text += f"  {talk.stats.tokens_per_second:,.0f} tokens/s"
        ways = talk.settings
        on = [f"{one_line(name, 24)} {scale:g}" for name, scale in talk.adapters.items() if scale]
        text += f"  adapters: {', '.join(on)}" if on else ""
        text += f"  temperature {ways.sampling.temperature:g}" + ("  with a system prompt" if ways.system else "")
        self.query_one("#gauge", Static).update(text)

    @on(Prompt.Sent)
    def sent(self, event: Prompt.Sent) -> None:
        """Enter."""
        if self.answering:
            self.ours.say(with_keys("An answer is being written; {chat.stop} stops it."))
        elif not self.talk:
            self.ours.say("No model is loaded yet.")
        else:
            self.query_one(Prompt).text = ""
            self.answer(event.text)

    @work(exclusive=True, group="talk")
    @show_errors
    async def answer(self, text: str) -> None:
        """Ask, and show the answer while it is written."""
        await self.write(lambda talk: stream(talk, self.bubbles, text))

    async def write(self, act: Callable[[ChatSession], Awaitable[None]]) -> None:
        """Let the model write; the keys that go with it hold meanwhile."""
        talk = self.talk
        if talk is None:
            return
        self.answering = True
        self.mark(None)
        try:
            await act(talk)
        finally:
            self.answering = False
            self.bubbles.number(talk.branches)
            self.refresh_bindings()
            self.gauge()
            self.kept()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Only what can be done now."""
        if action in ("again", "edit", "reset"):
            return bool(self.talk and self.talk.questions and not self.answering)
        if action in ("ways", "model"):
            return bool(self.talk and not self.answering)
        return super().check_action(action, parameters)

    def action_back(self) -> None:
        """End the answer, or leave."""
        if self.answering and self.talk:
            self.talk.stop()
        else:
            super().action_back()

    @work(exclusive=True, group="talk")
    @show_errors
    async def action_again(self) -> None:
        """Another answer, with another seed."""
        at = self.meant(Question)
        if self.talk and at is not None:
            await self.bubbles.tell(self.talk.branches, at)
            reply = await self.bubbles.reply()
            try:
                await self.write(lambda talk: follow(talk, self.bubbles, reply, lambda: talk.answer_again(at)))
            except EdgeTuneError:
                await self.redraw()
                raise

    async def action_reset(self) -> None:
        """Forget all that was said."""
        if self.talk:
            self.talk.reset()
            await self.redraw()

    def action_ways(self) -> None:
        """System prompt and sampling."""
        if self.talk:
            self.app.push_screen(ChatSettingsDialog(self.talk.settings), lambda _: self.gauge())

    @work(group="dialog")
    async def action_model(self) -> None:
        """Leave this model for another."""
        from tui.dialogs.choose_models import ChooseModels

        if chosen := await self.app.push_screen_wait(ChooseModels(self.workspace, [], 1)):
            replace_screen(self.app, "chat", chosen[0].place)

    def on_unmount(self) -> None:
        """The process ends with the screen."""
        if self.talk:
            self.talk.stop()
            asyncio.get_running_loop().run_in_executor(None, self.talk.close)
