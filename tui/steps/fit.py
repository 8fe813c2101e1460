"""Step 5: will it fit? Predicted, then checked and prepared for real, in processes of their own, before anything starts."""

from typing import Any, ClassVar

from textual import work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import VerticalScroll
from textual.widgets import Static

from edgetune.text import one_line
from tui.command import edgetune
from tui.draft import Draft
from tui.error_handling import show_errors
from tui.fit_words import change_text, needs_text, plan_text
from tui.keys import key, with_keys
from tui.steps.step import Step


class FitStep(Step):
    """Check everything before it starts."""

    TITLE = "Will it fit?"
    ABOUT = "Memory, disk and time are predicted, everything is checked and the rows are prepared before anything is trained."
    BINDINGS: ClassVar[list[BindingType]] = [
        key("fit.apply", "a", "apply", "Apply", "Make the smallest change of the recipe that makes it fit."),
        key("fit.again", "g", "again", "Check again", "Check once more."),
    ]

    def __init__(self, draft: Draft) -> None:
        super().__init__(draft)
        self.passed = False
        self.fit: dict[str, Any] = {}
        self.plan: dict[str, Any] = {}
        self.applied: dict[str, tuple[Any, Any]] = {}

    def compose(self) -> ComposeResult:
        """What it needs, what was changed for it, what the check says."""
        with VerticalScroll(classes="panel", id="fit") as panel:
            panel.border_title = "Before it starts"
            yield Static("predicting …", id="memory", markup=False)
            yield Static("", id="change", markup=False)
            yield Static("", id="notes", markup=False)

    def on_mount(self) -> None:
        """Check."""
        self.action_again()

    def enter(self) -> None:
        """The panel, to scroll."""
        self.query_one("#fit").focus()

    @work(exclusive=True, group="fit")
    @show_errors
    async def action_again(self) -> None:
        """What `edgetune fit` predicts, then the whole check that `edgetune train --dry-run` makes."""
        self.passed, self.fit = False, {}
        needs, change, notes = (self.query_one(name, Static) for name in ("#memory", "#change", "#notes"))
        self.refresh_bindings()
        notes.update("")
        change.display = False

        # The prediction is quick and comes first.
        try:
            self.fit = await edgetune(self.workspace, "fit", *self.draft.recipe_arguments(data=False), on_line=lambda _line: None)
        except BaseException:
            needs.update(with_keys("It cannot be predicted this way. Go back and change it, or press {fit.again} to check again."))
            raise
        self.plan = {}
        self._tell()
        self.refresh_bindings()

        # The check reads the data, which takes longer.
        notes.update("checking the data with this recipe …")
        try:
            self.plan = await edgetune(
                self.workspace, "train", *self.draft.train_arguments(), "--dry-run", on_line=lambda line: notes.update(one_line(line, 200))
            )
        except BaseException:
            notes.update(with_keys("It cannot be started this way. Go back and change it, or press {fit.again} to check again."))
            raise
        self._tell()
        self.passed = True

    def recolour(self) -> None:
        """All that was found."""
        if self.fit:
            self._tell()

    def on_resize(self) -> None:
        """Bars as long as there is room for."""
        if self.fit:
            self._tell()

    def _tell(self) -> None:
        colours, change = self.app.theme_variables, self.query_one("#change", Static)
        text = needs_text(self.fit, self.plan.get("effort"), colours, self.ours.ascii_only, self.size.width)
        self.query_one("#memory", Static).update(text)
        wanted = change_text(self.fit, self.applied, colours)
        change.update(wanted)
        change.display = bool(wanted)
        if self.plan:
            self.query_one("#notes", Static).update(plan_text(self.plan, self.fit, colours))

    @work(exclusive=True, group="apply")
    @show_errors
    async def action_apply(self) -> None:
        """The change goes into the recipe, marked as one, and everything is looked at again."""
        wanted = (self.fit.get("change") or {}).get("values", {})
        before = self.draft.values()[0]
        self.draft.take(self.draft.changed_to(wanted))
        self.applied |= {name: (self.applied.get(name, (before[name],))[0], value) for name, value in wanted.items()}
        self.changed()
        self.action_again()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """A change is only there where it does not fit."""
        return bool(self.fit.get("change")) if action == "apply" else True

    def lacking(self) -> str:
        """A check that passed."""
        if self.passed:
            return ""
        checking = any(worker.group == "fit" and not worker.is_finished for worker in self.workers)
        return "Still checking: one moment." if checking else "The check did not pass: go back and change what it names."
