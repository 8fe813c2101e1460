"""Help for the screen that is open, made from what it declares of itself."""

from typing import Any, ClassVar

from rich.table import Table
from rich.text import Text
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import VerticalScroll
from textual.screen import ActiveBinding, Screen
from textual.widgets import Static

from tui.dialogs.dialog import Dialog
from tui.keys import key, shown_key, with_keys


class Help(Dialog[None]):
    """What a screen is for, and its keys."""

    NAME = "Help"
    IS_HELP = True
    ABOUT = "Every screen has its own help."
    BINDINGS: ClassVar[list[BindingType]] = [key("help.tour", "t", "tour", "Tour", "The short tour of the app, from Home.")]

    def __init__(self, about: Screen[Any]) -> None:
        super().__init__()
        self.about = about
        self.active = dict(about.active_bindings)

    def compose(self) -> ComposeResult:
        """The screen's own words, then a table of its keys."""
        box = VerticalScroll(classes="box help")
        box.border_title = f"Help: {getattr(self.about, 'NAME', '') or 'this screen'}"
        box.border_subtitle = with_keys(
            "{help.tour} Tour, {dialog.close} closes" if self.check_action("tour", ()) else "{dialog.close} closes"
        )
        with box:
            yield Static(with_keys(getattr(self.about, "ABOUT", "")), markup=False)
            yield Static("")
            yield Static(self._keys())

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """The tour stands on Home."""
        return hasattr(self.about, "action_tour") if action == "tour" else True

    def action_tour(self) -> None:
        """Close the help, begin the tour."""
        self.dismiss(None)
        self.about.call_later(self.about.run_action, "tour")

    def _place(self, active: ActiveBinding) -> int:
        """The screen's own keys first, then those of what has the focus, then the app's."""
        return 0 if active.node is self.about else 2 if active.node is self.app else 1

    def _keys(self) -> Table:
        keys: dict[tuple[str, str], list[str]] = {}
        for active in sorted(self.active.values(), key=self._place):
            binding = active.binding
            if binding.system or not binding.tooltip or binding.action == "command_palette":
                continue
            keys.setdefault((binding.description, binding.tooltip), []).append(shown_key(binding.key))
        table = Table.grid(padding=(0, 2))
        for (label, tip), names in keys.items():
            table.add_row(Text(", ".join(names), style="bold"), Text(label), Text("" if tip == label else tip, style="dim"))
        table.add_row(Text("Ctrl+P", style="bold"), Text("Commands"), Text("All that can be done now, by name.", style="dim"))
        return table
