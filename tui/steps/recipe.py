"""Step 4: the recipe, made from its declarations: every option with its value, where that came from, and a hint."""

import types
import typing
from dataclasses import replace
from typing import Any, ClassVar

from rich.text import Text
from textual import on, work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.widgets import Static

from edgetune.bases import find
from edgetune.config.recipe import PRESETS, Recipe, check_option, used
from edgetune.text import format_value, one_line, safe_text
from tui.dialogs.ask import AskText
from tui.dialogs.choose import Choose
from tui.draft import Draft
from tui.error_handling import show_errors
from tui.keys import key, with_keys
from tui.steps.step import Step
from tui.widgets.listing import Line, Listing

SIMPLE = (
    "epochs",
    "max_steps",
    "learning_rate",
    "rank",
    "max_length",
    "batch_size",
    "validation_split",
    "replay",
    "replay_ratio",
    "quantization",
)
"""Options that the simple view shows, beside those that were changed."""
ELSEWHERE = ("base", "data")
"""Options that other steps set."""


class RecipeStep(Step):
    """See and change the recipe."""

    TITLE = "Recipe"
    ABOUT = "How it is trained. The preset's values are good to begin with; Enter changes the selected one."
    BINDINGS: ClassVar[list[BindingType]] = [
        key("recipe.preset", "p", "preset", "Preset", ", ".join(PRESETS) + "."),
        key("recipe.reset", "u,backspace", "reset", "Undo change", "Put the selected option back to the preset's value."),
        key("recipe.view", "v", "full", "All options", "Show all options, or only those that matter most."),
    ]

    def __init__(self, draft: Any) -> None:
        super().__init__(draft)
        self.full = False

    def compose(self) -> ComposeResult:
        """The options as a list, and more about the marked one."""
        yield Listing("option", "value", "from", "what it does", id="options")
        yield Static("", id="problem", markup=False, classes="wrong")
        yield Static("", id="hint", markup=False)

    def on_mount(self) -> None:
        """Show them."""
        self.draw()

    def enter(self) -> None:
        """The list."""
        self.query_one(Listing).table.focus()

    def recolour(self) -> None:
        """The list."""
        self.draw()

    def draw(self) -> None:
        """The options with their values now."""
        values, sources = self.draft.values()
        listing, colours = self.query_one(Listing), self.app.theme_variables
        listing.border_title = f"Recipe, preset {self.draft.preset}" + (
            "" if self.full else with_keys(" ({recipe.view} shows all options)")
        )

        # What was changed by hand is always shown, whatever the view.
        lines = []
        for name, field in Recipe.model_fields.items():
            changed = name in self.draft.options
            if name in ELSEWHERE or not (changed or (used(name, values["method"], values["lora"]) and (self.full or name in SIMPLE))):
                continue
            source = "changed" if changed else sources[name]
            style = f"bold {colours.get('accent', '')}" if changed else ""
            cells = (
                Text(f"{'*' if changed else ' '} {name.replace('_', ' ')}", style=style),
                Text(
                    one_line("none" if name == "replay" and not values[name] else format_value(values[name], "automatic"), 60), style=style
                ),
                Text(source.removeprefix("preset "), style=style or "dim"),
                Text(field.description or "", style="dim", no_wrap=True),
            )
            lines.append(Line(name, cells))
        listing.show(lines)

        # A recipe that cannot be trained says so below the list.
        problem = self.draft.problem
        self.query_one("#problem", Static).update(safe_text(problem))
        self.query_one("#problem").display = bool(problem)

    @on(Listing.Moved)
    def moved(self, event: Listing.Moved) -> None:
        """More about the marked option."""
        event.stop()
        field = Recipe.model_fields[event.key]
        why = (field.json_schema_extra or {}).get("why", "") if isinstance(field.json_schema_extra, dict) else ""
        self.query_one("#hint", Static).update(f"{field.description}\n{why}" if why else field.description or "")
        self.refresh_bindings()

    @on(Listing.Chosen)
    @work(group="dialog")
    @show_errors
    async def change(self, event: Listing.Chosen) -> None:
        """Enter: choose or type another value."""
        event.stop()
        name = event.key
        field = Recipe.model_fields[name]
        now = self.draft.values()[0][name]
        choices = typing.get_args(field.annotation) if typing.get_origin(field.annotation) is typing.Literal else ()

        # Switches turn, few values are chosen from, all others are typed.
        if isinstance(now, bool):
            self.set(name, not now)
        elif choices:
            if choice := await self.app.push_screen_wait(Choose(field.description or name, [str(c) for c in choices], str(now))):
                self.set(name, choice)
        else:
            question = f"{name.replace('_', ' ')}: {field.description}"
            text = await self.app.push_screen_wait(AskText(question, format_value(now), lambda t: self.check(name, t)))
            if text is not None:
                self.set(name, check_option(name, parsed(name, text)))

    def check(self, name: str, text: str) -> None:
        """Refuse a value that the recipe refuses. Raises InputError."""
        self.draft.changed_to({name: check_option(name, parsed(name, text))})

    def set(self, name: str, value: Any) -> None:
        """Take a value; one that the preset has anyway is no change. Raises InputError, and the recipe is as before."""
        self._take(self.draft.changed_to({name: value}))
        if name == "max_length" and self.draft.base and value > (context := find.describe_base(find.resolve_base(self.draft.base)).context):
            self.ours.say(f"The base takes {context:,} tokens: rows are no longer than that.", "warning")

    def _take(self, draft: Draft) -> None:
        self.draft.take(draft)
        self.changed()
        self.draw()
        self.refresh_bindings()

    @work(group="dialog")
    @show_errors
    async def action_reset(self) -> None:
        """Undo a change."""
        if (name := self.query_one(Listing).current) and name in self.draft.options:
            usual, _ = replace(self.draft, options={}).values()
            self._take(self.draft.changed_to({name: usual[name]}))

    def action_full(self) -> None:
        """All options, or few."""
        self.full = not self.full
        self.draw()

    @work(group="dialog")
    @show_errors
    async def action_preset(self) -> None:
        """Another preset; what was changed by hand stays changed."""
        if choice := await self.app.push_screen_wait(Choose("Preset", list(PRESETS), self.draft.preset)):
            self._take(self.draft.changed_to({}, choice))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Only what can be done now."""
        if action == "reset":
            return bool(self.query(Listing)) and self.query_one(Listing).current in self.draft.options
        return True

    def lacking(self) -> str:
        """A recipe that is valid."""
        return safe_text(self.draft.problem)


def parsed(name: str, text: str) -> Any:
    """What was typed, as the recipe takes it: empty for automatic, commas between several; numbers are pydantic's to read."""
    annotation = Recipe.model_fields[name].annotation
    several = typing.get_origin(annotation) is list
    text = text.strip()
    if several:
        return [part.strip() for part in text.split(",") if part.strip()]
    optional = isinstance(annotation, types.UnionType) and type(None) in annotation.__args__
    if optional and text in ("", "automatic"):
        return None

    # What is no number stays text, for pydantic to refuse with its reason.
    kinds = annotation.__args__ if isinstance(annotation, types.UnionType) else (annotation,)
    for kind in kinds:
        if kind in (int, float):
            try:
                return kind(text)
            except ValueError:
                return text
    return text
