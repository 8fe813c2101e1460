"""What a chat does with what was said: mark a message, ask it otherwise, answer it anew, go from branch to branch."""

import asyncio
from typing import ClassVar

from textual import work
from textual.binding import BindingType

from edgetune.sessions.chat_session import ChatSession
from tui.error_handling import run_in_thread, show_errors
from tui.keys import key
from tui.pages.page import Page
from tui.widgets.bubbles import Bubbles, Question, Reply
from tui.widgets.prompt import Prompt


class ChatTurns(Page):
    """A page with a talk and its bubbles. marked: the message that is meant, None for the last ones."""

    BINDINGS: ClassVar[list[BindingType]] = [
        key("chat.up", "ctrl+up", "mark(-1)", "Message before", "Mark the message before: what follows is about that one.", show=False),
        key("chat.down", "ctrl+down", "mark(1)", "Message after", "Mark the message after.", show=False),
        key("chat.branch", "ctrl+n", "branch(1)", "Branch", "The next branch at the marked message, or at the last fork."),
        key("chat.unbranch", "ctrl+b", "branch(-1)", "Branch before", "The branch before that one.", show=False),
    ]

    def __init__(self) -> None:
        super().__init__()
        self.talk: ChatSession | None = None
        self.answering = False
        self.marked: int | None = None
        self._one_writer = asyncio.Lock()

    @property
    def bubbles(self) -> Bubbles:
        """The messages."""
        return self.query_one(Bubbles)

    @property
    def path(self) -> list[int]:
        """The turns of the branch that is open."""
        return self.talk.branches.path() if self.talk else []

    def meant(self, kind: type[Question] | type[Reply]) -> int | None:
        """The question or the answer that is meant: the marked one, or its partner, or the last."""
        path, role = self.path, "user" if kind is Question else "assistant"
        turns = self.talk.branches.turns if self.talk else []
        found = [at for at in path if turns[at].role == role]
        if self.marked not in path:
            return found[-1] if found else None
        place = path.index(self.marked)
        if role == "user":
            return next((at for at in reversed(path[: place + 1]) if turns[at].role == role), None)
        return next((at for at in path[place:] if turns[at].role == role), None)

    def forked(self) -> int | None:
        """Where branches can be switched: at the marked message or its answer, or at the last fork."""
        if not self.talk:
            return None
        place = self.talk.branches.branch_number
        marked = self.marked in self.path
        near = [self.marked, self.meant(Reply), self.meant(Question)] if marked else list(reversed(self.path))
        return next((at for at in near if at is not None and place(at)[1] > 1), None)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Only what can be done now."""
        free = bool(self.talk and not self.answering)
        if action == "mark":
            return free and bool(self.path)
        return free and self.forked() is not None if action == "branch" else True

    def mark(self, at: int | None) -> None:
        """Mean another message."""
        self.marked = at
        self.bubbles.mark(at)
        self.refresh_bindings()

    def action_mark(self, step: int) -> None:
        """The message before or after; after the last one, none."""
        path = self.path
        place = path.index(self.marked) if self.marked in path else len(path)
        place = max(place + step, 0)
        self.mark(path[place] if place < len(path) else None)

    @show_errors
    async def action_branch(self, step: int) -> None:
        """Another branch at a fork."""
        at = self.forked()
        if self.talk and at is not None:
            was_marked = self.marked is not None
            self.talk.switch(at, step)
            await self.redraw()
            begin = next((turn for turn in self.path if self.talk.branches.turns[turn].parent == self.talk.branches.turns[at].parent), None)
            self.mark(begin if was_marked else None)
            self.kept()

    async def redraw(self) -> None:
        """All messages of the branch that is open."""
        if self.talk:
            await self.bubbles.tell(self.talk.branches)
            self.mark(None)
            self.gauge()

    @work(group="keep")
    @show_errors
    async def kept(self) -> None:
        """Write the talk down, beside the UI."""
        async with self._one_writer:
            if self.talk and self.talk.branches.turns:
                await run_in_thread(self.talk.save, self.workspace.conversations)

    def gauge(self) -> None:
        """How full the context is."""

    async def action_edit(self) -> None:
        """The meant question, back to where it is typed; sent again it begins a branch."""
        at = self.meant(Question)
        if self.talk and at is not None:
            turn = self.talk.branches.turns[at]
            self.talk.go(turn.parent)
            await self.redraw()
            prompt = self.query_one(Prompt)
            prompt.text = turn.content
            prompt.move_cursor(prompt.document.end)
            prompt.focus()
