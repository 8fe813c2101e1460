"""`edgetune fetch`: a base model from a hub, said first, asked, verified. The one command that uses the network."""

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgetune.cli.flags import JsonFlag, WorkspaceFlag, YesFlag, confirm
from edgetune.cli.show import ProgressLine, say, table
from edgetune.errors import InputError
from edgetune.formatting import format_size
from edgetune.storage.workspace import open_workspace

if TYPE_CHECKING:
    from edgetune.bases.fetch import FetchPlan

MAX_FILES_SHOWN = 8


def fetch(
    name: Annotated[
        str | None, typer.Argument(metavar="OWNER/NAME", help="The model. Without it, models worth starting with.", show_default=False)
    ] = None,
    revision: Annotated[str | None, typer.Option(help="Branch, tag or commit (default: the newest).", show_default=False)] = None,
    token_file: Annotated[
        Path | None, typer.Option(help="File that holds a token, for gated models (or set HF_TOKEN).", show_default=False)
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be fetched, fetch nothing.")] = False,
    yes: YesFlag = False,
    as_json: JsonFlag = False,
    workspace_path: WorkspaceFlag = None,
) -> None:
    """Fetch a base model from a hub into the workspace's bases/. This is the only command that uses the network.

    It says what it will fetch, from where and how much, and asks. Weights come as safetensors only; pickles and code are left. Every file
    is checked against the hub's hash. An interrupted fetch resumes with the same command.

    Examples:

      edgetune fetch                      # models worth starting with

      edgetune fetch Qwen/Qwen3-0.6B

      edgetune fetch Qwen/Qwen3-0.6B --dry-run    # what it would fetch, from where and how much

      edgetune fetch meta-llama/Llama-3.2-1B-Instruct --token-file token.txt
    """
    if name is None:
        _list(as_json)
        return
    from edgetune.bases import fetch as fetching
    from edgetune.bases import hub

    # What would be fetched is known from the hub's listing alone, so consent comes before the first byte of a model.
    workspace, token = open_workspace(workspace_path), _token(token_file)
    repo = hub.look_up(name, revision, token)
    plan = fetching.plan_fetch(repo, workspace)
    say(f"{repo.name} at commit {repo.commit[:12]}, from {repo.page}")
    say(f"license: {repo.licence}" + ("; gated: its owner asks for consent" if repo.gated else ""))

    resumed = f", {format_size(plan.have)} of it here already" if plan.have else ""
    say(f"{len(plan.files)} files, {format_size(plan.bytes)}{resumed}, into {plan.target}")

    # Files that can run code are listed one by one; of the others a few show the kind.
    for reason in dict.fromkeys(plan.skipped.values()):
        names = [n for n, why in plan.skipped.items() if why == reason]
        shown = names if reason in ("pickle", "code") else names[:MAX_FILES_SHOWN]
        say(f"left there ({reason}): {', '.join(shown)}" + (f" and {len(names) - len(shown)} more" if len(names) > len(shown) else ""))

    if repo.gated and token is None:
        raise hub.gated(repo.name, token)
    fetching.check_target(plan)

    if dry_run:
        if as_json:
            typer.echo(json.dumps(_planned(plan)))
        return

    confirm(f"Fetch {format_size(plan.bytes - plan.have)} from {repo.endpoint}?", yes)

    line = ProgressLine()
    try:
        base = fetching.fetch(plan, token, lambda file, have, total: line.update(have, total, f"bytes  {file}"))
    except KeyboardInterrupt:
        line.clear()
        say("What was fetched is kept: the same command resumes from there.")
        raise
    finally:
        line.clear()

    if as_json:
        typer.echo(json.dumps({"base": str(base.path), "bytes": base.bytes, **(fetching.fetch_record(base.path) or {})}))
        return

    typer.echo(str(base.path))
    say(f"{base.architecture}, {base.parameters / 1e6:.1f}M parameters, every hash right")
    say(f"next: edgetune train --base {base.path} --data FILE")


def _planned(plan: "FetchPlan") -> dict[str, Any]:
    """What would be fetched, for JSON."""
    repo = plan.repo
    facts = {"model": repo.name, "commit": repo.commit, "from": repo.page, "licence": repo.licence, "gated": repo.gated}
    sizes = {"files": len(plan.files), "bytes": plan.bytes, "have": plan.have}
    return {**facts, **sizes, "target": str(plan.target), "skipped": plan.skipped}


def _token(file: Path | None) -> str | None:
    """The token of --token-file or HF_TOKEN; it is never shown, stored or taken from anywhere else."""
    if file is None:
        return os.environ.get("HF_TOKEN", "").strip() or None

    # The error's own text is left out: it could hold a part of the token.
    try:
        text = file.expanduser().read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            "The token cannot be read", f"{file}: {type(error).__name__}.", "Name a readable file with --token-file."
        ) from None

    # A token with a line break or blanks would break the request's header.
    if not text or not text.isascii() or not text.isprintable() or " " in text:
        raise InputError(
            "There is no token in the file",
            f"{file} does not hold one line with a token.",
            "Write the token alone into that file, or name another with --token-file.",
        )

    return text


def _list(as_json: bool) -> None:
    """Print the models worth starting with."""
    from edgetune.bases.starters import starters

    # The keys are the --json interface: scripts rely on them.
    bases = starters()
    if as_json:
        rows = [
            {
                "name": s.name,
                "parameters": int(s.billions * 1e9),
                "bytes": s.bytes,
                "licence": s.licence,
                "gated": s.gated,
                "machine": s.machine,
            }
            for s in bases
        ]
        typer.echo(json.dumps(rows))
        return

    rows_shown = [[s.name, f"{format_size(s.bytes)}", s.licence + (" (gated)" if s.gated else ""), s.machine] for s in bases]
    typer.echo(table(rows_shown, ["model", "about", "license", "trains on"]))
    say("Fetch one: edgetune fetch OWNER/NAME. Nothing is fetched without asking. 'edgetune bases' lists what is here.")


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command("fetch")(fetch)
