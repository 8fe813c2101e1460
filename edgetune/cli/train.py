"""`edgetune train` and `edgetune resume`: make a run, follow its worker, and leave it well."""

import json
import signal
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from edgetune import methods
from edgetune.cli.flags import JsonFlag, WorkspaceFlag, YesFlag, confirm, former_flags, recipe_flags
from edgetune.cli.show import ProgressLine, say
from edgetune.config.recipe import PRESETS
from edgetune.errors import EdgeTuneError, InputError
from edgetune.formatting import format_duration, format_number
from edgetune.runs import launch, manage
from edgetune.runs.describe_event import describe_assessment, describe_measures
from edgetune.runs.events import follow
from edgetune.storage.files import touch
from edgetune.storage.workspace import Run, open_workspace

MAX_LEFT_OUT_SHOWN = 5
"""Rows left out that are shown by line; the rest are in the run's data/rejected.jsonl."""

EXAMPLES = """Fine-tune a base model on your file of examples.

Examples:

  edgetune train --base nano --data examples.jsonl --name mine

  edgetune train --base ~/models/Qwen3-0.6B --data chats.json --preset careful --replay old.jsonl

  edgetune train --recipe recipe.toml --max-steps 200 --detach

  edgetune train --from mine --method dpo --data prefs --preset pairs-200

--data takes files, folders, or the name of a preference file: its votes as they are now, as the method needs them (pairs; for kto judged
answers, for sft the liked ones, for rl the prompts). Votes given later change nothing in the run.

Flags beat the recipe file, the file beats the preset. Ctrl-C asks: detach, stop after a checkpoint, or continue.
"""


def train(
    recipe: Annotated[Path | None, typer.Option(help="Recipe file (TOML).", show_default=False)] = None,
    preset: Annotated[str | None, typer.Option(help=", ".join(PRESETS) + ".", show_default=False)] = None,
    name: Annotated[str | None, typer.Option(help="Name of the run.", show_default=False)] = None,
    detach: Annotated[bool, typer.Option("--detach", help="Leave the worker running and return.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check everything and show the recipe, train nothing.")] = False,
    anyway: Annotated[bool, typer.Option("--anyway", help="Train even though the data check says 'do not train'.")] = False,
    yes: YesFlag = False,
    as_json: JsonFlag = False,
    workspace_path: WorkspaceFlag = None,
    **options: Any,
) -> None:
    """Fine-tune a base model."""
    from edgetune.config.recipe import build_recipe, to_toml
    from edgetune.jobs import create

    # What costs nothing to check comes first: preparing the rows may take minutes.
    run_recipe, sources = build_recipe(options, recipe, preset, say)
    if not run_recipe.data:
        raise InputError("No examples were named", "--data is missing.", "Name your file with --data FILE, or your votes: --data prefs.")
    workspace = open_workspace(workspace_path)
    if name:
        workspace.new_name(name, "")

    # A recipe may come from someone else: code that it names runs only with the person's consent.
    from edgetune.training import rewards

    for file in rewards.code_files(run_recipe.reward):
        say(f"The reward runs the code in {file}, in a separate process without network.")
        confirm(f"Run {file}?", yes)

    # No run exists before its plan is accepted: whatever may be unwelcome is said between the two.
    line = ProgressLine()
    plan = create.plan_run(run_recipe, sources, workspace, anyway, lambda read: line.count(f"{read:,} rows read"))
    line.clear()

    for note in plan.notes():
        say(note)

    # A few examples are enough to see what is wrong with rows that were left out.
    report = plan.prepared.report
    for row in plan.prepared.rejected[:MAX_LEFT_OUT_SHOWN]:
        say(f"  left out {row.file}:{row.line}: {row.message}")
    if report.rejected > MAX_LEFT_OUT_SHOWN:
        say(f"  … and {report.rejected - MAX_LEFT_OUT_SHOWN} more, listed in the run's data/rejected.jsonl")

    # Every automatic choice with its reason, so that a person who disagrees knows what to override.
    say(f"data: {report.verdict}" + "".join(f"; {reason}" for reason in report.reasons[:MAX_LEFT_OUT_SHOWN]))
    say(
        f"{plan.device.value} ({plan.device.reason}), {plan.dtype.value} ({plan.dtype.reason}), "
        f"threads {plan.threads.value} ({plan.threads.reason})"
    )
    say(
        f"learning rate {plan.recipe.learning_rate:g} ({plan.sources['learning_rate']}), "
        f"{plan.total} steps of {run_recipe.batch_size * run_recipe.gradient_accumulation} rows"
    )

    # Only the recipe goes to stdout, so that --dry-run can be redirected into a recipe file.
    if dry_run:
        from edgetune.estimate import training_time

        needed = training_time.estimate_training(report, plan.recipe, plan.base, workspace, plan.prepared.each_pass)
        if as_json:
            document = {"recipe": plan.recipe.model_dump(), "sources": plan.sources, "steps": plan.total, "notes": plan.notes()}
            typer.echo(json.dumps(document | {"effort": needed, "verdict": report.verdict, "reasons": report.reasons}))
            return

        if needed["seconds"] is not None:
            say(f"about {format_duration(needed['seconds'])} ({needed['reason']})")
        typer.echo(to_toml(plan.recipe, plan.sources), nl=False)
        return

    run = create.create_run(plan, workspace, name)
    begin(run, detach, as_json)


