"""New run: six steps, each valid before the next; it can be left at any of them and resumed there."""

from collections.abc import Iterable
from typing import ClassVar

from textual.binding import BindingType
from textual.containers import Container
from textual.content import Content
from textual.style import Style
from textual.widget import Widget
from textual.widgets import Static

from tui import background_writes
from tui import draft as drafts
from tui.error_handling import run_in_thread
from tui.keys import key, with_keys
from tui.pages.page import Page
from tui.steps.data import DataStep
from tui.steps.fit import FitStep
from tui.steps.goal import GoalStep
from tui.steps.model import ModelStep
from tui.steps.recipe import RecipeStep
from tui.steps.start import StartStep
from tui.steps.step import Step

STEPS: tuple[type[Step], ...] = (ModelStep, DataStep, GoalStep, RecipeStep, FitStep, StartStep)


class NewRun(Page):
    """The guided flow. base: one to begin with."""

    NAME = "New run"
    ABOUT = (
        "Teach a model from your examples, step by step: model, data, goal, recipe, a check whether it fits, start. "
        "Every step must be valid before the next. You can leave at any step: what was chosen is kept, and New run continues there."
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        key("new.next", "ctrl+n,f8", "next", "Next step", "Continue to the next step.", priority=True),
        key("new.before", "ctrl+b,f7", "before", "Previous step", "Back to the previous step.", priority=True),
        key("new.over", "ctrl+x", "over", "Start over", "Forget what was chosen and start again.", show=False),
        key("page.help", "question_mark", "app.help", "Help", "What this screen is for, and its keys.", show=False),
    ]

    def __init__(self, base: str = "") -> None:
        super().__init__()
        self._base = base
        self.draft = drafts.Draft()
        self.at = 0

    def body(self) -> Iterable[Widget]:
        """The steps' line, what to do, and the step itself."""
        yield Static("", id="steps")
        yield Static("", id="about", markup=False)
        yield Container(id="step")

    async def on_mount(self) -> None:
        """Go on where it was left."""
        self.draft = await run_in_thread(drafts.load_draft, self.workspace)
        if self._base and self._base != self.draft.base:
            self.draft.base, self.draft.kind, self.draft.verdict, self.draft.step = self._base, "", "", 1
        wanted, self.at = min(self.draft.step, len(STEPS) - 1), 0
        await self.go(wanted)

    async def on_unmount(self) -> None:
        """What was chosen last is kept before the screen is gone."""
        await run_in_thread(background_writes.done)

    async def go(self, to: int) -> None:
        """Show a step."""
        self.at = self.draft.step = max(0, min(to, len(STEPS) - 1))
        self.draft.save(self.workspace)
        container = self.query_one("#step", Container)
        await container.remove_children()
        step = STEPS[self.at](self.draft)
        await container.mount(step)
        self.query_one("#steps", Static).update(Content(" ").join([Content(""), *map(self._titled, range(len(STEPS)))]))
        self.query_one("#about", Static).update(with_keys(step.ABOUT))
        step.enter()
        self.refresh_bindings()

    def _titled(self, number: int) -> Content:
        """A step's name; those that are done can be clicked."""
        done = number < self.at
        style = Style.from_meta({"@click": f"screen.to({number})"}) if done else "bold reverse" if number == self.at else "dim"
        return Content.styled(f" {'✔ ' if done else ''}{number + 1} {STEPS[number].TITLE} ", style)

    async def action_to(self, number: int) -> None:
        """Back to a step that is done."""
        if number < self.at:
            await self.go(number)

    def recolour(self) -> None:
        """The step that is shown."""
        self.step.recolour()

    @property
    def step(self) -> Step:
        """The step that is shown."""
        return self.query_one(Step)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """No step before the first, none after the last."""
        if action == "before":
            return self.at > 0
        if action == "next":
            return self.at < len(STEPS) - 1
        return True

    async def action_next(self) -> None:
        """Go on, if this step is valid."""
        if problem := self.step.lacking():
            self.ours.say(problem, "warning")
        else:
            await self.go(self.at + 1)

    async def action_before(self) -> None:
        """Back one step."""
        await self.go(self.at - 1)

    async def action_over(self) -> None:
        """Begin again."""
        drafts.forget(self.workspace)
        self.draft = drafts.Draft()
        await self.go(0)
        self.ours.say("Everything chosen before is forgotten.")
