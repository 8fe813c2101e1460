"""The second half of `edgetune demo --full`: a taste, from a rule's votes to the tuned model."""

from typing import Any

import typer

from edgetune.cli.show import ProgressLine, say, table
from edgetune.runs import launch
from edgetune.storage.workspace import Workspace


def learn_taste(workspace: Workspace) -> dict[str, Any]:
    """Let a rule vote, train on its votes by their name, and measure: what `measure_outcome` gives, and the number of pairs."""
    from edgetune.cli.train import watch
    from edgetune.config.recipe import build_recipe
    from edgetune.demo import preference_demo
    from edgetune.jobs import create

    base, name, line = preference_demo.bundled_gguf(workspace), workspace.new_name(None, "taste"), ProgressLine()

    # Votes and run get one new name, so that nothing of the user's is touched.
    say(f"taste 1/3 vote: a rule prefers the shorter of two answers, among those that hold the fact; its votes go into '{name}'")
    pairs = preference_demo.collect_votes(base, workspace, name, lambda done, total: line.update(done, total, "pairs"))
    line.clear()

    recipe, sources = build_recipe({**preference_demo.OPTIONS, "data": [name]})
    run = create.create_run(create.plan_run(recipe, sources, workspace), workspace, name)
    say(f"taste 2/3 train: DPO on {name}, {pairs} pairs; the model before is the reference")

    worker = launch.start(run.folder)
    if code := watch(run, 0, lambda: worker.poll() is None):
        raise typer.Exit(code)

    say("taste 3/3 ask both, and let the rule compare them blind")
    outcome = preference_demo.measure_outcome(run, base, workspace, lambda what, done, total: line.update(done, total, what))
    line.clear()
    return {"pairs": pairs, **outcome}


def taste_page(facts: dict[str, Any]) -> list[str]:
    """What came of it, in a few lines."""
    before, after, arena = facts["before"], facts["after"], facts["arena"]
    asked = facts["questions"] * facts["samples"]
    rows = [
        ["tokens an answer", f"{before['length']:.1f}", f"{after['length']:.1f}"],
        [f"answers that hold the fact ({asked:,})", f"{before['right']:.1%}", f"{after['right']:.1%}"],
    ]
    return [
        table(rows, [f"a taste for short answers, from {facts['pairs']} votes", "before", "after"]),
        f"arena, {facts['questions']} questions: {facts['run']} wins {arena['value']:.0%} ({arena['low']:.0%} to {arena['high']:.0%}). "
        f"{arena['verdict'][0].upper()}{arena['verdict'][1:]}.",
        "",
    ]