def resume(
    name: Annotated[str, typer.Argument(metavar="RUN", help="Name of the run.", show_default=False)],
    max_steps: Annotated[int | None, typer.Option(help="New total of steps: extends a finished run.", min=1, show_default=False)] = None,
    detach: Annotated[bool, typer.Option("--detach", help="Leave the worker running and return.")] = False,
    as_json: JsonFlag = False,
    workspace_path: WorkspaceFlag = None,
) -> None:
    """Resume an interrupted or stopped run from its newest valid checkpoint; with --max-steps, extend a finished one.

    Examples:

      edgetune resume mine

      edgetune resume mine --max-steps 400
    """
    run = open_workspace(workspace_path).run(name)
    manage.prepare_resume(run, max_steps)
    begin(run, detach, as_json)


def begin(run: Run, detach: bool, as_json: bool) -> None:
    """Launch a run's worker and follow it to its end."""
    offset = run.events.stat().st_size if run.events.exists() else 0
    worker = launch.start(run.folder)
    if detach:
        say(f"{run.name} trains in the background. See: edgetune show {run.name}")
        typer.echo(json.dumps({"run": run.name, "folder": str(run.folder), "pid": worker.pid}) if as_json else run.name)
        return
    code = watch(run, offset, lambda: worker.poll() is None)
    report(run, as_json, code)


def watch(run: Run, offset: int, alive: Any) -> int:
    """Follow a worker's events with a progress line. Returns the exit code that its end means."""
    line = ProgressLine()
    interrupts = _Interrupts(run, line)

    try:
        # Messages first clear the progress line, which would otherwise be left in front of them.
        for event in follow(run.events, offset, alive, interrupts.decide):
            kind = event["kind"]
            if kind == "step":
                line.update(
                    event["step"],
                    event["total"],
                    f"loss {event['loss']:.3f}  {event['tokens_per_second'] or 0:.0f} tokens/s  {format_duration(event['eta'])} left",
                )
            elif kind in ("waiting", "note", "warning"):
                line.clear()
                say(event["text"])
            elif kind == "measured":
                line.clear()
                for text in describe_assessment(event):
                    say(text)
            elif kind == "evaluated":
                line.clear()
                best = "  (best so far)" if event["improved"] and event["step"] else ""
                say(f"step {event['step']}: held-out loss {event['loss']:.4f}, {describe_measures(event)}{best}")

        # To detach is a choice, not a failure: the exit code is 0.
        if interrupts.detached:
            line.clear()
            say(f"Detached: {run.name} continues. See: edgetune show {run.name}; stop it: edgetune stop {run.name}")
            raise typer.Exit(0)
    finally:
        line.clear()
        interrupts.restore()

    # The log decides, so that this command and a later 'edgetune runs' agree.
    state = launch.state(run)
    if state.status == "finished":
        return 0
    if state.status == "stopped":
        say(f"{run.name} stopped after a checkpoint. Continue with: edgetune resume {run.name}")
        return 130
    if state.status == "failed" and state.error:
        raise EdgeTuneError(state.error["title"], state.error["cause"], state.error["remedy"])

    # No final event: the worker was killed before it could write one.
    raise launch.died(run)


class _Interrupts:
    """Ctrl-C asks in a terminal; elsewhere, as for TERM, it stops the run after a checkpoint."""

    def __init__(self, run: Run, line: ProgressLine) -> None:
        self.run, self.line = run, line
        self.pressed = self.detached = False
        self.old = {sign: signal.signal(sign, self._note) for sign in (signal.SIGINT, signal.SIGTERM)}

    def _note(self, number: int, _frame: Any) -> None:
        if number == signal.SIGTERM or not (sys.stdin.isatty() and sys.stderr.isatty()):
            self._stop()
        else:
            self.pressed = True

    def _stop(self) -> None:
        touch(self.run.stop_file)

    def decide(self) -> bool:
        """Ask what Ctrl-C meant, outside the signal handler. True: leave the worker alone."""
        if not self.pressed:
            return self.detached

        self.pressed = False
        self.line.clear()

        # A second Ctrl-C, at the question itself, must be able to end the wait for an answer.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            answer = input("[d]etach and let it run, [s]top after a checkpoint, or [c]ontinue? ").strip().lower()[:1]
        except (KeyboardInterrupt, EOFError):
            answer = "s"
        finally:
            signal.signal(signal.SIGINT, self._note)

        if answer == "d":
            self.detached = True
        elif answer == "s":
            say("Stopping after the next checkpoint …")
            self._stop()
        return self.detached

    def restore(self) -> None:
        """Put the old handlers back."""
        for sign, handler in self.old.items():
            signal.signal(sign, handler)


def report(run: Run, as_json: bool, code: int) -> None:
    """Say how the run ended and what comes next."""
    # With --json a failed run gives the same document; its exit code says that it failed.
    state = launch.state(run)
    if as_json:
        typer.echo(json.dumps(manage.summarize_run(run), ensure_ascii=False))
    elif code == 0:
        after = state.loss_after
        typer.echo(
            f"{run.name}: {state.total} steps in {format_duration(state.seconds)}, "
            f"held-out loss {format_number(state.base_loss)} before, {format_number(after)} after"
        )

        # A run can end well and have taught nothing; exporting it would be lost time.
        if state.base_loss is not None and after is not None and after >= state.base_loss:
            if methods.of(run.request()).samples_answers:
                say(f"The held-out reward did not rise. Look at the answers (edgetune show {run.name} --answers) and at what rewards them.")
            else:
                say(
                    "The held-out loss did not fall: on these rows the model before is as good. Try a lower --learning-rate, or other data."
                )

        # A reward model can be neither chatted with nor exported.
        if not methods.of(run.request()).writes_answers:
            say(f"next: edgetune score {run.name} --data answers.jsonl")
            return
        say(f"next: edgetune chat {run.name}   or: edgetune export {run.name} --type Q4_K_M   or: edgetune eval {run.name}")

    if code:
        raise typer.Exit(code)


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    app.command("train", help=EXAMPLES)(recipe_flags(train))
    app.command("resume")(former_flags(resume))
