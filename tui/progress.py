"""What a command says while it works: how far it is, or a line of talk."""

import re
from dataclasses import dataclass

from edgetune.formatting import format_size
from tui.widgets.spark import bar

_LINE = re.compile(r"(\d+)/(\d+) (bytes )?\s*(.*)")
"""How the command line tells progress where there is no terminal."""


@dataclass(frozen=True)
class CommandProgress:
    """How far it is. size: whether bytes are counted. text: what is being done."""

    done: int
    total: int
    size: bool
    text: str

    def line(self, ascii_only: bool, width: int = 24) -> str:
        """A bar, the figures and what is being done."""
        figures = f"{format_size(self.done)} of {format_size(self.total)}" if self.size else f"{self.done}/{self.total}"
        return f"{bar(self.done / max(self.total, 1), width, ascii_only)} {figures}  {self.text}"


def progress(line: str) -> CommandProgress | None:
    """What a line says about progress, None for talk."""
    match = _LINE.fullmatch(line)
    return CommandProgress(int(match[1]), int(match[2]), bool(match[3]), match[4]) if match else None
