"""The X-ray's report, and a row token by token, as text for the screen."""

from pathlib import Path
from typing import Any

from rich.text import Text

from edgetune.data.verdict import DO_NOT_TRAIN, GOOD
from edgetune.formatting import format_duration
from edgetune.text import one_line, safe_text
from tui.widgets.spark import spark

MOST_PROBLEMS = 8
"""Kinds of problems that are listed."""


def report_text(report: dict[str, Any], colours: dict[str, str], ascii_only: bool) -> Text:
    """Verdict first, then what it rests on."""
    text = Text()
    verdict = report["verdict"]
    colour = colours.get({GOOD: "success", DO_NOT_TRAIN: "error"}.get(verdict, "warning"), "")
    text.append(f"{verdict}\n", f"bold {colour}")
    for reason in report["reasons"][:4]:
        text.append(f"- {one_line(reason, 240)}\n")

    # What to do about it, with file names alone: their folders are on the screen already.
    if report["fix_first"]:
        text.append("fix first: ", "bold")
        fix = report["fix_first"]
        for file in report["files"]:
            fix = fix.replace(file["file"], Path(file["file"]).name)
        text.append(f"{one_line(fix, 300)}\n")
    text.append(f"{one_line(report['reason'], 200)}\n", "dim")
    text.append(f"{rows_used(report)}\n")

    # Figures follow, for who wants to know what the verdict rests on.
    tokens = report["tokens"]
    if tokens.get("tokens"):
        text.append(f"{tokens['tokens']:,} tokens, {tokens['trained_tokens'] / tokens['tokens']:.0%} of them trained on\n")
    lengths = report["lengths"]
    if "rows" in lengths:
        bars = spark([bar["rows"] for bar in lengths["histogram"]], 24, ascii_only)
        text.append(f"lengths {lengths['histogram'][0]['from']} ")
        text.append(bars, colours.get("secondary", ""))
        text.append(f" {lengths['max']:,}  half are up to {lengths['median']:,}, 99 % up to {lengths['p99']:,}\n")
    text.append_text(_problems(report))
    effort = report.get("effort") or {}
    if effort:
        about = f"about {format_duration(effort['seconds'])}" if effort.get("seconds") is not None else "time not known"
        text.append(f"{effort['steps']:,} steps, {about} ({effort['reason']})\n", "dim")
    text.rstrip()
    return text


def rows_used(report: dict[str, Any]) -> str:
    """How many of the rows that were read are trained on."""
    read, skipped, shortened = report["read"], report["rejected"], report["truncated"]
    if not skipped and not shortened:
        return f"{read:,} rows, all used"
    changes = [f"{skipped:,} skipped"] if skipped else []
    changes += [f"{shortened:,} shortened"] if shortened else []
    return f"{read:,} rows, {report['kept']:,} used ({', '.join(changes)})"


def _problems(report: dict[str, Any]) -> Text:
    text = Text()
    firsts: dict[str, dict[str, Any]] = {}
    for problem in report["problems"]:
        firsts.setdefault(problem["kind"], problem)
    for kind, count in list(report["problem_counts"].items())[:MOST_PROBLEMS]:
        text.append(f"{count:,} {kind.replace('_', ' ')}", "bold")
        if first := firsts.get(kind):
            text.append(f"  {Path(first['file']).name}:{first['line']}: {one_line(first['message'], 120)}", "dim")
        text.append("\n")
    return text


def row_text(row: dict[str, Any], colours: dict[str, str]) -> Text:
    """A row as the model sees it; trained tokens on a colour, and between marks so that it also reads without."""
    if "rejected" in row:
        return Text(f"left out: {one_line(row['rejected']['reason'], 300)}")
    text = Text()
    trained = f"bold {colours.get('success', '')}"

    # A mark opens and closes each stretch that is learned, not each token.
    for number, tokens in enumerate(row["rows"]):
        inside = False
        if number:
            text.append("\n")
        for token in tokens:
            if token["trained"] != inside:
                text.append("⟦" if token["trained"] else "⟧", trained)
                inside = token["trained"]
            text.append(safe_text(token["text"]), trained if inside else "dim" if token["special"] else "")
        if inside:
            text.append("⟧", trained)

    # What was noticed about the row comes last: the row itself is what one looks for.
    for problem in row["problems"]:
        text.append(f"\n{problem['kind'].replace('_', ' ')}", f"bold {colours.get('warning', '')}")
        text.append(f"  {one_line(problem['message'], 240)}")
    text.rstrip()
    return text
