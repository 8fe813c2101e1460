"""Chat with a GGUF or a run: answers as they are written, stopped, asked again, edited, voted on; settings turned meanwhile.

The screen loads the model and lets it write; `branches`, `votes` and `links` hold the rest of what its keys do.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import ClassVar

from textual import on, work
from textual.binding import BindingType
from textual.widget import Widget
from textual.widgets import Static

from edgetune.errors import EdgeTuneError
from edgetune.sessions.chat_session import ChatSession, ChatSettings
from edgetune.text import one_line
from tui import gguf_of
from tui.dialogs.chat_settings import ChatSettingsDialog
from tui.error_handling import run_or_undo, show_errors
from tui.keys import with_keys
from tui.pages.page import Page
from tui.screens.chat.branches import ChatBranches
from tui.screens.chat.keys import ANSWER_KEYS, BRANCH_KEYS, LINK_KEYS, VOTE_KEYS
from tui.screens.chat.links import ChatLinks
from tui.screens.chat.votes import ChatVotes
from tui.widgets.bubbles import Bubbles, Question
from tui.widgets.prompt import Prompt
from tui.widgets.spark import bar
from tui.widgets.streamed import follow, stream
from tui.widgets.text_line import set_text


class Chat(Page):
    """Chat with a model. source: a GGUF file, or the name of a run, exported first where it is not."""

    NAME = "Chat"
    ABOUT = (
        "Chat with a model, offline, through llama.cpp in a separate process. Enter sends, Ctrl+J begins a new line, "
        "{chat.stop} stops an answer that is being written, or goes back. Conversations are saved, with all their branches: "
        "{chat.up} selects an earlier message, to ask it otherwise, have it answered again or vote on it."
    )
    BINDINGS: ClassVar[list[BindingType]] = [*BRANCH_KEYS, *VOTE_KEYS, *LINK_KEYS, *ANSWER_KEYS]

    def __init__(self, source: str) -> None:
        super().__init__()
        self.source = source
        self.answering = False
        self.branches = ChatBranches(Bubbles(id="bubbles"), self.refresh_state)
        self.votes = ChatVotes(self, self.branches)
        self.links = ChatLinks(self, self.branches)

    def body(self) -> Iterable[Widget]:
        """Messages, the line to type in, and the gauge."""
        yield self.branches.bubbles
        yield Prompt(id="prompt")
        yield Static("", id="gauge", markup=False)

    @property
    def session(self) -> ChatSession | None:
        """The model and the conversation; None until the model is loaded."""
        return self.branches.session

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
                path = await gguf_of.base_folder_gguf(self.workspace, path, gauge.update)
            elif path.suffix.lower() != ".gguf":
                path = await gguf_of.tuned(self.workspace, self.workspace.run(self.source), gauge.update)
            gauge.update(f"loading {path.name} …")
            session = ChatSession(path)
            await run_or_undo(session.load, session.close)
        except BaseException:
            gauge.update("No model is loaded.")
            raise

        # From here on questions can be asked.
        self.branches.session = session
        self.bar.note(f"{session.description} · {path.name}")
        self.refresh_state()

    def refresh_state(self) -> None:
        """The keys that are valid now; how full the context is, and how fast the last answer came."""
        self.refresh_bindings()
        if not (session := self.session) or self.answering:  # the figures of the last answer stay until there are new ones
            return
        text = f"context {bar(session.used / max(session.context, 1), 12, self.ours.ascii_only)} {session.used:,}/{session.context:,}"
        if session.stats:
            text += f"  {session.stats.tokens_per_second:,.0f} tokens/s"
        active = [f"{one_line(name, 24)} {scale:g}" for name, scale in session.adapters.items() if scale]
        text += f"  adapters: {', '.join(active)}" if active else ""
        settings = session.settings
        text += f"  temperature {settings.sampling.temperature:g}" + ("  with a system prompt" if settings.system else "")
        set_text(self, "#gauge", text)

    @on(Prompt.Sent)
    def sent(self, event: Prompt.Sent) -> None:
        """Enter."""
        if self.answering:
            self.ours.say(with_keys("An answer is being written; {chat.stop} stops it."))
        elif not self.session:
            self.ours.say("No model is loaded yet.")
        else:
            self.query_one(Prompt).text = ""
            self.answer(event.text)

    @work(exclusive=True, group="talk")
    @show_errors
    async def answer(self, text: str) -> None:
        """Ask, and show the answer while it is written."""
        await self.write(lambda session: stream(session, self.branches.bubbles, text))

    async def write(self, act: Callable[[ChatSession], Awaitable[None]]) -> None:
        """Let the model write; the keys that go with it hold meanwhile."""
        session = self.session
        if session is None:
            return
        self.answering = True
        self.branches.select(None)
        try:
            await act(session)
        finally:
            self.answering = False
            self.branches.bubbles.number(session.branches)
            self.refresh_state()
            self.keep()

    @work(group="keep")
    @show_errors
    async def keep(self) -> None:
        """Write the conversation down."""
        await self.branches.keep(self.workspace.conversations)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Only what can be done now."""
        free = bool(self.session and not self.answering)
        if action == "select":
            return free and bool(self.branches.path)
        if action == "branch":
            return free and self.branches.forked() is not None
        if action in ("second", "thumbs", "better"):
            return free and self.votes.possible
        if action in ("again", "edit", "reset", "example"):
            return free and bool(self.session and self.session.questions)
        return free if action in ("settings", "model", "conversations", "adapters", "two_models", "rank") else True

    def action_back(self) -> None:
        """End the answer, or leave."""
        if self.answering and self.session:
            self.session.stop()
        else:
            super().action_back()

    def action_select(self, step: int) -> None:
        """Another message."""
        self.branches.select_next(step)

    @show_errors
    async def action_branch(self, step: int) -> None:
        """Another branch at a fork."""
        await self.branches.switch(step)
        self.keep()

    @work(exclusive=True, group="talk")
    @show_errors
    async def action_again(self) -> None:
        """Another answer, with another seed."""
        at = self.branches.target(Question)
        if self.session is None or at is None:
            return
        bubbles = self.branches.bubbles
        await bubbles.show(self.session.branches, at)
        reply = await bubbles.reply()
        try:
            await self.write(lambda session: follow(session, bubbles, reply, lambda: session.answer_again(at)))
        except EdgeTuneError:
            await self.branches.redraw()
            raise

    async def action_edit(self) -> None:
        """The question, back to where it is typed."""
        text = await self.branches.take_back()
        if text is not None:
            prompt = self.query_one(Prompt)
            prompt.text = text
            prompt.move_cursor(prompt.document.end)
            prompt.focus()

    async def action_reset(self) -> None:
        """A new conversation."""
        if self.session:
            self.session.reset()
            await self.branches.redraw()

    def action_settings(self) -> None:
        """System prompt and sampling."""
        if not (session := self.session):
            return

        def use(settings: ChatSettings | None) -> None:
            session.settings = settings or session.settings
            self.refresh_state()

        self.app.push_screen(ChatSettingsDialog(session.settings), use)

    @work(group="votes")
    @show_errors
    async def action_thumbs(self, good: bool) -> None:
        """A verdict on one answer."""
        await self.votes.thumbs(good)

    @work(group="dialog")
    @show_errors
    async def action_better(self) -> None:
        """The person's own version of an answer."""
        await self.votes.edit()
        self.keep()

    @work(group="dialog")
    @show_errors
    async def action_second(self) -> None:
        """A second answer, and the choice."""
        await self.votes.second()
        self.keep()

    @work(group="dialog")
    @show_errors
    async def action_conversations(self) -> None:
        """Continue a conversation that was kept."""
        await self.links.conversations()
        self.query_one(Prompt).focus()

    @work(group="dialog")
    @show_errors
    async def action_example(self) -> None:
        """Add the conversation to a file of examples."""
        await self.links.example()

    def action_adapters(self) -> None:
        """Adapters on or off, and how strong."""
        self.links.adapters()

    @work(group="dialog")
    async def action_two_models(self) -> None:
        """This model and another."""
        await self.links.two_models()

    def action_rank(self) -> None:
        """Several answers of this model, prompt by prompt."""
        self.links.rank()

    @work(group="dialog")
    async def action_model(self) -> None:
        """Leave this model for another."""
        await self.links.other_model()

    def on_unmount(self) -> None:
        """The process ends with the screen."""
        if self.session:
            self.session.stop()
            asyncio.get_running_loop().run_in_executor(None, self.session.close)
