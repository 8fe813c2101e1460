"""A short tour for who opens the app the first time: a few lines on Home, which take no key away from it."""

from rich.text import Text
from textual.widgets import Static

from tui.keys import with_keys

STEPS = (
    (
        "Home",
        "your runs, the files made from them, and the models on this machine. Tab goes from list to list, Enter opens the selected item.",
    ),
    (
        "Keys",
        "what works now is shown in the last line. {app.help} or {page.help} shows all keys of a screen; {page.back} goes back; "
        "{list.filter} filters a list.",
    ),
    (
        "Palette",
        "Ctrl+P finds what can be done now by its name. {app.theme} switches between dark and light. "
        "{app.quit} leaves; running jobs continue.",
    ),
    (
        "Begin",
        "{home.try} teaches the bundled model something new in about three minutes; {home.new} starts a run with your own examples.",
    ),
)
"""What the tour says, one thing at a time."""


class Tour(Static):
    """Tells one step; `step` goes to the next one and says whether there is one."""

    DEFAULT_CSS = """
    Tour { height: auto; padding: 0 1; border: round $accent; border-title-color: $accent; border-subtitle-color: $text-muted; }
    """

    def __init__(self, id: str | None = None) -> None:
        super().__init__(id=id, markup=False)
        self.at = 0

    def on_mount(self) -> None:
        """The first step."""
        self._tell()

    def step(self) -> bool:
        """The next step; False after the last."""
        self.at += 1
        if self.at < len(STEPS):
            self._tell()
        return self.at < len(STEPS)

    async def on_click(self) -> None:
        """As Space."""
        await self.screen.run_action("tour_next")

    def _tell(self) -> None:
        title, words = STEPS[self.at]
        last = self.at == len(STEPS) - 1
        self.border_title = f"Tour {self.at + 1} of {len(STEPS)}"
        self.border_subtitle = with_keys("{tour.next} or {tour.skip}: done" if last else "{tour.next}: next   {tour.skip}: skip")
        text = Text(f"{title}: ", style="bold")
        text.append(with_keys(words), style="not bold")
        self.update(text)
