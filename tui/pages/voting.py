"""What Rank and Arena share: models loaded, answers shown, votes written beside the UI, and how one continues after a failure."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from textual import work
from textual.binding import BindingType
from textual.widgets import Static

from edgetune.preferences.record import Vote
from edgetune.sessions.vote_plan import VotePlan
from edgetune.text import one_line
from tui import gguf_of
from tui.error_handling import run_in_thread, run_or_undo, show_errors
from tui.keys import key, with_keys
from tui.pages.page import Page
from tui.widgets.asked import Asked

READY, BUSY, DONE, FAILED = "ready", "busy", "done", "failed"


AFTER: list[BindingType] = [
    key("voting.skip", "s", "skip", "Skip", "No vote on this one; it is not asked again."),
    key("voting.undo", "u", "undo", "Undo", "Take the last vote back."),
    key("voting.again", "r", "again", "Try again", "Load the models again and continue."),
]
"""Keys that both have, after those of their own."""


class Asking(Protocol):
    """Who asks the models and takes the votes."""

    left_out: list[str]

    def open(self, paths: list[Path]) -> None:
        """Read the prompts, load what is needed."""

    def leave(self) -> None:
        """Stop writing."""

    def close(self) -> None:
        """End the processes."""


A = TypeVar("A", bound=Asking)


class Voting(Page, Generic[A]):
    """A screen that votes by a plan. status: READY for a vote, BUSY, DONE, or FAILED."""

    def __init__(self, plan: VotePlan) -> None:
        super().__init__()
        self.plan = plan
        self.asking: A | None = None
        self.status = BUSY

    def on_mount(self) -> None:
        """Load the models."""
        self.bar.title(f"{self.NAME} · {', '.join(model.name for model in self.plan.models)}")
        self.bar.note(f"{self.plan.prompts_label} → {self.plan.into}")
        self.open()

    def tell(self, text: str) -> None:
        """Say what goes on."""
        self.query_one("#message", Static).update(one_line(text, 400))

    def now(self, status: str) -> None:
        """Another state: other keys are valid."""
        self.status = status
        self.refresh_bindings()

    def new_session(self) -> A:
        """Who asks, not open yet."""
        raise NotImplementedError

    async def show_next(self, last_vote: str) -> None:
        """The next answers. last_vote: of the last vote."""
        raise NotImplementedError

    async def began(self) -> None:
        """What comes before the first answers."""

    @work(exclusive=True, group="voting")
    @show_errors
    async def open(self) -> None:
        """Find or write the models' files, load them, and ask for the first answers."""
        self.now(BUSY)
        self.query_one(Asked).note(with_keys(self.ABOUT))
        try:
            asking = self.asking = self.new_session()
            paths = [await gguf_of.of_model(model, self.workspace, self.tell) for model in self.plan.models]
            self.tell("loading the model; it proposes prompts …" if self.plan.prompts == "proposed" else "loading …")
            await run_or_undo(asking.open, asking.close, paths)
            if asking.left_out:
                self.ours.say(f"{len(asking.left_out)} rows are left out, the first: {asking.left_out[0]}")
            await self.began()
            await self.show_next("")
        except Exception:
            self.fail()
            raise

    def fail(self) -> None:
        """Say how to continue."""
        self.tell(with_keys("Something went wrong; no vote is lost. {voting.again} tries again, {page.back} leaves."))
        self.now(FAILED)

    @work(exclusive=True, group="voting")
    @show_errors
    async def taking(self, act: Callable[[], Any], done: str = "", nothing: str = "skipped") -> None:
        """Write a vote beside the UI; it is shown as taken once the disk has it. Where that fails, the answers stay."""
        before = self.status
        self.now(BUSY)
        self.tell("writing the vote …")
        try:
            vote = await run_in_thread(act)
        except Exception:
            self.tell("The vote was not saved.")
            self.now(before)
            raise
        try:
            await self.show_next((done or describe_vote(vote)) if isinstance(vote, Vote) else nothing)
        except Exception:
            self.fail()
            raise

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Only what can be done now."""
        if action == "undo":
            return self.status in (READY, DONE)
        if action == "again":
            return self.status == FAILED
        return self.status == READY if action == "skip" else True

    def action_again(self) -> None:
        """Load the models again."""
        self._end()
        self.open()

    def on_unmount(self) -> None:
        """The processes end with the screen."""
        self._end()

    def _end(self) -> None:
        if self.asking:
            self.asking.leave()
            asyncio.get_running_loop().run_in_executor(None, self.asking.close)


def describe_vote(vote: Vote) -> str:
    """A vote that is on disk, with the models' names where there are several."""
    names, value = [candidate.model for candidate in vote.candidates], vote.choice.value
    if vote.choice.type == "edit":
        return "✓ saved: your version is chosen."
    if vote.choice.type == "ranking":
        best_first = sorted(range(len(value)), key=value.__getitem__)
        how = "all alike" if len(set(value)) == 1 else " > ".join(str(at + 1) for at in best_first)
    else:
        how = {"left": "1 is better", "right": "2 is better", "tie": "a tie", "bad": "both bad"}.get(str(value), "")
    whose = " " + ", ".join(f"{at} was {name}" for at, name in enumerate(names, 1)) + "." if len(set(names)) > 1 else ""
    return f"✓ saved: {how}.{whose}"
