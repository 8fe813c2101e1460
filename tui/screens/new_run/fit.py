"""Step 5: will it fit? Checked and prepared for real, in a process of its own, before anything starts."""

from typing import Any, ClassVar

from rich.text import Text
from textual import work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import VerticalScroll
from textual.widgets import Static

from edgetune import fit, hardware
from edgetune.bases import find
from edgetune.files import free_bytes, human
from edgetune.text import one_line
from tui.attempt import in_thread, shown
from tui.command import edgetune
from tui.keys import key
from tui.screens.new_run.step import Step

BAR = 36
COLOURS = ("primary", "accent", "warning", "secondary", "error", "success")
SIGNS = "#=+.%o"
"""What the parts of the bar are drawn with where there are no blocks."""


class FitStep(Step):
    """Check everything before it starts."""

    TITLE = "Will it fit?"
    ABOUT = "Everything is checked and the rows are prepared before anything is trained."
    BINDINGS: ClassVar[list[BindingType]] = [key("fit.again", "g", "again", "Check again", "Check once more.")]

    def compose(self) -> ComposeResult:
        """Memory as a bar; what the check says."""
        with VerticalScroll(classes="panel", id="fit") as panel:
            panel.border_title = "Before it starts"
            yield Static("checking …", id="memory", markup=False)
            yield Static("", id="notes", markup=False)

    def on_mount(self) -> None:
        """Check."""
        self.passed = False
        self.action_again()

    def enter(self) -> None:
        """The panel, to scroll."""
        self.query_one("#fit").focus()

    @work(exclusive=True)
    @shown
    async def action_again(self) -> None:
        """The memory it needs at least, then the whole check that `edgetune train --dry-run` makes."""
        self.passed = False
        notes = self.query_one("#notes", Static)
        notes.update("checking the data with this recipe …")
        parts, free, advice = await in_thread(self._memory)
        self.query_one("#memory", Static).update(memory_text(parts, free, advice, self.app.theme_variables, self.ours.ascii_only))
        try:
            plan = await edgetune(
                self.workspace, "train", *self.draft.words(), "--dry-run", said=lambda line: notes.update(one_line(line, 200))
            )
        except BaseException:
            notes.update("It cannot be started this way. Go back and change it, or press g to check again.")
            raise
        disk = await in_thread(free_bytes, self.workspace.path)
        notes.update(plan_text(plan, disk, self.app.theme_variables))
        self.passed = True

    def _memory(self) -> tuple[dict[str, int], int, str]:
        recipe, _ = self.draft.recipe()
        device = hardware.device(recipe.device).value
        base, free = find.describe(find.resolve(recipe.base)), fit.free_memory(device)
        found = fit.training_memory(recipe, base, device)
        parts = {
            "weights": found.weights,
            "adapter": found.adapter,
            "optimizer": found.optimizer,
            "activations": found.activations,
            "loss head": found.head,
            "program": found.runtime + fit.beside(device),
        }
        if sum(parts.values()) <= free:
            return parts, free, ""
        change = fit.smallest_change(recipe, base, device, free)
        advice = f"Smallest change that fits: {change.words} ({human(change.needed)})." if change else "No change makes it fit here."
        return parts, free, advice

    def lacking(self) -> str:
        """A check that passed."""
        return "" if self.passed else "The check is not done, or did not pass."


def memory_text(parts: dict[str, int], free: int, advice: str, colours: dict[str, str], ascii_only: bool) -> Text:
    """A stacked bar of what needs memory at the peak, in what is free, with its key. advice: what to change, where it does not fit."""
    text, need = Text(), sum(parts.values())
    whole = max(free, need, 1)
    used = 0
    for (_, size), colour, sign in zip(parts.items(), COLOURS, SIGNS, strict=False):
        cells = max(1 if size else 0, round(size / whole * BAR))
        text.append((sign if ascii_only else "█") * cells, colours.get(colour, ""))
        used += cells
    text.append("░" * max(0, BAR - used), "dim")
    text.append(f"  about {human(need)} at the peak, of {human(free)} free\n", "bold")
    for (name, size), colour, sign in zip(parts.items(), COLOURS, SIGNS, strict=False):
        text.append(f"{sign if ascii_only else '■'} ", colours.get(colour, ""))
        text.append(f"{name} {human(size)}   ")
    text.append(f"\n{advice or 'Counted with every row at full length.'}\n", "" if advice else "dim")
    return text


def plan_text(plan: dict[str, Any], disk: int, colours: dict[str, str]) -> Text:
    """What the check says."""
    text = Text()
    text.append("It can start.\n", f"bold {colours.get('success', '')}")
    recipe = plan["recipe"]
    text.append(f"{plan['steps']:,} steps of {recipe['batch'] * recipe['accumulation']} rows; ")
    text.append(f"learning rate {recipe['learning_rate']:g} ({plan['sources']['learning_rate']})\n")
    for note in plan["notes"]:
        text.append(f"- {one_line(note, 300)}\n")
    text.append(f"data: {plan['verdict']}\n{human(disk)} of disk free", "dim")
    return text
