"""The prompt that answers are compared on, with what was said before it."""

from collections.abc import Sequence
from typing import Any

from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.widgets import Static

from edgetune.text import safe_text

ROLE_LABELS = {"system": "system", "user": "you", "assistant": "model"}


class Asked(VerticalScroll):
    """Shows turns; the last one is what is asked."""

    can_focus = False

    def compose(self) -> ComposeResult:
        """What was said before, the question, a word about it."""
        yield Static("", classes="how before", markup=False)
        yield Static("", classes="question", markup=False)
        yield Static("", classes="how about", markup=False)

    def on_mount(self) -> None:
        """Nothing yet."""
        self._say("", "", "")

    def show(self, turns: Sequence[dict[str, Any]], about: str = "") -> None:
        """These turns."""
        before = "\n".join(f"{ROLE_LABELS.get(turn['role'], turn['role'])}: {turn['content']}" for turn in turns[:-1])
        self.remove_class("-note")
        self._say(before, str(turns[-1]["content"]), about)

    def note(self, text: str) -> None:
        """No prompt, but a word."""
        self._say("", "", text)
        self.add_class("-note")

    def _say(self, *texts: str) -> None:
        for name, text in zip((".before", ".question", ".about"), texts, strict=True):
            part = self.query_one(name, Static)
            part.display = bool(text)
            part.update(safe_text(text))
