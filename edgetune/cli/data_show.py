"""How the X-ray of a data set, and one of its rows, look in a terminal."""

import json
import sys
from pathlib import Path
from typing import Any

import typer

from edgetune.cli.show import table
from edgetune.data.row import Problem
from edgetune.data.xray import Report
from edgetune.formatting import format_duration
from edgetune.text import one_line, safe_text

MAX_ROWS_SHOWN = 12
"""Kinds of problems that the terminal lists."""


def print_report(report: Report) -> None:
    """The X-ray of a data set, on stdout."""
    for file in report.files:
        held = ", held out" if file["held_out"] else ""
        typer.echo(f"{one_line(file['file'], 200)}: {file['read']:,} rows{held}")
    typer.echo(f"  {safe_text(report.reason)}")
    typer.echo(f"  read {report.read:,} = kept {report.kept:,} + rejected {report.rejected:,} + truncated {report.truncated:,}")

    _print_lengths(report.lengths)
    _print_tokens(report)
    if report.languages:
        typer.echo("languages: " + ", ".join(f"{name} {share:.0%}" for name, share in list(report.languages.items())[:5] if share >= 0.005))

    # One example of each kind is enough to find it, and thousands of rows may have the same problem.
    if report.problem_counts:
        firsts: dict[str, Problem] = {}
        for problem in report.problems:
            firsts.setdefault(problem.kind, problem)

        rows = []
        for kind, count in list(report.problem_counts.items())[:MAX_ROWS_SHOWN]:
            first = firsts.get(kind)
            where = f"{Path(first.file).name}:{first.line}: {first.message}" if first else ""
            rows.append([kind, f"{count:,}", "left out" if kind in report.rejected_counts else "kept", where])
        typer.echo(table(rows, ["problem", "rows", "", "first"], width=160))
        if len(report.problem_counts) > MAX_ROWS_SHOWN:
            typer.echo(f"… and {len(report.problem_counts) - MAX_ROWS_SHOWN} more kinds: --json or --out report.html shows them")

    if report.quarantine:
        typer.echo(f"rows left out are in {report.quarantine}")

    plan = report.effort
    if plan:
        about = f"about {format_duration(plan['seconds'])}" if plan["seconds"] is not None else "time not known"
        typer.echo(f"training: {plan['steps']:,} steps over {plan['rows']:,} rows, {plan['tokens']:,} tokens, {about} ({plan['reason']})")

    # Last, because the end is what remains in view in a terminal.
    typer.echo(f"verdict: {report.verdict}")
    for reason in report.reasons:
        typer.echo(f"  - {one_line(reason, 300)}")
    if report.fix_first:
        typer.echo(f"fix first: {one_line(report.fix_first, 400)}")


def _print_lengths(lengths: dict[str, Any]) -> None:
    if "rows" not in lengths:
        return

    # Blocks where the terminal's encoding has them, for a histogram in one line.
    bars = "▁▂▃▄▅▆▇█" if (sys.stdout.encoding or "").lower().startswith("utf") else ".:-=+*#%"
    histogram = lengths["histogram"]
    top = max(bar["rows"] for bar in histogram)
    line = "".join(bars[min(7, bar["rows"] * 8 // (top + 1))] if bar["rows"] else " " for bar in histogram)

    # Percentiles tell what a shorter limit would cost.
    kind = "tokens" if lengths["exact"] else "tokens, guessed (exact with --base)"
    typer.echo(
        f"lengths ({kind}): half up to {lengths['median']:,}, 90 % up to {lengths['p90']:,}, "
        f"99 % up to {lengths['p99']:,}, longest {lengths['max']:,}"
    )
    typer.echo(f"  {histogram[0]['from']} {line} {histogram[-1]['to']:,}")

    rows = [
        [f"{one['limit']:,}{' *' if one['limit'] == lengths['limit'] else ''}", f"{one['rows_over']:,}", f"{one['tokens_over']:,}"]
        for one in lengths["limits"]
    ]
    if rows:
        typer.echo("\n".join("  " + row for row in table(rows, ["limit (* now)", "rows over it", "tokens over it"]).splitlines()))


def _print_tokens(report: Report) -> None:
    # An end of turn that is not trained is why a model does not stop; a doubled BOS is why it answers badly.
    tokens = report.tokens
    if tokens.get("rows") and report.kind in ("conversation", "unpaired", "preference"):
        share = tokens["trained_tokens"] / max(tokens["tokens"], 1)
        typer.echo(
            f"trained on: {tokens['trained_tokens']:,} of {tokens['tokens']:,} tokens ({share:.0%}); "
            f"end of turn trained in {tokens['ends_trained']:,} of {tokens['rows']:,} rows; BOS doubled in {tokens['bos_doubled']:,}"
        )

    # Where chosen answers are mostly longer, length is what would be learned.
    if pair := report.preference:
        typer.echo(
            f"pairs: {pair['pairs']:,}; chosen longer in {pair['chosen_longer']:.0%}, rejected longer in {pair['rejected_longer']:.0%} "
            f"(mean {pair['chosen_mean_characters']:.0f} and {pair['rejected_mean_characters']:.0f} characters)"
        )

    # Copies count more than once in training, and rows in both parts make the held-out loss too good.
    copies = report.duplicates.get("train", {})
    if copies.get("exact") or copies.get("near"):
        typer.echo(f"duplicates: {copies['exact']:,} equal rows, {copies['near']:,} nearly equal ones")
    if report.split:
        split = report.split
        typer.echo(f"validation: {split['held_out']:,} rows, {split['shared']:,} also in training, {split['nearly_shared']:,} nearly so")


def print_row(result: dict[str, Any]) -> None:
    """A row as it is read, converted and rendered."""
    typer.echo(f"{one_line(result['file'], 200)}:{result['line']}, read as {result['format']}")
    for problem in result["problems"]:
        typer.echo(f"  {problem['kind']}: {one_line(problem['message'], 300)}")

    if "rejected" in result:
        typer.echo(f"left out ({result['rejected']['kind']}): {one_line(result['rejected']['reason'], 300)}")
        typer.echo(safe_text(json.dumps(result["row"], ensure_ascii=False, indent=2, default=str)))
        return
    typer.echo(safe_text(json.dumps(result["example"], ensure_ascii=False, indent=2)))

    # What is trained on is marked by colour, or by brackets where the output is a file.
    colour = sys.stdout.isatty()
    on, off = ("\x1b[30;42m", "\x1b[0m") if colour else ("⟦", "⟧")
    for number, tokens in enumerate(result["rows"], 1):
        trained = sum(token["trained"] for token in tokens)
        typer.echo(f"row of tokens {number}: {len(tokens)} tokens, {trained} trained on")

        # Marks are set only where they change, or the text between them could not be read.
        text, inside = "", False
        for token in tokens:
            if token["trained"] != inside:
                text += off if inside else on
                inside = token["trained"]

            # Colour that runs over a line's end fills the whole line in many terminals.
            shown = safe_text(token["text"])
            text += shown.replace("\n", f"↵{off}\n{on}" if inside and colour else "↵\n")
        typer.echo(text + (off if inside else ""))

    if not result["rows"]:
        typer.echo("with --base the row is shown as the model sees it, token by token")
