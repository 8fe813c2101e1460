"""Votes in a chat: thumbs on an answer, an edit that is chosen over it, a second answer to choose from."""

from edgetune.preferences.edit import edit_vote
from edgetune.preferences.record import Choice, Vote
from edgetune.preferences.store import Store, store
from tui.dialogs.edit_answer import EditAnswer
from tui.dialogs.second_answer import SecondAnswer
from tui.error_handling import run_in_thread
from tui.pages.page import Page
from tui.screens.chat.branches import ChatBranches
from tui.widgets.bubbles import Reply


class ChatVotes:
    """Takes votes on the answer that keys are about; each is on disk before it is shown. page: in front of which dialogs open."""

    def __init__(self, page: Page, branches: ChatBranches) -> None:
        self.page, self.branches = page, branches

    @property
    def store(self) -> Store:
        """Where votes go."""
        session = self.branches.session
        return store(self.page.workspace, session.settings.into) if session else store(self.page.workspace)

    @property
    def possible(self) -> bool:
        """Whether there is an answer to vote on."""
        return self.branches.target(Reply) is not None

    def note(self, at: int, text: str) -> None:
        """Say below an answer what was voted."""
        for reply in self.branches.bubbles.query(Reply):
            if reply.at == at:
                reply.vote(text)

    async def thumbs(self, good: bool) -> None:
        """A verdict on one answer."""
        session, at = self.branches.session, self.branches.target(Reply)
        if session is None or at is None:
            return
        vote = Vote(session.prompt_of(at), [session.candidate(at)], Choice("thumbs", good), "chat")
        await run_in_thread(self.store.add, vote)
        self.note(at, f"thumb {'up' if good else 'down'}: saved in {self.store.name}")

    async def edit(self) -> None:
        """The person's own version, which is chosen over the model's and takes its place as a branch."""
        session, at = self.branches.session, self.branches.target(Reply)
        if session is None or at is None:
            return
        text = await self.page.app.push_screen_wait(EditAnswer(session.candidate(at).text))
        if text is None:
            return
        vote = await run_in_thread(lambda: self.store.add(edit_vote(session.prompt_of(at), session.candidate(at), text, "chat")))

        # The conversation continues with what was voted for, and only once the disk has the vote.
        new = session.branches.replace(at, text, {"model": vote.candidates[1].model})
        session.go(new)
        await self.branches.redraw()
        self.note(new, f"your version: saved in {self.store.name}")

    async def second(self) -> None:
        """A second answer, and the choice between the two."""
        session, at = self.branches.session, self.branches.target(Reply)
        if session is None or at is None:
            return
        result = await self.page.app.push_screen_wait(SecondAnswer(session, at, self.store))
        await self.branches.redraw()
        if result:
            self.note(session.branches.tip, result)
