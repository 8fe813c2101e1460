"""`edgetune demo`: train, export, compare and chat on the bundled model, and say what it showed."""

import json
import time
from typing import Annotated, Any

import typer

from edgetune.cli.demo_taste import learn_taste, taste_page
from edgetune.cli.flags import JsonFlag, WorkspaceFlag, former_flags
from edgetune.cli.show import ProgressLine, say, table
from edgetune.formatting import format_duration, format_number, format_size
from edgetune.runs import launch
from edgetune.storage.files import folder_bytes
from edgetune.storage.workspace import open_workspace
from edgetune.text import one_line


def demo(
    max_steps: Annotated[int | None, typer.Option(help="Train for N steps instead of the full demo.", min=1, show_default=False)] = None,
    full: Annotated[
        bool,
        typer.Option(
            "--full",
            help="Also run preference tuning: a rule votes, DPO trains on the votes, and a blind arena compares the result.",
        ),
    ] = False,
    as_json: JsonFlag = False,
    workspace_path: WorkspaceFlag = None,
) -> None:
    """Run the full pipeline on the bundled model: it learns to be a lighthouse keeper's helper, becomes 4-bit GGUF files, and answers.

    Examples:

      edgetune demo

      edgetune demo --full
    """
    from edgetune.cli.train import watch
    from edgetune.config.recipe import build_recipe
    from edgetune.demo import demo as show
    from edgetune.jobs import create

    # The demo is the ordinary pipeline: the same functions that the commands call, so that it shows what they do.
    started = time.monotonic()
    workspace = open_workspace(workspace_path)
    recipe, sources = build_recipe({**show.OPTIONS, **({"max_steps": max_steps} if max_steps else {})})
    plan = create.plan_run(recipe, sources, workspace)

    # Whoever sees it for the first time should know at each step what happens and why.
    say("EdgeTune Nano, a chat model of 5 million parameters that ships with EdgeTune, learns about a lighthouse it has never heard of.")
    for note in plan.notes():
        say(f"  {note}")
    say(f"  plus {plan.prepared.groups[-1].each} rows a pass of what it knew before (replay), so that it does not forget")

    run = create.create_run(plan, workspace, workspace.new_name(None, "demo"))
    say(f"1/3 train: QLoRA rank {recipe.rank} on a 4-bit base, {plan.total} steps, {plan.device.value}: {plan.device.reason}")
    worker = launch.start(run.folder)
    if code := watch(run, 0, lambda: worker.poll() is None):
        raise typer.Exit(code)

    trained = time.monotonic()
    say("2/3 export: adapter merged into the full-precision base, converted, quantized, and every file proven")

    line = ProgressLine()
    base_path, exported = show.export_all(run, workspace, line.weights, line.tell)
    line.clear()

    # Both as 4-bit files, since these are what people use.
    say("3/3 ask both, through llama.cpp")
    base, tuned = show.measure_file(base_path, say), show.measure_file(run.exports / f"{run.name}-Q4_K_M.gguf", say)

    state = launch.state(run)
    taste = {"taste": learn_taste(workspace)} if full else {}

    # The keys are the demo's --json interface: scripts rely on them.
    facts: dict[str, Any] = {
        "run": run.name,
        "folder": str(run.folder),
        "held_out_loss": {"before": state.base_loss, "after": state.best_loss},
        "base": base,
        "tuned": tuned,
        "prompts": list(show.SIDE_BY_SIDE_PROMPTS),
        "adapter_bytes": folder_bytes(run.adapter),
        "exports": exported,
        **taste,
        "train_seconds": round(trained - started, 1),
        "seconds": round(time.monotonic() - started, 1),
    }

    if as_json:
        typer.echo(json.dumps(facts))
        return
    typer.echo(page(facts))


def page(facts: dict[str, Any]) -> str:
    """The demo's result as a page of text."""
    # Before and after side by side, because neither number means anything alone.
    base, tuned, loss = facts["base"], facts["tuned"], facts["held_out_loss"]
    rows = [
        ["held-out loss", format_number(loss["before"]), format_number(loss["after"])],
        [f"new questions answered ({tuned['new_asked']})", f"{base['new']:.0%}", f"{tuned['new']:.0%}"],
        [f"old questions answered ({tuned['old_asked']})", f"{base['old']:.0%}", f"{tuned['old']:.0%}"],
        ["tokens/s (4-bit)", base["tokens_per_second"], tuned["tokens_per_second"]],
    ]

    lines = [
        "",
        table(rows, ["", "before", "after"]),
        "",
        table(
            [
                ["adapter", format_size(facts["adapter_bytes"]), ""],
                *[
                    [f"GGUF {e['type']}", format_size(e["bytes"]), f"passed in {format_duration(e['proof']['seconds'])}"]
                    for e in facts["exports"]
                ],
            ],
            ["made", "size", "proof: it is what was trained"],
        ),
        "",
    ]

    # Answers convince where percentages do not.
    for prompt, before, after in zip(facts["prompts"], base["shown"], tuned["shown"], strict=True):
        lines += [f"> {prompt}", f"  before: {one_line(before, 100)}", f"  after:  {one_line(after, 100)}"]

    lines += ["", *(taste_page(facts["taste"]) if "taste" in facts else [])]
    lines += [
        f"{format_duration(facts['seconds'])} in all, {format_duration(facts['train_seconds'])} of them training. "
        "Nothing left this machine.",
        f"next: edgetune chat {facts['run']}",
        "      edgetune train --base nano --data YOUR_FILE.jsonl --name mine",
    ]
    return "\n".join(lines)


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command("demo")(former_flags(demo))
