"""Runs, exports and bases as lines of a table."""

import math
from pathlib import Path

from rich.text import Text

from edgetune.bases.find import Base
from edgetune.formatting import format_size
from edgetune.runs.overview import Seen
from tui.widgets.listing import Line
from tui.widgets.spark import spark
from tui.widgets.status import look

CURVE = 10
"""Cells of a curve in a table."""


def run_line(seen: Seen, colours: dict[str, str], ascii_only: bool) -> Line:
    """A run: name, state, steps, curve of the loss, held-out loss before and best, base, size."""
    state = seen.state
    after = state.loss_after
    loss = f"{state.base_loss:.2f} → {after:.2f}" if state.base_loss is not None and after is not None and state.best_step else "-"

    # Plain cells but for the state and the curve, which have colours of the theme.
    return Line(
        seen.name,
        (
            seen.name,
            look(seen.status, colours),
            f"{state.step}/{seen.total}",
            Text(spark(logs(seen.loss.values), CURVE, ascii_only), style=colours.get("secondary", "")),
            loss,
            seen.base_name,
            format_size(seen.bytes),
        ),
    )


def logs(values: list[float]) -> list[float]:
    """Logarithms, in which a loss that falls fast at first still shows what it does later."""
    return [math.log(max(value, 1e-6)) for value in values]


def export_line(path: Path, size: int) -> Line:
    """An export: file and size."""
    return Line(str(path), (path.name, format_size(size)))


def base_line(base: Base) -> Line:
    """A base: name, parameters, size, context."""
    return Line(
        str(base.path) if base.name != "nano" else "nano",
        (base.name, parameters(base.parameters), format_size(base.bytes), f"{base.context:,}"),
    )


def parameters(count: int) -> str:
    """A number of parameters as people write it."""
    return f"{count / 1e9:.1f}B" if count >= 1e9 else f"{count / 1e6:.1f}M"
