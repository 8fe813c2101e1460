"""`edgetune fit`: peak memory, disk and time of a recipe before it starts, and the smallest change that fits."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from edgetune.cli.flags import JsonFlag, WorkspaceFlag, recipe_flags
from edgetune.cli.show import ProgressLine, say, table
from edgetune.config.recipe import PRESETS, Recipe
from edgetune.errors import EdgeTuneError
from edgetune.formatting import format_duration, format_size
from edgetune.storage.files import free_bytes
from edgetune.storage.workspace import Workspace, open_workspace

EXAMPLES = """Say what a recipe will need here before it starts: memory by part, disk, and the smallest change that makes it fit.

Examples:

  edgetune fit --base ~/models/Qwen3-0.6B --max-length 2048

  edgetune fit --recipe recipe.toml --batch-size 1 --json

  edgetune fit --base ~/models/Qwen3-0.6B --data examples.jsonl

Exit code 1 when it does not fit. Memory is for rows as long as --max-length allows. With --data, the rows are prepared as for a run and the
training time is estimated too; if they cannot be used, the last line says why.
"""


def fit(
    recipe: Annotated[Path | None, typer.Option(help="Recipe file (TOML).", show_default=False)] = None,
    preset: Annotated[str | None, typer.Option(help=", ".join(PRESETS) + ".", show_default=False)] = None,
    as_json: JsonFlag = False,
    workspace_path: WorkspaceFlag = None,
    **options: Any,
) -> None:
    """Predict a recipe's needs."""
    from edgetune.bases import find
    from edgetune.config.recipe import build_recipe
    from edgetune.estimate import fit as fitting
    from edgetune.estimate import generation_speed
    from edgetune.machine import hardware

    # The recipe is read as training reads it, so that the prediction is of what would run.
    merged, sources = build_recipe(options, recipe, preset, say)
    base, workspace, here = (
        find.describe_base(find.resolve_base(merged.base)),
        open_workspace(workspace_path),
        hardware.this_machine(),
    )

    # The interpreter counts only where its memory is the one that the tensors lie in.
    device = hardware.choose_device(merged.device)
    free = fitting.free_memory(device.value)
    memory = fitting.training_memory(merged, base, device.value)
    need = memory.total + fitting.interpreter_memory(device.value)

    # A run that trains but cannot be exported or chatted with here does not serve its owner.
    disk, export = fitting.training_disk(merged, base), fitting.export_need(base)
    chat = fitting.chat_memory(base, min(base.context, merged.max_length))
    speed = generation_speed.tokens_per_second(chat["weights"], base.parameters)

    step_seconds, reason = fitting.step_seconds(merged, base, workspace)

    disk_free = free_bytes(workspace.path)
    fits = need <= free and disk + export["disk"] <= disk_free
    change = None if need <= free else fitting.smallest_change(merged, base, device.value, free)

    # Reading the examples takes far longer than all other estimates, so only where the run fits at all.
    effort, problem = _effort(merged, sources, workspace) if merged.data and fits else (None, None)

    # The keys are an interface: scripts rely on them.
    if as_json:
        document = {"base": base.name, "device": device.value, "fits": fits, "free": free, "need": need, "memory": memory.as_dict()}
        document |= {"disk": disk, "disk_free": disk_free, "export": export, "chat": chat}
        document |= {"seconds_per_step": step_seconds, "seconds_reason": reason}
        document |= {"effort": effort, "data_problem": problem and problem.as_dict()}
        document |= {"answers_tokens_per_second": round(speed, 1)}
        document |= {"change": change and {"values": change.values, "need": change.needed, "words": change.description}}
        typer.echo(json.dumps(document))
    else:
        # The interpreter has a separate row, because no change of the recipe makes it smaller.
        parts = [[name, format_size(size)] for name, size in memory.as_dict().items() if name not in ("measured", "total")]
        typer.echo(
            table(
                [*parts, ["interpreter", format_size(fitting.interpreter_memory(device.value))], ["peak", format_size(need)]],
                ["memory", "bytes"],
            )
        )

        typer.echo(f"{format_size(free)} of {device.value} memory are free here ({device.reason}; {here.cores} cores)")
        typer.echo(
            f"disk: {format_size(disk)} for checkpoints and result, {format_size(export['disk'])} for a Q4_K_M; "
            f"{format_size(disk_free)} free"
        )

        # Time is the least certain number, so each comes with what it was estimated from.
        typer.echo(f"time: {format_duration(step_seconds)} a step of full rows ({reason})")
        if effort:
            about = "time not known" if effort["seconds"] is None else f"about {format_duration(effort['seconds'])}"
            rows = f"{effort['steps']:,} steps over {effort['rows']:,} rows, {effort['tokens']:,} tokens"
            typer.echo(f"training: {about} for {rows} ({effort['reason']})")

        # What comes after training, because the model is chosen once for all of it.
        talk = format_size(sum(chat.values()))
        typer.echo(f"answers: about {speed:.0f} tokens/s as Q4_K_M on the processor (estimated from this machine's memory speed and cores)")
        typer.echo(
            f"export: about {format_size(export['memory'])} of memory and {format_duration(export['seconds'])} as Q4_K_M, without its proof"
        )
        typer.echo(f"chat: {talk} of memory at {merged.max_length} tokens (not measured)")

        if not memory.measured:
            say("The constants for this device are not measured.")
        say(
            "It fits."
            if fits
            else "It does not fit." + (f" Smallest change: {change.description} (then {format_size(change.needed)})" if change else "")
        )

    # The exit code answers the question for scripts.
    if not fits:
        raise typer.Exit(1)

    # Examples that cannot be read do not make the estimate wrong: it is shown, and then the failure.
    if problem:
        if as_json:
            raise typer.Exit(problem.exit_code)
        raise problem


def _effort(recipe: Recipe, sources: dict[str, str], workspace: Workspace) -> tuple[dict[str, Any] | None, EdgeTuneError | None]:
    """Steps and time over the rows at hand, which are kept prepared for the run; or why they cannot be used."""
    from edgetune.estimate import training_time
    from edgetune.jobs import create

    line = ProgressLine()
    try:
        plan = create.plan_run(recipe, sources, workspace, anyway=True, progress=lambda read: line.count(f"{read:,} rows read"))
    except EdgeTuneError as error:
        return None, error
    finally:
        line.clear()
    return training_time.estimate_training(plan.prepared.report, plan.recipe, plan.base, workspace, plan.prepared.each_pass), None


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command("fit", help=EXAMPLES)(recipe_flags(fit))
