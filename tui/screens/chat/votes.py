"""Votes in a chat: thumbs on an answer, an edit that is chosen over it, a second answer to choose from."""

from typing import ClassVar

from textual import work
from textual.binding import BindingType

from edgetune.preferences.edit import edit_vote
from edgetune.preferences.record import Choice, Vote
from edgetune.preferences.store import Store, store
from tui.dialogs.edit_answer import EditAnswer
from tui.dialogs.second_answer import SecondAnswer
from tui.error_handling import run_in_thread, show_errors
from tui.keys import key
from tui.screens.chat.turns import ChatTurns
from tui.widgets.bubbles import Reply


class ChatVotes(ChatTurns):
    """Takes votes on the meant answer; each is on disk before it is shown."""

    BINDINGS: ClassVar[list[BindingType]] = [
        key("chat.second", "f4", "second", "Vote", "Write a second answer beside the last or marked one, and choose."),
        key("chat.good", "f6", "thumbs(True)", "Thumb up", "This answer is good: kept as a vote.", show=False, priority=True),
        key("chat.bad", "f7", "thumbs(False)", "Thumb down", "This answer is bad: kept as a vote.", show=False, priority=True),
        key(
            "chat.better",
            "f8",
            "better",
            "Edit answer",
            "Write the answer as it should have been: yours is chosen, the model's rejected.",
            show=False,
        ),
    ]

    @property
    def votes(self) -> Store:
        """Where votes go."""
        return store(self.workspace, self.talk.settings.into) if self.talk else store(self.workspace)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Only what can be done now."""
        if action in ("second", "thumbs", "better"):
            return bool(self.talk and not self.answering and self.meant(Reply) is not None)
        return super().check_action(action, parameters)

    def say_of(self, at: int, text: str) -> None:
        """A word below an answer."""
        for reply in self.bubbles.query(Reply):
            if reply.at == at:
                reply.vote(text)

    @work(group="votes")
    @show_errors
    async def action_thumbs(self, good: bool) -> None:
        """A verdict on one answer."""
        at = self.meant(Reply)
        if self.talk and at is not None:
            vote = Vote(self.talk.prompt_of(at), [self.talk.candidate(at)], Choice("thumbs", good), "chat")
            await run_in_thread(self.votes.add, vote)
            self.say_of(at, f"thumb {'up' if good else 'down'}: kept in {self.votes.name}")

    @work(group="dialog")
    @show_errors
    async def action_better(self) -> None:
        """The person's own version."""
        talk, at = self.talk, self.meant(Reply)
        if talk is None or at is None:
            return
        text = await self.app.push_screen_wait(EditAnswer(talk.candidate(at).text))
        if text is not None:
            vote = await run_in_thread(lambda: self.votes.add(edit_vote(talk.prompt_of(at), talk.candidate(at), text, "chat")))
            new = talk.branches.replace(at, text, {"model": vote.candidates[1].model})
            talk.go(new)
            await self.redraw()
            self.say_of(new, f"your version: kept in {self.votes.name}")
            self.kept()

    @work(group="dialog")
    @show_errors
    async def action_second(self) -> None:
        """A second answer, and the choice."""
        talk, at = self.talk, self.meant(Reply)
        if talk is None or at is None:
            return
        said = await self.app.push_screen_wait(SecondAnswer(talk, at, self.votes))
        await self.redraw()
        if said:
            self.say_of(talk.branches.tip, said)
        self.kept()
