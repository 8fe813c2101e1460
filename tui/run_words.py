"""A run in a few words: the headline while it trains and after, and its note in the top line."""

from rich.text import Text

from edgetune.formatting import format_duration, format_size
from edgetune.runs.history import History
from edgetune.storage.workspace import Run
from edgetune.text import one_line
from tui.keys import with_keys
from tui.widgets.spark import bar
from tui.widgets.status import look

WIDE = 100
"""Cells from which on there is room for more."""


def headline(history: History, status: str, writes_answers: bool, colours: dict[str, str], ascii_only: bool, width: int) -> Text:
    """Two lines: how far it is, and what it means or what comes next."""
    state = history.state
    first = look(status, colours)
    share = state.step / state.total if state.total else 0.0
    first.append(f"  {bar(share, 24 if width >= WIDE else 12, ascii_only)} ", colours.get("primary", ""))
    first.append(f"{state.step}/{state.total} steps" if state.total else "not started")

    # Figures that matter most come first: a narrow terminal cuts the line at its end.
    if state.loss is not None:
        first.append(f"  loss {state.loss:.3f}")
    if status == "running" and state.eta is not None:
        first.append(f"  {format_duration(state.eta)} left", "bold")
    elif state.step:
        first.append(f"  {format_duration(state.seconds)} trained")
    if history.epoch is not None and width >= WIDE:
        first.append(f"  epoch {history.epoch:.1f}")
    first.append("\n")
    first.append(next_step(history, status, writes_answers), "dim")
    return first


def what_next(run: Run, writes_answers: bool) -> str:
    """What a finished run is good for."""
    if not writes_answers:
        return f"Next, in a shell: edgetune score {run.name} --data answers.jsonl ranks answers by it"
    return with_keys("Next: {run.chat} chat, {run.export} export, {run.rank} rank its answers")


def next_step(history: History, status: str, writes_answers: bool) -> str:
    """What it means, and what to do."""
    state = history.state
    before, after = state.base_loss, state.loss_after
    measured = before is not None and after is not None and state.best_step
    fell = f"held-out loss {before:.3f} → {after:.3f}" if measured else ""
    if status == "finished":
        better = fell if not measured or after < before else f"It did not get better on rows it has not seen ({fell})."  # type: ignore[operator]
        return f"{better}  {what_next(history.run, writes_answers)}".strip()

    # One who looks at a run that ended early wants to know why, and which key resumes it.
    if status == "failed" and state.error:
        then = with_keys("{run.why} says why and what to do; {run.resume} resumes it.")
        return one_line(f"{state.error['title']}. {then}", 200)
    if status == "interrupted":
        return with_keys("Press {run.resume} to resume from the last checkpoint; {run.why} says why it ended.")
    if status == "stopped":
        return f"Paused at step {state.step}. {with_keys('Press {run.resume} to continue.')}"

    # Before the first step the model is loaded, which takes longest.
    if status == "waiting" or not state.step:
        if status == "new":
            return with_keys("Press {run.resume} to start it.")
        if state.step:
            return f"Resuming from step {state.step}: loading the model …"
        measured_first = "" if history.curves["eval_loss"].values else "; the first evaluation comes before the first step"
        return f"Loading the model{measured_first}."
    return fell or f"The {'next' if history.curves['eval_loss'].values else 'first'} check on held-out examples comes soon."


def machine_text(history: History, status: str, temperature: float | None) -> str:
    """Speed, memory and temperature (degrees Celsius) while it trains."""
    memory = history.curves["memory"].values
    parts = []
    if status == "running" and history.state.tokens_per_second:
        parts.append(f"{history.state.tokens_per_second:,.0f} tokens/s")
    if memory and status in ("running", "stopping"):
        parts.append(f"{format_size(memory[-1])} memory")
    if status in ("running", "stopping") and temperature is not None:
        parts.append(f"{temperature:.0f} °C")
    return " · ".join(parts) or history.state.device
