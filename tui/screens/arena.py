"""Arena: two answers whose authors nobody sees before the vote, and what the votes say of the models."""

import asyncio
from collections.abc import Iterable
from typing import ClassVar

from textual import on
from textual.binding import BindingType
from textual.widget import Widget
from textual.widgets import Static

from edgetune.sessions.arena import Duel, Match, Result
from edgetune.sessions.live_arena import LiveArena
from edgetune.sessions.vote_plan import VotePlan
from edgetune.text import one_line
from tui.error_handling import run_in_thread
from tui.keys import key
from tui.pages.voting import AFTER, BUSY, DONE, READY, Voting
from tui.widgets.asked import Asked
from tui.widgets.candidates import Candidate, Candidates
from tui.widgets.listing import Line, Listing
from tui.widgets.spark import bar
from tui.widgets.streamed import DRAW

NO_VOTES = "No votes yet. Win rates and\ntheir confidence appear here."


class ArenaScreen(Voting[LiveArena]):
    """Votes on a plan's prompts until every two models have met on each."""

    NAME = "Arena"
    ABOUT = (
        "Pick the better of two answers without knowing whose they are; the names come with the vote. All answers are written first, "
        "one model in memory at a time, so that not even the speed gives a model away. One model is called better only "
        "when the 95 % interval of its win rate excludes 50 %; ratings are Bradley-Terry, on the Elo scale around 0."
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        key("arena.left", "1,left", "pick('left')", "Left", "The left answer is better."),
        key("arena.right", "2,right", "pick('right')", "Right", "The right answer is better."),
        key("arena.tie", "t", "pick('tie')", "Tie", "Both are as good."),
        key("arena.bad", "b", "pick('bad')", "Both bad", "Neither is any good."),
        *AFTER,
    ]

    def __init__(self, plan: VotePlan) -> None:
        super().__init__(plan)
        self.match: Match | None = None

    def body(self) -> Iterable[Widget]:
        """The prompt, two answers, what goes on, and the table."""
        yield Asked(id="asked")
        yield Candidates(id="sides")
        yield Static("", id="message", markup=False)
        duels = Listing("", "win rate, 95 %", "shows", "won/lost/tied", id="duels", empty=NO_VOTES, gives=0)
        duels.border_title = "What the votes say"
        yield duels
        yield Static("", id="how-far", markup=False)

    def new_session(self) -> LiveArena:
        """An arena that is not open yet."""
        return LiveArena(self.workspace, self.plan)

    async def began(self) -> None:
        """Let the models answer, showing how far they are."""
        session, position = self.asking, [0, 0, 0]
        assert session is not None

        def report(*now: int) -> None:
            position[:] = now

        writing = asyncio.create_task(run_in_thread(session.write, report))
        try:
            while not writing.done():
                await asyncio.wait({writing}, timeout=DRAW)
                number, done, total = position
                drawn = bar(done / max(total, 1), 12, self.ours.ascii_only)
                self.tell(f"{drawn} model {max(number, 1)} of {len(self.plan.models)} answers: {done} of {total or '…'}")
        except asyncio.CancelledError:  # the screen is left
            session.leave()
            await asyncio.wait({writing})
            writing.exception()
            raise
        if failed := await writing:
            self.ours.say(f"{failed} prompts are left out: a model could not take them.", "warning")

    async def show_next(self, last_vote: str) -> None:
        """The next two answers, and the table as the votes stand."""
        assert self.asking is not None
        self.now(BUSY)
        self.match, result, left = await run_in_thread(self.asking.next)
        self.table(result)
        if self.match is None:
            self.query_one(Asked).note("\n".join(["All prompts are done.", *(f"{sentence(duel)}" for duel in result.duels)]))
            self.query_one(Candidates).show([])
            self.tell(last_vote or "There is nothing left to compare.")
            self.now(DONE)
            return
        self.query_one(Asked).show(self.match.prompt.messages)
        self.query_one(Candidates).show([candidate.text for candidate in self.match.candidates])
        self.tell(f"{last_vote}  Which is better? {left} to go.".strip())
        self.now(READY)

    def table(self, result: Result) -> None:
        """Win rates and ratings."""
        self.query_one("#duels", Listing).show([row(duel) for duel in result.duels])
        ranked = sorted(result.ratings.by_model.items(), key=lambda item: -item[1].value)
        words = ", ".join(f"{name} {rating.value:+.0f} ({rating.low:+.0f} to {rating.high:+.0f})" for name, rating in ranked)
        smoothed = "; half a tie added to each duel, since a model won or lost all" if result.ratings.smoothed else ""
        self.query_one("#how-far", Static).update(one_line(f"Rating with 95 % interval: {words}{smoothed}" if words else "", 400))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Only what can be done now."""
        return self.status == READY if action == "pick" else super().check_action(action, parameters)

    @on(Candidate.Picked)
    def picked(self, event: Candidate.Picked) -> None:
        """A click is a key."""
        if self.status == READY:
            self.action_pick("right" if event.number else "left")

    def action_pick(self, value: str) -> None:
        """Vote."""
        if self.asking and self.match:
            self.taking(lambda asking=self.asking, match=self.match: asking.vote(match, value))

    def action_skip(self) -> None:
        """No vote."""
        if self.asking and self.match:
            self.taking(lambda asking=self.asking, match=self.match: asking.skip(match))

    def action_undo(self) -> None:
        """Take the last vote back."""
        if self.asking:
            self.taking(self.asking.undo, "Taken back.", "There is no vote to take back.")


def row(duel: Duel) -> Line:
    """Two models: the first one's win rate with how sure it is, and what that lets one say."""
    share = duel.share
    says = duel.verdict.split(" between ")[0]
    cells = (
        f"{one_line(duel.one, 20)} : {one_line(duel.other, 20)}",
        f"{share.value:.0%} ({share.low:.0%} to {share.high:.0%})",
        says,
    )
    return Line(f"{duel.one}\n{duel.other}", (*cells, f"{duel.wins}/{duel.losses}/{duel.ties}"))


def sentence(duel: Duel) -> str:
    """What the votes let one say, as a sentence."""
    return f"{duel.verdict[0].upper()}{duel.verdict[1:]} ({duel.share.value:.0%}, {duel.share.low:.0%} to {duel.share.high:.0%})."
