"""A second answer beside the first, and which is better."""

import asyncio
from contextlib import suppress
from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.widgets import Static
from textual.worker import WorkerError

from edgetune.preferences.record import Choice, Vote
from edgetune.preferences.store import Store
from edgetune.sessions.chat_session import ChatSession
from edgetune.sessions.chat_votes import STILL_ALIKE, SecondAttempt, differs, second_attempts
from edgetune.text import one_line
from tui.dialogs.dialog import Dialog
from tui.error_handling import run_in_thread, show_errors
from tui.keys import key, with_keys
from tui.widgets.asked import Asked
from tui.widgets.candidates import Candidate, Candidates
from tui.widgets.keys_line import KeysLine
from tui.widgets.streamed import drawn
from tui.widgets.top_bar import TopBar


class SecondAnswer(Dialog[str]):
    """Gives what to say below the answer that is continued from; None when no vote was taken. The other answer stays as a branch."""

    NAME = "Which is better?"
    ABOUT = "The answer before is 1, the new one 2. The chat continues with 2 where it is better, else with 1; the other stays as a branch."
    BINDINGS: ClassVar[list[BindingType]] = [
        key("second.left", "1", "pick('left')", "1 is better", "The answer before is better."),
        key("second.right", "2", "pick('right')", "2 is better", "The new answer is better; the chat continues with it."),
        key("second.tie", "t", "pick('tie')", "Tie", "Both are as good."),
        key("second.bad", "b", "pick('bad')", "Both bad", "Neither is any good."),
    ]

    def __init__(self, session: ChatSession, first: int, votes: Store) -> None:
        super().__init__()
        self.session, self.first, self.votes = session, first, votes
        self.before = session.branches.tip
        self.second: int | None = None
        self.ready = self.leaving = False

    def compose(self) -> ComposeResult:
        """The question and two answers."""
        yield TopBar(self.NAME)
        yield Asked()
        yield Candidates(id="sides")
        yield Static("", id="message", markup=False)
        yield KeysLine()

    def on_mount(self) -> None:
        """Begin to write."""
        self.query_one(Asked).show(self.session.prompt_of(self.first)[-1:])
        self.write()

    def tell(self, text: str) -> None:
        """Say what goes on."""
        self.query_one("#message", Static).update(one_line(text, 300))

    @work(exclusive=True, group="second")
    @show_errors
    async def write(self) -> None:
        """Until it differs from the first, hotter with each try."""
        session, first = self.session, self.session.candidate(self.first).text
        question = session.branches.turns[self.first].parent
        for attempt in second_attempts(session.settings.sampling):
            self.tell(attempt.why or "A second answer is being written …")
            try:
                text = await self._write_once(question, attempt, first)
            finally:
                self.second = session.branches.tip if session.branches.tip != question else None

            # Twins are not voted on: the next attempt is hotter.
            if differs(first, text) and not self.leaving:
                self.ready = True
                self.tell(f"{attempt.why} Which is better?".strip())
                self.refresh_bindings()
                return
            self.forget()
            if self.leaving:
                return
        self.tell(f"{STILL_ALIKE} {with_keys('{dialog.close} goes back.')}")

    def forget(self) -> None:
        """Drop the second answer: nobody chose between the two."""
        if self.second is not None and self.second != self.before:
            self.session.branches.forget(self.second, self.before)
        self.second = None
        self.session.go(self.before)

    async def _write_once(self, question: int, attempt: SecondAttempt, first: str) -> str:
        text = ""

        def show(piece: str) -> None:
            nonlocal text
            text += piece
            self.query_one(Candidates).show([first, text])

        writing = asyncio.create_task(run_in_thread(self.session.answer_again, question, attempt.settings))
        await drawn(self.session, writing, show)
        return text

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Only what can be done now."""
        return self.ready if action == "pick" else True

    @on(Candidate.Picked)
    def picked(self, event: Candidate.Picked) -> None:
        """A click is a key."""
        if self.ready:
            self.action_pick("right" if event.number else "left")

    @work(group="pick", exclusive=True)
    @show_errors
    async def action_pick(self, value: str) -> None:
        """Vote; leave when the disk has it."""
        session, second = self.session, self.second
        if second is None or not self.ready:
            return
        self.ready = False
        self.refresh_bindings()

        # The keys come back where the disk refuses the vote.
        candidates = [session.candidate(self.first), session.candidate(second)]
        vote = Vote(session.prompt_of(self.first), candidates, Choice("pair", value), "chat")
        try:
            await run_in_thread(self.votes.add, vote)
        except Exception:
            self.ready = True
            self.refresh_bindings()
            raise
        session.go(second if value == "right" else self.before)
        results = {"left": "better than its other branch", "right": "better than its other branch", "tie": "a tie", "bad": "both bad"}
        self.dismiss(f"vote: {results[value]}, saved in {self.votes.name}")

    def action_close(self) -> None:
        """Stop the writing; the chat continues with the first answer."""
        self.leave()

    @work(group="close", exclusive=True)
    async def leave(self) -> None:
        """Wait for the writing to stop, then leave."""
        self.leaving = True
        self.session.stop()
        for worker in [worker for worker in self.workers if worker.group == "second" and not worker.is_finished]:
            with suppress(WorkerError):
                await worker.wait()
        if not self.ready:
            self.forget()
        self.session.go(self.before)
        self.dismiss(None)
