"""Step 3: what the model should become better at; each wish picks method and preset, and says so."""

from typing import Any, ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from edgetune import methods
from edgetune.config import goals
from edgetune.config.recipe import used
from edgetune.errors import InputError
from edgetune.storage.paths import expand_home
from tui.dialogs.ask import AskText
from tui.error_handling import show_errors
from tui.keys import key, with_keys
from tui.steps.step import Step

KEPT = ("replay", "replay_ratio", "format", "column_map")
"""Options that stay when another goal is taken, where its method uses them."""


class GoalStep(Step):
    """Choose a goal."""

    TITLE = "Goal"
    ABOUT = "What should it learn from your examples? The choice sets method and preset; every value can be changed in the next step."
    BINDINGS: ClassVar[list[BindingType]] = [
        key("goal.replay", "p", "replay", "Replay file", "A second file, of what the base should not forget."),
    ]

    def compose(self) -> ComposeResult:
        """The goals; what the marked one means."""
        options = OptionList(id="goals", classes="panel", markup=False)
        options.border_title = "Goals"
        yield options
        yield Static("", id="means", markup=False)

    def on_mount(self) -> None:
        """Those that the data allows can be chosen."""
        options = self.query_one(OptionList)
        for wish in goals.GOALS:
            problem = goals.find_goal_problem(wish, self.draft.kind)
            text = f"{wish.title}\n  {wish.what}" + (f"\n  not now: {problem}" if problem else "")
            options.add_option(Option(text, id=wish.name, disabled=bool(problem)))
        names = [wish.name for wish in goals.GOALS]
        possible = [number for number, wish in enumerate(goals.GOALS) if not goals.find_goal_problem(wish, self.draft.kind)]
        options.highlighted = names.index(self.draft.goal) if self.draft.goal in names else (possible or [None])[0]  # type: ignore[list-item]

    def enter(self) -> None:
        """The goals."""
        self.query_one(OptionList).focus()

    @on(OptionList.OptionHighlighted)
    def marked(self, event: OptionList.OptionHighlighted) -> None:
        """Say what the marked goal means."""
        event.stop()
        wish = goals.goal(event.option.id or "")
        self._tell(wish)

    def _tell(self, wish: goals.Goal) -> None:
        extra = "".join(f", {name} {value}" for name, value in wish.options.items())
        replay = self.draft.options.get("replay")
        text = f"{wish.method}, preset {goals.goal_preset(wish, self.draft.rows)}{extra}: {wish.why}"
        if used("replay", wish.method):
            none = with_keys("Press {goal.replay} to name a replay file; the bundled model comes with one.")
            text += f"\nReplay: {replay}" if replay else f"\n{none}"
        self.query_one("#means", Static).update(text)

    @on(OptionList.OptionSelected)
    def choose(self, event: OptionList.OptionSelected) -> None:
        """Enter: accept it and continue."""
        event.stop()
        self.take(goals.goal(event.option.id or ""))
        self.screen.call_later(self.screen.run_action, "next")

    def take(self, wish: goals.Goal) -> None:
        """What the goal means, into the draft; what was changed by hand stays unless another goal is taken."""
        if wish.name != self.draft.goal:
            unchanged: dict[str, Any] = {
                name: self.draft.options[name] for name in KEPT if name in self.draft.options and used(name, wish.method)
            }
            self.draft.goal, self.draft.options = wish.name, {**wish.options, **unchanged}
            self.draft.preset = goals.goal_preset(wish, self.draft.rows)
            if wish.method != methods.DEFAULT:
                self.draft.options["method"] = wish.method
        self.changed()

    @work(group="dialog")
    @show_errors
    async def action_replay(self) -> None:
        """Ask for the replay file."""
        from edgetune.storage.paths import BUNDLED

        usual = self.draft.options.get("replay") or (str(BUNDLED / "replay.jsonl") if self.draft.base == "nano" else "")
        path = await self.app.push_screen_wait(AskText("Replay file (empty: none)", usual, _is_file_or_none))
        if path is not None:
            self.draft.options.pop("replay", None)
            if path:
                self.draft.options["replay"] = path
            self.changed()
            options = self.query_one(OptionList)
            if options.highlighted is not None:
                self._tell(goals.GOALS[options.highlighted])

    def lacking(self) -> str:
        """A goal that can be reached."""
        if not self.draft.goal:
            return "Choose a goal first: Enter on one of them."
        return goals.find_goal_problem(goals.goal(self.draft.goal), self.draft.kind)


def _is_file_or_none(text: str) -> None:
    if text and not expand_home(text).is_file():
        raise InputError(f"There is no file {text}", "Nothing is at that path.", "Type another path, or leave it empty.")
