"""Step 6: a name, and go."""

from pathlib import Path
from typing import ClassVar

from rich.text import Text
from textual import on, work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import VerticalScroll
from textual.widgets import Button, Input, Static

from edgetune.errors import EdgeTuneError
from edgetune.storage.files import safe_name
from edgetune.text import format_value, one_line, safe_text
from tui.draft import forget
from tui.error_handling import show_errors
from tui.keys import key, with_keys
from tui.navigation import replace_screen
from tui.start import begin
from tui.steps.step import Step


class StartStep(Step):
    """Name the run and start it."""

    TITLE = "Start"
    ABOUT = "Give it a name, or none, and start it with Enter. It trains in a separate process and continues when the app is closed."
    BINDINGS: ClassVar[list[BindingType]] = [
        key("start.go", "ctrl+s", "go", "Start", "Make the run and start it."),
        key("start.copy", "ctrl+y", "copy", "Copy command", "Copy the command line that does the same.", show=False),
    ]

    def compose(self) -> ComposeResult:
        """Summary, name, button, and the command that does the same."""
        draft = self.draft
        with VerticalScroll(classes="panel", id="start") as panel:
            panel.border_title = "Ready"
            data = ", ".join(_file(path) for path in draft.data)
            options = [f"{name.replace('_', ' ')} {one_line(format_value(value), 40)}" for name, value in draft.options.items()]
            changed = ", ".join(options) or "nothing"
            rows = [("model", draft.base), ("data", data), ("goal", draft.goal), ("preset", draft.preset), ("changed", changed)]
            text = Text()
            for name, value in rows:
                text.append(f"{name:>8}  ", "dim")
                text.append(f"{one_line(value, 200)}\n")
            text.rstrip()
            yield Static(text)

            # What is left to choose is the name, and that has the focus.
            yield Static("Name", classes="label")
            yield Input(draft.name, placeholder="Leave empty for an automatic name", id="name")
            yield Static("", classes="wrong", markup=False)
            yield Button("Start training", id="go", variant="success", compact=True)
            yield Static(with_keys("Same run on the command line ({start.copy} copies):"), classes="label")
            yield Static(safe_text(draft.command()), id="command", markup=False)

    def enter(self) -> None:
        """The name; Enter starts with it or without."""
        self.query_one(Input).focus()

    @on(Input.Changed)
    def named(self, event: Input.Changed) -> None:
        """Check the name while it is typed."""
        event.stop()
        self.draft.name = event.value.strip()
        self.changed()
        self.query_one(".wrong", Static).update(self._wrong())
        self.query_one("#command", Static).update(safe_text(self.draft.command()))

    def _wrong(self) -> str:
        try:
            if self.draft.name:
                safe_name(self.draft.name)
                self.workspace.new_name(self.draft.name, "")
        except EdgeTuneError as error:
            return safe_text(f"{error.title}. {error.cause}")
        return ""

    @on(Input.Submitted)
    @on(Button.Pressed)
    def pressed(self, event: Input.Submitted | Button.Pressed) -> None:
        """Enter in the name, or the button."""
        event.stop()
        self.action_go()

    def action_copy(self) -> None:
        """The command, to the clipboard."""
        self.app.copy_to_clipboard(self.draft.command())
        self.ours.say("Copied.")

    @work(exclusive=True, group="start")
    @show_errors
    async def action_go(self) -> None:
        """Make the run and launch it, then show it."""
        if self._wrong():
            return
        button = self.query_one(Button)
        button.disabled, button.label = True, "starting …"
        try:
            run = await begin(self.workspace, self.draft.train_arguments())
        finally:
            button.disabled, button.label = False, "Start training"
        forget(self.workspace)

        replace_screen(self.app, "run", run)


def _file(path: str) -> str:
    """A file with its folder behind it: the name is what people know it by."""
    file = Path(path)
    return f"{one_line(file.name, 60)} (in {one_line(str(file.parent), 120)})" if file.is_absolute() else one_line(path, 120)
