"""The messages of a chat: which one is selected, where the conversation branches, and that all of it is kept."""

import asyncio
from collections.abc import Callable
from pathlib import Path

from edgetune.sessions.chat_session import ChatSession
from tui.error_handling import run_in_thread
from tui.widgets.bubbles import Bubbles, Question, Reply


class ChatBranches:
    """The conversation of a chat as it is shown.

    session: None until a model is loaded. selected: the turn that keys are about, None for the last ones. changed: called when other
    keys may be valid or the context is used otherwise.
    """

    def __init__(self, bubbles: Bubbles, changed: Callable[[], None]) -> None:
        self.bubbles, self.changed = bubbles, changed
        self.session: ChatSession | None = None
        self.selected: int | None = None
        self._one_writer = asyncio.Lock()

    @property
    def path(self) -> list[int]:
        """The turns of the branch that is open."""
        return self.session.branches.path() if self.session else []

    def target(self, kind: type[Question] | type[Reply]) -> int | None:
        """The question or the answer that keys are about: the selected one, or its partner, or the last."""
        path, role = self.path, "user" if kind is Question else "assistant"
        turns = self.session.branches.turns if self.session else []
        if self.selected not in path:
            return next((at for at in reversed(path) if turns[at].role == role), None)

        # The question of a selected answer stands before it, the answer to a selected question after it.
        position = path.index(self.selected)
        near = reversed(path[: position + 1]) if role == "user" else path[position:]
        return next((at for at in near if turns[at].role == role), None)

    def forked(self) -> int | None:
        """Where branches can be switched: at the selected message or its answer, or at the last fork."""
        if not self.session:
            return None
        branch_number = self.session.branches.branch_number
        selected = self.selected in self.path
        near = [self.selected, self.target(Reply), self.target(Question)] if selected else list(reversed(self.path))
        return next((at for at in near if at is not None and branch_number(at)[1] > 1), None)

    def select(self, at: int | None) -> None:
        """Let keys be about another message."""
        self.selected = at
        self.bubbles.select(at)
        self.changed()

    def select_next(self, step: int) -> None:
        """Select the message before or after; after the last one, none."""
        path = self.path
        position = path.index(self.selected) if self.selected in path else len(path)
        position = max(position + step, 0)
        self.select(path[position] if position < len(path) else None)

    async def switch(self, step: int) -> None:
        """Open another branch at a fork."""
        at = self.forked()
        if self.session is None or at is None:
            return
        turns, was_selected = self.session.branches.turns, self.selected is not None
        self.session.switch(at, step)
        await self.redraw()

        # What was selected is in no open branch any more: the first turn of this one stands where it stood.
        first = next((turn for turn in self.path if turns[turn].parent == turns[at].parent), None)
        self.select(first if was_selected else None)

    async def redraw(self) -> None:
        """Show all messages of the branch that is open."""
        if self.session:
            await self.bubbles.show(self.session.branches)
            self.select(None)

    async def keep(self, folder: Path) -> None:
        """Write the conversation down in a folder, beside the UI."""
        async with self._one_writer:
            if self.session and self.session.branches.turns:
                await run_in_thread(self.session.save, folder)

    async def take_back(self) -> str | None:
        """Go back to before the question that keys are about, and give its text; asked again, it begins a branch."""
        at = self.target(Question)
        if self.session is None or at is None:
            return None
        turn = self.session.branches.turns[at]
        self.session.go(turn.parent)
        await self.redraw()
        return turn.content
