"""`edgetune show` and `edgetune log`: one run, as it is now and event by event."""

import json
from typing import Annotated, Any

import typer

from edgetune.cli.flags import JsonFlag, RunName, WorkspaceFlag
from edgetune.cli.show import say
from edgetune.errors import InputError
from edgetune.formatting import format_duration, format_number, format_size
from edgetune.runs import launch
from edgetune.runs.describe_event import describe_event, last_line
from edgetune.runs.events import follow, read_events
from edgetune.runs.lineage import describe_lineage
from edgetune.runs.manage import summarize_run
from edgetune.storage.workspace import open_workspace
from edgetune.text import one_line, safe_text

MAX_LINE_WIDTH = 300
"""Characters of a line."""


def show(
    name: RunName,
    answers: Annotated[bool, typer.Option("--answers", help="Only the sample answers, of every step they were taken at.")] = False,
    as_json: JsonFlag = False,
    workspace_path: WorkspaceFlag = None,
) -> None:
    """Show one run: recipe with the source of every value, results, sample answers.

    Examples:

      edgetune show mine

      edgetune show mine --answers    # watch it learn: the same questions, answered over time
    """
    run = open_workspace(workspace_path).run(name)
    facts, state = summarize_run(run), launch.state(run)
    own = {"run": run.name, "method": facts["method"], "votes": facts["votes"]}
    recipe = run.recipe_file.read_text(encoding="utf-8")

    if as_json:
        typer.echo(json.dumps({**facts, "recipe": recipe, "samples": state.samples}, ensure_ascii=False))
        return
    if answers:
        show_answers(state.samples)
        return
    typer.echo(
        f"{name}: {facts['status']}, step {facts['step']} of {facts['steps']}, "
        f"{format_duration(facts['seconds'])} of training, {format_size(facts['bytes'])} on disk"
    )

    # The time left was the worker's guess at its last step; it means nothing once no worker trains.
    if facts["eta"] is not None and facts["status"] == "running":
        typer.echo(f"  {format_duration(facts['eta'])} left at {facts['tokens_per_second']} tokens/s")
    typer.echo(
        f"  base {one_line(facts['base'], 300)}\n"
        f"  rows {facts['read']} read, {facts['kept']} kept, {facts['rejected']} left out, {facts['held_out']} held out"
    )
    typer.echo(
        f"  held-out loss {format_number(facts['base_loss'])} before, "
        f"{format_number(facts['best_loss'])} at best (step {facts['best_step']})"
    )

    # Only methods that learn from pairs have an accuracy.
    if facts["accuracy"]:
        before, now = facts["base_accuracy"] or facts["accuracy"], facts["accuracy"]
        low, high = now["interval"]
        typer.echo(
            f"  held-out pairs preferred as voted: {before['accuracy']:.0%} before, {now['accuracy']:.0%} now "
            f"({low:.0%} to {high:.0%}, {now['count']} pairs)"
        )

    typer.echo(f"  {facts['base_name']} → {describe_lineage([*facts['lineage'], own])}")
    for text in facts["warnings"]:
        typer.echo(f"  warning: {one_line(text, 500)}")
    for path in facts["exports"]:
        typer.echo(f"  export {path}")
    if facts["error"]:
        typer.echo(f"  failed: {one_line(facts['error']['title'])}: {one_line(facts['error']['cause'], 300)}")

    # The first and the last samples show what training changed; those between are in --answers.
    last = state.samples[-1]["step"] if state.samples else 0
    for sample in state.samples:
        if sample["step"] in (0, last):
            typer.echo(f"  at step {sample['step']}: {one_line(sample['prompt'], 60)} → {one_line(sample['answer'], 100)}")

    # The recipe may be a text from elsewhere, so its control characters are made harmless.
    typer.echo("\n" + safe_text(recipe), nl=False)


def show_answers(samples: list[dict[str, Any]]) -> None:
    """Each question with its answers, step by step."""
    if not samples:
        say("No question was answered yet: the first answers come before training.")
    for prompt in dict.fromkeys(sample["prompt"] for sample in samples):
        typer.echo(f"> {safe_text(last_line(prompt))}")
        answered = {sample["step"]: sample["answer"] for sample in samples if sample["prompt"] == prompt}
        rows = [[f"step {step}" if step else "before", answer] for step, answer in answered.items()]
        typer.echo("\n".join(f"  {label:<10}  {one_line(answer, 300)}" for label, answer in rows) + "\n")


def log(
    name: RunName,
    every: Annotated[bool, typer.Option("--every", help="Include every training step.")] = False,
    following: Annotated[bool, typer.Option("--follow", help="Follow until the run ends; Ctrl-C leaves it running.")] = False,
    as_json: JsonFlag = False,
    workspace_path: WorkspaceFlag = None,
) -> None:
    """Show a run's events in words; with --follow, also new events as they happen, as for a run in the background.

    --json gives the events exactly as in the run's events.jsonl.

    Examples:

      edgetune log mine

      edgetune log mine --follow --every
    """
    if following and as_json:
        raise InputError("--follow has no --json", "One document needs an end.", "Leave one of them out, or read the run's events.jsonl.")

    run = open_workspace(workspace_path).run(name)
    if following:
        # Ends with the worker, so that the command can be used to wait for a run.
        for event in follow(run.events, 0, lambda: launch.alive(run.folder)):
            tell(event, every)
        say(f"{run.name} is {launch.state(run).status}.")
        return

    # Steps are most of a log and say little by themselves.
    events = [event for event in read_events(run.events) if every or event["kind"] != "step"]
    if as_json:
        typer.echo(json.dumps(events, ensure_ascii=False))
    else:
        for event in events:
            tell(event, every)


def tell(event: dict[str, Any], every: bool) -> None:
    """An event as a line, unless it is a mere step and only news is wanted."""
    if every or event["kind"] != "step":
        typer.echo(one_line(describe_event(event), MAX_LINE_WIDTH))


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    app.command("show")(show)
    app.command("log")(log)
