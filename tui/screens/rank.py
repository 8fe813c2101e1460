"""Rank: a prompt, two to four answers, and keys that put them in order."""

import asyncio
from collections.abc import Iterable
from typing import ClassVar

from textual import on, work
from textual.binding import BindingType
from textual.widget import Widget
from textual.widgets import Static

from edgetune.sessions.live_ranking import LiveRanking
from edgetune.sessions.ranking import Task
from edgetune.sessions.vote_plan import VotePlan
from edgetune.text import one_line
from tui.dialogs.edit_answer import EditAnswer
from tui.error_handling import run_in_thread
from tui.keys import key, with_keys
from tui.pages.voting import AFTER, BUSY, DONE, READY, Voting
from tui.widgets.asked import Asked
from tui.widgets.candidates import Candidate, Candidates
from tui.widgets.streamed import DRAW


class Rank(Voting[LiveRanking]):
    """Votes on a plan's prompts until all are done."""

    NAME = "Rank"
    ABOUT = (
        "Press the answers' numbers from the best on; the last one follows by itself, so that of two one key is enough. "
        "{rank.rest}: the answers not numbered yet are alike. Or drag answers with the mouse into the order best first, then "
        "{rank.rest}. A vote is shown as saved when the disk has it. Now and then an earlier "
        "question comes again with its answers swapped, to see how consistent you are."
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        key("rank.1", "1", "place(0)", "1-4 best first", "The first answer comes next in the order."),
        *(key(f"rank.{n}", str(n), f"place({n - 1})", f"Answer {n}", "It comes next in the order.", show=False) for n in (2, 3, 4)),
        key("rank.rest", "enter", "rest", "Rest alike", "The answers without a number are alike.", show=False),
        key("rank.clear", "backspace", "clear", "Clear", "Take the numbers away again.", show=False),
        key("rank.tie", "t", "alike('tie')", "Tie", "All are as good as one another."),
        key("rank.bad", "b", "alike('bad')", "All bad", "None is any good."),
        key("rank.edit", "e", "edit", "Edit", "Write the answer as it should have been, over the one whose number comes next."),
        *AFTER,
    ]

    def __init__(self, plan: VotePlan) -> None:
        super().__init__(plan)
        self.to_vote: Task | None = None
        self.order: list[int] = []
        self.editing = False

    def body(self) -> Iterable[Widget]:
        """The prompt, its answers, what goes on, and how far it is."""
        yield Asked(id="asked")
        yield Candidates(id="candidates", movable=True)
        yield Static("", id="message", markup=False)
        yield Static("", id="how-far", markup=False)

    def new_session(self) -> LiveRanking:
        """A ranking that is not open yet."""
        return LiveRanking(self.workspace, self.plan)

    def now(self, status: str) -> None:
        """Another state: no numbers are pressed yet."""
        self.editing, self.order = False, []
        self.query_one(Candidates).rank([])
        super().now(status)

    async def show_next(self, last_vote: str) -> None:
        """The next answers, shown while they are written."""
        ranking = self.asking
        assert ranking is not None
        self.now(BUSY)
        self.tell(f"{last_vote}  The next answers are being written …".strip())

        # Answers are shown as they grow, a few times a second.
        writing = asyncio.create_task(run_in_thread(ranking.next))
        notices: list[str] = []
        try:
            while not writing.done():
                await asyncio.wait({writing}, timeout=DRAW)
                so_far = ranking.progress()
                if so_far.prompt and not writing.done():
                    self.query_one(Asked).show(so_far.prompt.messages)
                    self.query_one(Candidates).show(so_far.texts)
                notices += so_far.notices
                if so_far.notices:
                    self.tell(so_far.notices[-1])
        except asyncio.CancelledError:  # the screen is left
            ranking.leave()
            await asyncio.wait({writing})
            writing.exception()
            raise

        # All are written: votes can be taken.
        self.to_vote, state = await writing
        self.query_one("#how-far", Static).update(one_line(state.summary, 400))
        self.draw(" ".join([last_vote, *notices[-2:]]).strip())

    def draw(self, last_vote: str) -> None:
        """The task, or that there is none."""
        task = self.to_vote
        if task is None:
            self.query_one(Asked).note(
                with_keys("All prompts are done. {voting.undo} takes the last vote back, {page.back} leaves.\n\n")
                + with_keys("To teach a model your taste: {home.new} on Home; Votes in its step 'Data' uses those of ")
                + f"{self.plan.into}."
            )
            self.query_one(Candidates).show([])
            self.tell(last_vote or "There is nothing left to vote on.")
            self.now(DONE)
            return

        # The last message stays, and with it what the vote before was.
        self.query_one(Asked).show(task.prompt.messages, "asked again, the answers swapped" if task.repeats else "")
        self.query_one(Candidates).show([candidate.text for candidate in task.candidates])
        self.tell(f"{last_vote}  {'Which is better?' if len(task.candidates) == 2 else 'Press the numbers from best to worst.'}".strip())
        self.now(READY)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Only what can be done now."""
        if action in ("place", "alike", "edit"):
            number = parameters[0] if action == "place" else 0
            return self.status == READY and self.to_vote is not None and int(str(number)) < len(self.to_vote.candidates)
        if action in ("rest", "clear"):
            return self.status == READY and bool(self.order)
        return super().check_action(action, parameters)

    @on(Candidate.Picked)
    def picked(self, event: Candidate.Picked) -> None:
        """A click is a key."""
        if self.status == READY:
            self.action_place(event.number)

    @on(Candidates.Moved)
    def moved(self, event: Candidates.Moved) -> None:
        """Answers were dragged: the order that is seen is the order meant."""
        if self.status == READY:
            self.order, self.editing = event.order, False
            self.query_one(Candidates).rank(self.order)
            self.tell(with_keys("Best first, as they are shown now: {rank.rest} accepts this order, {rank.clear} clears it."))
            self.refresh_bindings()

    def action_place(self, number: int) -> None:
        """The next in the order; when only one is left, it follows."""
        if self.to_vote is None:
            return
        if self.editing:
            self.write_over(number)
            return
        self.order = [n for n in self.order if n != number] + [number]
        self.query_one(Candidates).rank(self.order)
        self.refresh_bindings()
        if len(self.order) >= len(self.to_vote.candidates) - 1:
            self.action_rest()

    def action_rest(self) -> None:
        """Take the order; answers not in it are alike."""
        keys = "".join(str(n + 1) for n in self.order)
        if self.asking:
            self.taking(lambda asking=self.asking: asking.vote(keys))

    def action_clear(self) -> None:
        """No numbers, and the answers where they were."""
        self.query_one(Candidates).sort()
        self.now(self.status)

    def action_alike(self, value: str) -> None:
        """All are equally good, or bad."""
        pair = self.to_vote is not None and len(self.to_vote.candidates) == 2
        if self.asking:
            self.taking(lambda asking=self.asking: asking.vote_pair(value) if pair else asking.vote("0"))

    def action_skip(self) -> None:
        """No vote."""
        if self.asking:
            self.taking(self.asking.skip)

    def action_undo(self) -> None:
        """Take the last vote back."""
        if self.asking:
            self.taking(self.asking.undo, "Taken back; its answers are shown again.", "There is no vote to take back.")

    def action_edit(self) -> None:
        """The number that comes next says which."""
        self.editing = True
        self.tell("Edit which answer? Press its number.")

    @work(group="dialog")
    async def write_over(self, number: int) -> None:
        """Ask for the person's version of an answer."""
        self.editing = False
        if self.to_vote is None or self.asking is None:
            return
        text = await self.app.push_screen_wait(EditAnswer(self.to_vote.candidates[number].text))
        if text is None:
            self.tell("No vote was saved.")
        else:
            self.taking(lambda asking=self.asking: asking.edit(number, text))
