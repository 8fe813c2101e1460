"""`edgetune conversations`: saved conversations: list and search, show, turn into examples, delete."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from edgetune.chat import saved
from edgetune.cli.flags import JsonFlag, WorkspaceFlag, YesFlag, confirm
from edgetune.cli.show import table
from edgetune.errors import InputError
from edgetune.storage.workspace import open_workspace, remove
from edgetune.text import safe_text

ConversationName = Annotated[str, typer.Argument(metavar="NAME", help="Its name, or the beginning of it.", show_default=False)]
LIST = """List the conversations, the latest first; with a TEXT only those that hold it, in any branch.

Examples:

  edgetune conversations list

  edgetune conversations list "supply boat"
"""
SHOW = """Show a conversation: the branch that was open last, or with --branches every turn and which turn it follows.

Example: edgetune conversations show 20261128-1
"""
EXPORT = """Add conversations to a file of examples, one line each in the messages shape; without a NAME all of them.

An existing file is appended to. Look at it with: edgetune data check examples.jsonl

Example: edgetune conversations export 20261128-1 --out examples.jsonl
"""
DELETE = """Delete conversations, with all their branches.

Example: edgetune conversations delete 20261128-1 --yes
"""


def listing(
    text: Annotated[str, typer.Argument(metavar="[TEXT]", show_default=False)] = "",
    as_json: JsonFlag = False,
    workspace_path: WorkspaceFlag = None,
) -> None:
    """List conversations."""
    conversations = saved.search(text, saved.list_conversations(open_workspace(workspace_path).conversations))
    if as_json:
        typer.echo(json.dumps([summary(conversation) for conversation in conversations], ensure_ascii=False))
    elif conversations:
        rows = [[c.name, c.title, len(c.messages), c.model] for c in conversations]
        typer.echo(table(rows, ["name", "first question", "messages", "model"], 48))
    elif text:
        typer.echo("No conversation holds that text.")
    else:
        typer.echo("No conversation is saved yet: the app saves them, and so does 'edgetune chat --save'.")


def summary(conversation: saved.SavedConversation) -> dict[str, Any]:
    """A conversation as --json lists it."""
    branches = conversation.branches
    return {
        "name": conversation.name,
        "title": conversation.title,
        "model": conversation.model,
        "system": conversation.system,
        "turns": len(conversation.messages),
        "forked": any(len(branches.siblings(turn)) > 1 for turn in range(len(branches.turns))),
        "file": str(conversation.path),
    }


def show(
    name: ConversationName,
    all_branches: Annotated[bool, typer.Option("--branches", help="Every turn, with its number and that of the turn it follows.")] = False,
    as_json: JsonFlag = False,
    workspace_path: WorkspaceFlag = None,
) -> None:
    """Show a conversation."""
    conversation = saved.find_conversation(open_workspace(workspace_path).conversations, name)
    if as_json:
        turns = conversation.branches.rows() if all_branches else conversation.messages
        typer.echo(json.dumps({**summary(conversation), "messages": turns}, ensure_ascii=False))
        return
    if conversation.system:
        typer.echo(safe_text(f"system: {conversation.system}"))
    if all_branches:
        typer.echo(safe_text("\n".join(conversation.branches.lines())))
    else:
        typer.echo(safe_text("\n".join(f"{message['role']}: {message['content']}" for message in conversation.messages)))


def export(
    names: Annotated[list[str] | None, typer.Argument(metavar="[NAME]...", show_default=False)] = None,
    out: Annotated[Path | None, typer.Option(help="File of examples (.jsonl) to add to.", show_default=False)] = None,
    as_json: JsonFlag = False,
    workspace_path: WorkspaceFlag = None,
) -> None:
    """Turn conversations into examples."""
    folder = open_workspace(workspace_path).conversations
    if out is None:
        raise InputError(
            "No file of examples was named",
            "The conversations must be written somewhere.",
            "Name one that ends in .jsonl: --out examples.jsonl",
        )

    # Without names all of them, oldest first, so that a file reads in the order in which they were held.
    chosen = [saved.find_conversation(folder, name) for name in names] if names else saved.list_conversations(folder)[::-1]

    conversations = list({conversation.name: conversation for conversation in chosen if conversation.messages}.values())
    if not conversations:
        raise InputError("No conversation is saved yet", f"{folder} holds none.", "Chat in the app, or with: edgetune chat MODEL --save")

    for conversation in conversations:
        saved.add_example(out, conversation.system, conversation.messages)

    if as_json:
        typer.echo(json.dumps({"added": [conversation.name for conversation in conversations], "file": str(out)}))
    else:
        typer.echo(f"{len(conversations)} {'example' if len(conversations) == 1 else 'examples'} added to {out}")


def delete(
    names: Annotated[list[str], typer.Argument(metavar="NAME...", show_default=False)],
    yes: YesFlag = False,
    as_json: JsonFlag = False,
    workspace_path: WorkspaceFlag = None,
) -> None:
    """Delete conversations."""
    folder = open_workspace(workspace_path).conversations
    conversations = {conversation.name: conversation for conversation in (saved.find_conversation(folder, name) for name in names)}
    confirm(f"Delete {', '.join(conversations)}? This cannot be undone.", yes)
    for conversation in conversations.values():
        remove(conversation.path)
    typer.echo(json.dumps({"removed": list(conversations)}) if as_json else f"deleted: {', '.join(conversations)}")


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    group = typer.Typer(rich_markup_mode=None, add_completion=False)

    @group.callback(invoke_without_command=True)
    def overview(ctx: typer.Context) -> None:
        """Conversations saved by the app's chat, or with 'edgetune chat --save'.

        Begin with: edgetune conversations list
        """
        if ctx.invoked_subcommand is None:
            typer.echo(ctx.get_help())

    for word, function, text in (("list", listing, LIST), ("show", show, SHOW), ("export", export, EXPORT), ("delete", delete, DELETE)):
        group.command(word, help=text)(function)  # type: ignore[type-var,unused-ignore]
    app.add_typer(group, name="conversations")
