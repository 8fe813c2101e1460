"""What comes before answers can be compared: who answers, what is asked, how, and where the votes go."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

from textual import on, work
from textual.binding import BindingType
from textual.widget import Widget
from textual.widgets import Static

from edgetune.chat.sampling import Sampling
from edgetune.errors import InputError
from edgetune.sessions.models import Model
from edgetune.sessions.vote_plan import SOURCES, VotePlan, load_plan
from edgetune.storage.files import safe_name
from edgetune.text import one_line
from tui.dialogs.ask import AskText
from tui.dialogs.choose import Choose
from tui.dialogs.choose_models import ChooseModels
from tui.error_handling import run_in_thread, show_errors
from tui.keys import key, with_keys
from tui.navigation import open_screen
from tui.pages.page import Page
from tui.widgets.listing import Line, Listing

START = "start"


class VoteSetup(Page):
    """A form over a plan, which is kept. VOTES_ON: the screen that votes by it. LEAST, MOST: models.

    FILE: where the plan is kept. ROWS: what can be turned, with a hint."""

    VOTES_ON: ClassVar[str] = ""
    LEAST: ClassVar[int] = 1
    MOST: ClassVar[int] = 4
    FILE: ClassVar[str] = ""
    USUAL: ClassVar[VotePlan] = VotePlan()
    PROMPTS: ClassVar[tuple[str, ...]] = tuple(SOURCES)
    ROWS: ClassVar[tuple[tuple[str, str, str], ...]] = ()
    BINDINGS: ClassVar[list[BindingType]] = [key("votes.start", "s", "start", "Start", "Start, or continue where it was left.")]

    def __init__(self, models: list[Model] | None = None) -> None:
        super().__init__()
        self.given = models or []
        self.plan = VotePlan()

    def body(self) -> Iterable[Widget]:
        """What it is for, the form, and how far the votes are."""
        yield Static(with_keys(self.ABOUT), id="about", markup=False)
        listing = Listing("setting", "value", "what it does", id="plan")
        listing.border_title = "Before it begins"
        yield listing
        yield Static("", id="means", markup=False)

    def on_mount(self) -> None:
        """The plan as it was left."""
        self.query_one(Listing).table.focus()
        self.look()

    @work
    @show_errors
    async def look(self) -> None:
        """Read the plan."""
        self.plan = await run_in_thread(load_plan, self.workspace.path / self.FILE, replace(self.USUAL))
        if self.given:
            self.plan.models = [*self.given, *(m for m in self.plan.models if m not in self.given)][: max(self.LEAST, len(self.given))]
        self.draw()

    def draw(self) -> None:
        """The form, and what the votes are worth so far."""
        lines = [
            Line(name, (title, self.value(name) or ("Enter chooses" if name in ("models", "prompts") else "-"), hint))
            for name, title, hint in self.ROWS
        ]
        start = with_keys("Enter or {votes.start}: start, or continue where it was left")
        self.query_one(Listing).show([*lines, Line(START, ("start", "", start))])
        self.count()

    @work(exclusive=True, group="count")
    @show_errors
    async def count(self) -> None:
        """How many votes the file holds."""
        self.query_one("#means", Static).update(one_line(await run_in_thread(self.held), 300))

    def held(self) -> str:
        """What the preference file holds, in words."""
        from edgetune.preferences.consistency import worth
        from edgetune.preferences.store import store

        votes = store(self.workspace, self.plan.into).votes()
        pairs = sum(len(vote.pairs()) for vote in votes if "repeats" not in vote.about)
        many = f"{len(votes)} vote{'s' if len(votes) > 1 else ''}"
        return f"{self.plan.into} holds {many}. {worth(pairs)}." if votes else f"{self.plan.into} holds no vote yet."

    def value(self, name: str) -> str:
        """A row's value as it is shown."""
        if name == "models":
            return ", ".join(model.name for model in self.plan.models)
        if name == "prompts":
            return self.plan.prompts_label
        value: Any = getattr(self.plan, name)
        return "" if value is None else f"{value:g}" if isinstance(value, float) else str(value)

    @on(Listing.Chosen)
    @work(group="dialog")
    @show_errors
    async def change(self, event: Listing.Chosen) -> None:
        """Enter on a row."""
        name, plan = event.key, self.plan
        if name == START:
            self.action_start()
        elif name == "models":
            chosen = await self.app.push_screen_wait(ChooseModels(self.workspace, plan.models, self.MOST))
            plan.models = chosen or plan.models
        elif name == "prompts":
            await self.choose_prompts()
        elif name == "count":
            plan.count = int(await self.app.push_screen_wait(Choose("Answers a prompt", ["2", "3", "4"], str(plan.count))) or plan.count)
        else:
            title = next(f"{title}: {hint}" for row, title, hint in self.ROWS if row == name)
            text = await self.app.push_screen_wait(AskText(title, self.value(name), lambda typed: parse_answer_setting(name, typed)))
            if text is not None:
                setattr(plan, name, parse_answer_setting(name, text))

        # The plan is kept, so that the form opens again as it was left.
        self.draw()
        await run_in_thread(self.plan.save, self.workspace.path / self.FILE)

    async def choose_prompts(self) -> None:
        """Where from, and the file or the number where one is needed."""
        plan, words = self.plan, {SOURCES[name]: name for name in self.PROMPTS}
        chosen = await self.app.push_screen_wait(Choose("Prompts", list(words), SOURCES.get(plan.prompts, "")))
        name = words.get(chosen or "", "")
        if name == "file":
            if text := await self.app.push_screen_wait(AskText("A file of prompts (.txt, .jsonl, …)", plan.file, existing_file)):
                plan.prompts, plan.file = name, str(existing_file(text))
        elif name == "proposed":
            if text := await self.app.push_screen_wait(
                AskText("How many?", str(plan.proposed), lambda typed: parse_answer_setting(name, typed))
            ):
                plan.prompts, plan.proposed = name, parse_answer_setting(name, text)
        elif name:
            plan.prompts = name

    def action_start(self) -> None:
        """Keep the plan and begin."""
        self.begin()

    @work(exclusive=True, group="start")
    @show_errors
    async def begin(self) -> None:
        """Check that it is whole, keep it, open the screen that votes."""
        self.plan.check_complete(self.LEAST)
        await run_in_thread(self.plan.save, self.workspace.path / self.FILE)
        open_screen(self.app, self.VOTES_ON, self.plan)

    def on_screen_resume(self) -> None:
        """Back from voting: how many there are now."""
        if self.query("#means"):
            self.count()


def existing_file(text: str) -> Path:
    """The file of a typed path. InputError where there is none."""
    path = Path(text).expanduser().absolute()
    if not path.is_file():
        raise InputError("There is no such file", str(path), "Check the path.")
    return path


def parse_answer_setting(name: str, text: str) -> Any:
    """A typed value. InputError where it cannot be."""
    text = text.strip()
    if name == "into":
        return safe_name(text)
    try:
        if name == "temperature":
            return Sampling(float(text)).checked().temperature
        number = int(text) if text or name == "proposed" else None
    except ValueError as error:
        raise InputError(f"'{text[:40]}' is not a number", "A number is needed here.", "Type one, such as 10.") from error
    if number is not None and not 1 <= number <= 10000:
        raise InputError("That number is out of range", f"It is {number}.", "Type a number from 1 to 10,000.")
    return number
