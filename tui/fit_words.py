"""What `edgetune fit` predicts and what the check before a start says, as text for the screen."""

from typing import Any

from rich.text import Text

from edgetune.formatting import format_duration, format_size
from edgetune.text import one_line
from tui.keys import with_keys

WIDE = 100
"""Cells from which on a bar is long."""
PARTS = {
    "weights": ("weights", "primary", "#"),
    "adapter": ("adapter", "foreground", "="),
    "optimizer": ("optimizer", "accent", "+"),
    "activations": ("activations", "secondary", "."),
    "head": ("loss head", "error", "%"),
    "program": ("program", "success", "o"),
}
"""What needs memory: its name for people, its colour, and its sign where there are no blocks."""


def needs_text(fit: dict[str, Any], effort: dict[str, Any] | None, colours: dict[str, str], ascii_only: bool, width: int = 80) -> Text:
    """Memory and disk as stacked bars in what is free, and the time. effort: of the run, None while it is not known. width: cells."""
    memory, text, cells = fit["memory"], Text(), 40 if width >= WIDE else 24
    parts = {name: memory[name] for name in PARTS if name in memory}
    parts["program"] = fit["need"] - sum(parts.values())
    text.append("memory  ", "dim")
    _bar(text, [(size, *PARTS[name][1:]) for name, size in parts.items()], fit["free"], cells, colours, ascii_only)
    over = fit["need"] > fit["free"]
    style = f"bold {colours.get('error' if over else 'success', '')}"
    text.append(f"  {format_size(fit['need'])} of {format_size(fit['free'])} free on {fit['device']}\n", style)

    # The legend of the bar, in as many lines as the width needs.
    used = width
    for name, size in parts.items():
        words, colour, sign = PARTS[name]
        entry = f" {words} {format_size(size)}   "
        if used + len(entry) > width - 4:
            text.append("        " if used == width else "\n        ")
            used = 8
        used += 1 + len(entry)
        text.append(sign if ascii_only else "■", colours.get(colour, ""))
        text.append(entry)
    text.append("\n")

    # The disk must hold the checkpoints and the export that mostly follows.
    text.append("disk    ", "dim")
    export = fit["export"]["disk"]
    _bar(text, [(fit["disk"], "primary", "#"), (export, "accent", "=")], fit["disk_free"], cells, colours, ascii_only)
    full = fit["disk"] + export > fit["disk_free"]
    text.append(
        f"  {format_size(fit['disk'] + export)} of {format_size(fit['disk_free'])} free\n", colours.get("error", "") if full else ""
    )
    text.append(f"        checkpoints and result {format_size(fit['disk'])}, a Q4_K_M of it {format_size(export)}\n")
    text.append("time    ", "dim")

    # Time over the real rows is known only after the check; before it, a step of full length is all there is.
    each, reason = fit["seconds_per_step"], fit["seconds_reason"]
    if effort and effort["seconds"] is not None:
        reason = effort["reason"]
        text.append(f"about {format_duration(effort['seconds'])}", "bold")
        text.append(f" for {effort['tokens']:,} tokens")
    elif each is None:
        text.append("not known")
    else:
        text.append(f"{_step(each)} a step of rows of full length")
    text.append(f"\n        {one_line(reason, width - 14)}", "dim")
    text.append(f"\n        then about {format_duration(fit['export']['seconds'])} to write a Q4_K_M, and its proof", "dim")
    text.append("\n        Memory is for rows of full length.", "dim")
    if not memory["measured"]:
        text.append(" The figures for this device were not measured.", "dim")
    return text


def _step(value: float) -> str:
    return f"{value:.1f} s" if value < 10 else format_duration(value)


def _bar(text: Text, parts: list[tuple[int, str, str]], room: int, length: int, colours: dict[str, str], ascii_only: bool) -> None:
    """Parts side by side in `length` cells for what there is room for; too much fills them. A part that is there at all has a cell."""
    whole, used = max(room, sum(size for size, _, _ in parts), 1), 0
    for number, (size, colour, sign) in enumerate(parts):
        after = sum(1 for other, _, _ in parts[number + 1 :] if other)
        cells = min(length - used - after, max(1 if size else 0, round(size / whole * length)))
        text.append((sign if ascii_only else "█") * cells, colours.get(colour, ""))
        used += cells
    text.append(("-" if ascii_only else "░") * (length - used), "dim")


def change_text(fit: dict[str, Any], applied: dict[str, tuple[Any, Any]], colours: dict[str, str]) -> Text:
    """What makes it fit, or was changed for it. applied: options with their values before and now."""
    text = Text()
    if applied:
        done = ", ".join(f"{name.replace('_', ' ')} {before} → {now}" for name, (before, now) in applied.items())
        text.append(f"Changed so that it fits: {one_line(done, 300)}\n", colours.get("accent", ""))

    # Memory comes before the disk: a smaller model needs less of both.
    if fit["need"] > fit["free"]:
        text.append("It does not fit in memory. ", f"bold {colours.get('error', '')}")
        if fit["change"]:
            text.append(with_keys("Press {fit.apply} for the smallest change: "), "bold")
            text.append(f"{one_line(fit['change']['words'], 300)} ({format_size(fit['change']['need'])}).")
        else:
            text.append("No change makes it fit: choose a smaller base, or close other programs.")
    elif fit["disk"] + fit["export"]["disk"] > fit["disk_free"]:
        text.append("The disk has too little room. ", f"bold {colours.get('error', '')}")
        text.append(with_keys("Free space: {home.prune} on Home removes what can be made again."))
    text.rstrip()
    return text


def plan_text(plan: dict[str, Any], fit: dict[str, Any], colours: dict[str, str]) -> Text:
    """What the check says."""
    text = Text()
    if fit["need"] > fit["free"]:
        text.append("It can start, but rows as long as they may be would not fit.\n", f"bold {colours.get('warning', '')}")
    else:
        text.append("It can start.\n", f"bold {colours.get('success', '')}")
    recipe = plan["recipe"]
    text.append(
        f"{plan['steps']:,} step{'s' if plan['steps'] != 1 else ''} of {recipe['batch_size'] * recipe['gradient_accumulation']} rows; "
    )
    text.append(f"learning rate {recipe['learning_rate']:g} ({plan['sources']['learning_rate']})\n")
    for note in plan["notes"]:
        text.append(f"- {one_line(note, 300)}\n")
    text.append(f"data: {plan['verdict']}", "dim")
    return text
