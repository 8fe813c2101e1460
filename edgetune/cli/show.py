"""How values look in a terminal: what is said, tables, and a progress line that never reaches stdout."""

import os
import shutil
import sys
import time
from contextlib import suppress
from typing import Any

from edgetune.formatting import format_duration
from edgetune.text import one_line


def say(text: str) -> None:
    """Talk, on stderr."""
    print(one_line(text, 2000), file=sys.stderr)


def table(rows: list[list[Any]], head: list[str], width: int = 60) -> str:
    """Rows in columns, the head first; every cell made safe and at most `width` characters wide."""
    cells = [head, *[[one_line(str(c), width) for c in row] for row in rows]]
    widths = [max(len(row[i]) for row in cells) for i in range(len(head))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells)


class ProgressLine:
    """One line on stderr that changes in a terminal; elsewhere a plain line now and then."""

    EVERY = 20.0
    """Seconds between two plain lines; EDGETUNE_PROGRESS has others, for who reads them as they come."""

    def __init__(self) -> None:
        with suppress(KeyError, ValueError):
            self.EVERY = float(os.environ["EDGETUNE_PROGRESS"])
        self.live = sys.stderr.isatty()
        self.started, self.shown = time.monotonic(), 0.0
        self.open = False

    def left(self, done: float, total: float) -> str:
        """How long the rest takes at the speed so far, in words; nothing while that is not known."""
        passed = time.monotonic() - self.started
        return f", {format_duration(passed / done * (total - done))} left" if passed > 1 and 0 < done < total else ""

    def update(self, done: int, total: int, text: str) -> None:
        """Show how far it is."""
        # Writing is slow in some terminals and fills a log: most calls show nothing, but the last one always does.
        now = time.monotonic()
        if now - self.shown < (0.1 if self.live else self.EVERY) and done < total:
            return
        self.shown = now

        share = done / max(total, 1)
        if not self.live:
            print(f"{done}/{total} {text}", file=sys.stderr, flush=True)
            return

        # Cut to the width, because a line that wraps cannot be cleared again.
        width = shutil.get_terminal_size().columns
        bar = 20
        fancy = (sys.stderr.encoding or "").lower().startswith("utf")
        full, empty = ("█", "░") if fancy else ("#", "-")
        line = f"{full * round(share * bar)}{empty * (bar - round(share * bar))} {done}/{total} {text}"

        sys.stderr.write("\r\x1b[K" + one_line(line, width - 1))
        sys.stderr.flush()
        self.open = True

    def tell(self, text: str) -> None:
        """Say something in a line of its own."""
        self.clear()
        say(text)

    def weights(self, name: str, done: int, total: int) -> None:
        """Show how far an export is, in weights."""
        self.update(done // 10**6, max(1, total // 10**6), f"million weights, {name}{self.left(done, total)}")

    def count(self, text: str) -> None:
        """Show how far it is where no total is known."""
        now = time.monotonic()
        if now - max(self.shown, self.started) < (0.1 if self.live else self.EVERY):
            return
        self.shown = now
        if not self.live:
            print(text, file=sys.stderr, flush=True)
        else:
            self.open = True
            sys.stderr.write("\r\x1b[K" + one_line(text, shutil.get_terminal_size().columns - 1))
            sys.stderr.flush()

    def clear(self) -> None:
        """Leave the line before something else is printed."""
        if self.open:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
            self.open = False
