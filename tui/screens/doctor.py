"""Doctor: what this machine has, what would be used, and why, as `edgetune doctor` tells it."""

from collections.abc import Iterable
from typing import Any, ClassVar

from rich.text import Text
from textual import work
from textual.binding import BindingType
from textual.containers import VerticalScroll
from textual.widget import Widget
from textual.widgets import Static

from edgetune.formatting import format_size
from edgetune.text import one_line
from tui.command import edgetune
from tui.error_handling import show_errors
from tui.keys import key
from tui.pages.page import Page


class Doctor(Page):
    """Shows the machine."""

    NAME = "Doctor"
    ABOUT = "What this machine has, what EdgeTune would use, and why. What is missing is named."
    BINDINGS: ClassVar[list[BindingType]] = [
        key("doctor.again", "g", "again", "Look again", "Look at the machine once more."),
        key("doctor.copy", "c", "copy", "Copy", "Copy it all, to ask somebody."),
        key("page.help", "question_mark", "app.help", "Help", "What this screen is for, and its keys.", show=False),
    ]

    def body(self) -> Iterable[Widget]:
        """One text."""
        with VerticalScroll(classes="panel", id="doctor") as panel:
            panel.border_title = "This machine"
            yield Static("looking …", id="facts", markup=False)

    def on_mount(self) -> None:
        """Look."""
        self.facts, self.report = Text(), dict[str, Any]()
        self.query_one("#doctor").focus()
        self.action_again()

    @work(exclusive=True)
    @show_errors
    async def action_again(self) -> None:
        """Ask the command line."""
        self.report = await edgetune(self.workspace, "doctor")
        self.recolour()

    def recolour(self) -> None:
        """The facts as they were found."""
        if self.report:
            self.facts = facts_text(self.report, self.app.theme_variables)
            self.query_one("#facts", Static).update(self.facts)

    def action_copy(self) -> None:
        """To the clipboard."""
        self.app.copy_to_clipboard(self.facts.plain)
        self.ours.say("Copied.")


def facts_text(facts: dict[str, Any], colours: dict[str, str]) -> Text:
    """The facts as lines."""
    here = facts["machine"]
    graphics = f"{here['gpu']}, {format_size(here['gpu_memory'])}" if here["gpu_memory"] else here["gpu"] or "none found"
    rows = [
        ("EdgeTune", f"{facts['edgetune']}, Python {facts['python']} on {here['system']}"),
        ("processor", f"{here['processor']}, {here['cores']} cores"),
        ("memory", f"{format_size(here['memory'])}, {format_size(here['memory_free'])} free"),
        ("graphics", graphics),
        ("disk", f"{format_size(facts['disk_free'])} free at {facts['workspace']}"),
        ("trains on", f"{facts['device']}: {facts['device_reason']}"),
        ("computes in", f"{facts['dtype']}: {facts['dtype_reason']}"),
        ("sleep", facts["sleep"]),
        ("network", facts["network"]),
    ]

    # Names stand in a column of their own, as the command line prints them.
    text = Text()
    for name, value in rows:
        text.append(f"{name:>12}  ", "dim")
        text.append(f"{one_line(value, 300)}\n")
    text.append("\n")
    for name, version in facts["packages"].items():
        text.append(f"{name:>18}  ", "dim")
        text.append(f"{version or 'MISSING'}\n", colours.get("success" if version else "error", ""))

    # Only one command mends what is missing.
    if facts["missing"]:
        text.append("\nSet up again: python packaging/bootstrap.py setup\n", "bold")
    return text
