"""Get a base model from a hub: named or chosen from a short list, asked about, fetched by the command line in a process of its own."""

import time
from typing import Any, ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.widgets import Input, Static
from textual.worker import Worker

from edgetune.bases.starters import starters
from edgetune.formatting import format_duration, format_size
from edgetune.text import one_line
from tui.command import edgetune
from tui.dialogs.ask import Consent
from tui.dialogs.dialog import Dialog
from tui.error_handling import show_errors
from tui.keys import key, with_keys
from tui.progress import progress
from tui.widgets.listing import Line, Listing
from tui.widgets.text_line import set_text

ASKED = "Type a name and press Enter, or choose one: the down key, then Enter. You are asked before anything is fetched."

NEEDS = {"a laptop with 8 GB": "8 GB", "a laptop with 16 GB, or a GPU with 8 GB": "16 GB", "a GPU with 12 GB": "GPU"}
"""Machines in a word, for the table; the line below it says more."""


class Fetch(Dialog[str]):
    """Fetches a model; gives the folder of what is now a base."""

    NAME = "Get a model"
    ABOUT = (
        "Fetches a base model from a Hugging Face hub: the one thing for which EdgeTune uses the network. It says what it would fetch, "
        "from where and how much, and asks. Weights come as safetensors alone, and every file is checked against the hub's hash. "
        "A download that was stopped resumes where it was. Gated models need their owner's consent and a token in HF_TOKEN."
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        key("fetch.list", "down", "list", "The list", "To the models worth starting with.", show=False),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._work: Worker[None] | None = None
        self._began: tuple[float, int] | None = None

    def compose(self) -> ComposeResult:
        """A line to type in, the list, and how it goes."""
        with Vertical(classes="box fetch") as box:
            box.border_title, box.border_subtitle = self.NAME, with_keys("{dialog.close} stops, or closes")
            yield Input(placeholder="OWNER/NAME", id="wanted")
            yield Listing("model", "about", "license", "needs", id="starters", gives=0)
            yield Static(ASKED, id="how", markup=False)

    def on_mount(self) -> None:
        """The list that comes with EdgeTune, read without the network."""
        lines = []
        for starter in starters():
            gated = ", gated" if starter.gated else ""
            needs = NEEDS.get(starter.machine, starter.machine)
            lines.append(Line(starter.name, (starter.name, format_size(starter.bytes), starter.licence + gated, needs)))
        self.query_one(Listing).show(lines)
        self.query_one(Input).focus()

    @property
    def busy(self) -> bool:
        """Whether a hub is asked or a model fetched."""
        return bool(self._work and not self._work.is_finished)

    def action_list(self) -> None:
        """To the list."""
        self.query_one(Listing).table.focus()

    def action_close(self) -> None:
        """Stop what is under way; close where nothing is."""
        if self._work and self.busy:
            self._work.cancel()
        else:
            self.dismiss(None)

    @on(Input.Submitted, "#wanted")
    def typed(self, event: Input.Submitted) -> None:
        """Enter in the line."""
        event.stop()
        if event.value.strip():
            self.begin(event.value.strip())

    @on(Listing.Moved)
    def moved(self, event: Listing.Moved) -> None:
        """What the marked one needs."""
        event.stop()
        chosen = next((starter for starter in starters() if starter.name == event.key), None)
        if chosen and self.query_one(Listing).has_focus_within and not self.busy:
            self._tell(
                f"{chosen.name}: about {format_size(chosen.bytes)}, trains on {chosen.machine} (a rule of thumb). Enter asks what there is."
            )

    @on(Listing.Chosen)
    def chosen(self, event: Listing.Chosen) -> None:
        """Enter on a model."""
        event.stop()
        self.query_one(Input).value = event.key
        self.begin(event.key)

    def begin(self, name: str) -> None:
        """Look, ask, fetch; one at a time."""
        if not self.busy:
            self._work = self.fetch(name)

    @work(exclusive=True, group="fetch")
    @show_errors
    async def fetch(self, name: str) -> None:
        """Ask the hub what there is and the user whether it may be fetched, then fetch just that."""
        self._tell(f"asking what {name} is …")
        end = "Nothing was fetched."
        try:
            plan = await edgetune(self.ours.workspace, "fetch", name, "--dry-run")
            if not await self.app.push_screen_wait(Consent(question(plan), "Fetch")):
                return
            self._began, end = None, "The download is not complete. What came is kept: Enter resumes it."
            result = await edgetune(self.ours.workspace, "fetch", name, "--revision", plan["commit"], "--yes", on_line=self._on_line)
            end = ""
        finally:
            if end:
                self._tell(end)
        self.ours.say(f"{plan['model']} is fetched; every hash is right.")
        self.dismiss(str(result["base"]))

    def _on_line(self, line: str) -> None:
        step = progress(line)
        if step is None:
            return
        now = time.monotonic()
        self._began = self._began or (now, step.done)
        passed, came = now - self._began[0], step.done - self._began[1]
        left = f"  {format_duration((step.total - step.done) * passed / came)} left" if came > 0 and passed > 1 else ""
        self._tell(step.line(self.ours.ascii_only) + left)

    def _tell(self, text: str) -> None:
        set_text(self, "#how", one_line(text, 300))


def question(plan: dict[str, Any]) -> str:
    """What would be fetched, from where and how much, and what is left there."""
    rest = plan["bytes"] - plan["have"]
    lines = [f"Fetch {plan['model']} from {plan['from']}?", ""]
    lines.append(
        f"{format_size(rest)} in {plan['files']} files" + (f" ({format_size(plan['have'])} are here already)" if plan["have"] else "")
    )
    lines.append(f"License: {plan['licence']}" + ("; gated: its owner asks for consent" if plan["gated"] else ""))
    lines.append(f"Into {plan['target']}")
    for reason in ("pickle", "code"):
        if names := [name for name, why in plan["skipped"].items() if why == reason]:
            lines.append(f"Left there ({reason}): {one_line(', '.join(names), 120)}")
    return "\n".join(one_line(line, 200) for line in lines)
