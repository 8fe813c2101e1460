"""`edgetune talks`: the conversations that were kept: list and search, show, turn into examples, delete."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from edgetune.chat import saved
from edgetune.cli.flags import JsonFlag, WorkspaceFlag, YesFlag, confirm
from edgetune.cli.show import table
from edgetune.errors import InputError
from edgetune.storage.workspace import remove, workspace
from edgetune.text import safe_text

TalkName = Annotated[str, typer.Argument(metavar="TALK", help="Its name, or how that begins.", show_default=False)]
LIST = """List the conversations, the latest first; with a TEXT those in which it was said, in any branch.

Examples:

  edgetune talks list

  edgetune talks list "supply boat"
"""
SHOW = """Show a conversation: the branch that was open last, or with --branches every turn, with the turn that it follows.

Example: edgetune talks show 20261128-1
"""
EXPORT = """Add conversations to a file of examples, a line each in the messages shape; without a TALK all of them.

What --out names is added to where it is there already. Look at it with: edgetune data check examples.jsonl

Example: edgetune talks export 20261128-1 --out examples.jsonl
"""
DELETE = """Delete conversations, with all their branches.

Example: edgetune talks delete 20261128-1 --yes
"""


def listing(
    text: Annotated[str, typer.Argument(metavar="[TEXT]", show_default=False)] = "",
    as_json: JsonFlag = False,
    workspace_path: WorkspaceFlag = None,
) -> None:
    """List conversations."""
    found = saved.holding(text, saved.listed(workspace(workspace_path).conversations))
    if as_json:
        typer.echo(json.dumps([summary(talk) for talk in found], ensure_ascii=False))
    elif found:
        rows = [[talk.name, talk.title, len(talk.messages), talk.model] for talk in found]
        typer.echo(table(rows, ["talk", "began with", "messages", "model"], 48))
    else:
        kept = "No conversation was kept yet: the app keeps them, and so does 'edgetune chat --keep'."
        typer.echo("No conversation holds that." if text else kept)


def summary(talk: saved.Saved) -> dict[str, Any]:
    """A conversation in short."""
    forks = sum(len(talk.branches.siblings(at)) > 1 for at in range(len(talk.branches.turns)))
    facts = {"name": talk.name, "title": talk.title, "model": talk.model, "system": talk.system, "turns": len(talk.messages)}
    return {**facts, "forked": forks > 0, "file": str(talk.path)}


def show(
    name: TalkName,
    all_branches: Annotated[bool, typer.Option("--branches", help="Every turn, with its number and the one it follows.")] = False,
    as_json: JsonFlag = False,
    workspace_path: WorkspaceFlag = None,
) -> None:
    """Show a conversation."""
    talk = saved.named(workspace(workspace_path).conversations, name)
    if as_json:
        turns = talk.branches.rows() if all_branches else talk.messages
        typer.echo(json.dumps({**summary(talk), "messages": turns}, ensure_ascii=False))
        return
    if talk.system:
        typer.echo(safe_text(f"system: {talk.system}"))
    if all_branches:
        typer.echo(safe_text("\n".join(talk.branches.lines())))
    else:
        typer.echo(safe_text("\n".join(f"{message['role']}: {message['content']}" for message in talk.messages)))


def export(
    names: Annotated[list[str] | None, typer.Argument(metavar="[TALK]...", show_default=False)] = None,
    out: Annotated[Path | None, typer.Option(help="File of examples (.jsonl) to add to.", show_default=False)] = None,
    as_json: JsonFlag = False,
    workspace_path: WorkspaceFlag = None,
) -> None:
    """Turn conversations into examples."""
    folder = workspace(workspace_path).conversations
    if out is None:
        raise InputError("No file of examples was named", "--out is missing.", "Name one that ends in .jsonl: --out examples.jsonl")
    chosen = [saved.named(folder, name) for name in names] if names else saved.listed(folder)[::-1]
    talks = list({talk.name: talk for talk in chosen if talk.messages}.values())
    if not talks:
        raise InputError("No conversation was kept yet", f"{folder} holds none.", "Chat in the app, or with: edgetune chat MODEL --keep")
    for talk in talks:
        saved.add_example(out, talk.system, talk.messages)
    if as_json:
        typer.echo(json.dumps({"added": [talk.name for talk in talks], "file": str(out)}))
    else:
        typer.echo(f"{len(talks)} {'example' if len(talks) == 1 else 'examples'} added to {out}")


def delete(
    names: Annotated[list[str], typer.Argument(metavar="TALK...", show_default=False)],
    yes: YesFlag = False,
    as_json: JsonFlag = False,
    workspace_path: WorkspaceFlag = None,
) -> None:
    """Delete conversations."""
    folder = workspace(workspace_path).conversations
    talks = {talk.name: talk for talk in (saved.named(folder, name) for name in names)}
    confirm(f"Delete {', '.join(talks)}? This cannot be undone.", yes)
    for talk in talks.values():
        remove(talk.path)
    typer.echo(json.dumps({"removed": list(talks)}) if as_json else f"deleted: {', '.join(talks)}")


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    group = typer.Typer(rich_markup_mode=None, add_completion=False)

    @group.callback(invoke_without_command=True)
    def overview(ctx: typer.Context) -> None:
        """The conversations that were kept, by the app's chat or with 'edgetune chat --keep'.

        Begin with: edgetune talks list
        """
        if ctx.invoked_subcommand is None:
            typer.echo(ctx.get_help())

    for word, function, text in (("list", listing, LIST), ("show", show, SHOW), ("export", export, EXPORT), ("delete", delete, DELETE)):
        group.command(word, help=text)(function)  # type: ignore[type-var,unused-ignore]
    app.add_typer(group, name="talks")
