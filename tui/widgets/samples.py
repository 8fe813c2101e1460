"""Watch it learn: the answers to the same few prompts, step beside step."""

from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text
from textual.containers import VerticalScroll
from textual.widgets import Static

from edgetune.runs.describe_event import last_line
from edgetune.text import safe_text

COLUMN = 26
"""Cells a column should have at least."""
SOON = "The same questions are answered before training and at each evaluation; their answers will be shown here side by side."


class Samples(VerticalScroll):
    """Sample answers over time: the base's first, then as many of the later ones as there is room for."""

    def __init__(self, id: str | None = None) -> None:
        super().__init__(id=id, classes="panel")
        self.border_title = "Watch it learn"
        self._samples: list[dict[str, Any]] = []

    def compose(self) -> Any:
        """One table."""
        yield Static(
            SOON,
            classes="samples",
        )

    def show(self, samples: list[dict[str, Any]]) -> None:
        """Redraw where there are others than before."""
        last = self._samples[-1:]
        if samples and (len(samples), samples[-1:]) != (len(self._samples), last):
            self._samples = list(samples)
            self._draw()

    def on_resize(self) -> None:
        """Another width has room for more or fewer steps."""
        if self._samples:
            self._draw()

    def _draw(self) -> None:
        steps = list(dict.fromkeys(sample["step"] for sample in self._samples))
        answers = {(sample["prompt"], sample["step"]): sample["answer"] for sample in self._samples}
        shown = spread(steps, max(2, self.size.width // COLUMN))
        blocks: list[RenderableType] = []
        for prompt in dict.fromkeys(sample["prompt"] for sample in self._samples):
            table = Table(expand=True, box=None, padding=(0, 2, 0, 0), show_edge=False)
            for step in shown:
                table.add_column(Text("before" if step == 0 else f"step {step}", style="dim"), ratio=1)
            table.add_row(*(Text(safe_text(answers.get((prompt, step), ""))) for step in shown))
            blocks += [Text(safe_text(last_line(prompt)), style="bold"), table, Text()]
        self.query_one(Static).update(Group(*blocks))


def spread(steps: list[int], room: int) -> list[int]:
    """At most `room` of the steps: the first, the last, and some between."""
    if len(steps) <= room:
        return steps
    return [steps[round(i * (len(steps) - 1) / (room - 1))] for i in range(room)]
