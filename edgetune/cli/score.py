"""`edgetune score`: answers ranked by a reward model."""

import json
from pathlib import Path
from typing import Annotated

import typer

from edgetune.cli.flags import JsonFlag, WorkspaceFlag
from edgetune.cli.show import ProgressLine, say
from edgetune.errors import InputError
from edgetune.storage.workspace import open_workspace
from edgetune.text import one_line


def score(
    name: Annotated[str, typer.Argument(metavar="RUN", help="Name of a run of method reward.", show_default=False)],
    data: Annotated[
        Path | None, typer.Option(help="File of prompts with answers, in any shape, or the name of votes.", show_default=False)
    ] = None,
    as_json: JsonFlag = False,
    workspace_path: WorkspaceFlag = None,
) -> None:
    """Rank answers with a reward model: the answers of each prompt, the best first.

    Scores are log-odds: 1 point higher means about 2.7 times the odds of being preferred.

    Example: edgetune score taste --data answers.jsonl
    """
    # Optional only in name, so that its absence gets a message that says what to write.
    if data is None:
        raise InputError("No answers were named", "--data is missing.", "Name your file with --data FILE.")
    run = open_workspace(workspace_path).run(name)
    from edgetune.evaluation.reward_score import rank_answers
    from edgetune.preferences import as_data

    data = as_data.file(data, open_workspace(workspace_path), (as_data.JUDGED,)) or data

    line = ProgressLine()
    result = rank_answers(run, data, lambda done, total: line.update(done, total, "answers scored"))
    line.clear()
    for row in result["rejected"]:
        say(f"  left out {data}:{row['line']}: {row['reason']}")

    if as_json:
        typer.echo(json.dumps(result, ensure_ascii=False))
        return

    # The question is cut, as it only tells the groups apart.
    for group in result["prompts"]:
        typer.echo(one_line(str(group["prompt"][-1]["content"]), 100))
        for answer in group["answers"]:
            typer.echo(f"  {answer['score']:+7.2f}  {one_line(answer['answer'], 120)}")


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command("score")(score)
