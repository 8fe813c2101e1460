"""`edgetune prefs`: the votes that were given: list, show, edit, export, import, dedupe, delete."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgetune.cli.flags import JsonFlag, WorkspaceFlag, YesFlag, confirm, former_flags
from edgetune.cli.show import say, table
from edgetune.errors import InputError
from edgetune.storage.workspace import open_workspace
from edgetune.text import one_line, safe_text

if TYPE_CHECKING:
    from edgetune.preferences.record import Choice, Vote
    from edgetune.preferences.store import Store

NameArgument = Annotated[str, typer.Argument(metavar="[NAME]", help="A preference file of the workspace.")]
FromFlag = Annotated[str, typer.Option("--from", metavar="NAME", help="The preference file of the workspace.")]
LIST = """List the preference files, or with a NAME the votes in one.

Example: edgetune prefs list prefs
"""
SHOW = """Show one vote in full: prompt, answers, how they were generated, and the choice.

Example: edgetune prefs show 3f2a
"""
EDIT = """Change the choice of a vote; the earlier choice stays in the file's history.

CHOICE is left, right, tie, bad, up, down, or for a ranking the answers' numbers, best first (213).

Example: edgetune prefs edit 3f2a right
"""
EXPORT = """Write votes as a file that trainers read. pair_lists and unpaired are TRL's own shapes.

Shapes: pair_lists, unpaired, ranking, pair_messages, pair_turns, pair_strings, pair_whole, messages (the liked answers alone), prompt.

Example: edgetune prefs export prefs --out pairs.jsonl
"""
IMPORT = """Import a file of preferences as votes, in any shape that 'edgetune data check' knows.

Example: edgetune prefs import dpo.json --into prefs
"""
DEDUPE = """Delete votes that repeat an earlier one, and list those that contradict each other.

Example: edgetune prefs dedupe prefs --yes
"""
DELETE = """Delete votes. Their lines stay in the file's history; 'edgetune prefs restore ID' brings one back.

Example: edgetune prefs delete 3f2a --yes
"""
RESTORE = """Bring a deleted vote back.

Example: edgetune prefs restore 3f2a09b1c2d3
"""


def _open(name: str, workspace_path: Path | None) -> "Store":
    from edgetune.preferences.store import existing

    store = existing(open_workspace(workspace_path), name)
    for problem in store.fold().problems[:5]:
        say(f"left out: {problem}")
    return store


def listing(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", show_default=False)] = None,
    as_json: JsonFlag = False,
    workspace_path: WorkspaceFlag = None,
) -> None:
    """List files, or votes."""
    from edgetune.preferences.consistency import consistency, worth
    from edgetune.preferences.store import stores

    if name is None:
        files = []
        for store in stores(open_workspace(workspace_path)):
            votes = store.votes()
            pairs = sum(len(vote.pairs()) for vote in votes if "repeats" not in vote.about)
            files.append({"name": store.name, "votes": len(votes), "pairs": pairs, "worth": worth(pairs), "file": str(store.path)})

        if as_json:
            typer.echo(json.dumps(files, ensure_ascii=False))
        elif files:
            typer.echo(table([[file["name"], file["votes"], file["worth"]] for file in files], ["name", "votes", "worth"], 100))
        else:
            say("No vote is saved yet. Start with: edgetune collect MODEL")
        return

    votes = _open(name, workspace_path).votes()
    if as_json:
        typer.echo(json.dumps([vote.as_dict() for vote in votes], ensure_ascii=False))
        return
    rows = [[v.id, v.source, describe_choice(v), _question(v), " | ".join(one_line(c.text, 30) for c in v.candidates)] for v in votes]
    typer.echo(table(rows, ["id", "source", "choice", "prompt", "answers"], 70))

    # How steady a person's votes are bounds what any model can learn from them.
    repeated = consistency(votes)
    if repeated.compared:
        interval = f"{repeated.share.low:.0%} to {repeated.share.high:.0%}"
        say(f"Asked again, {repeated.same} of {repeated.compared} preferences came out the same ({interval}).")


def describe_choice(vote: "Vote") -> str:
    """A choice as people read it."""
    value = vote.choice.value
    if vote.choice.type == "ranking":
        return "ranks " + " ".join(map(str, value))
    if vote.choice.type == "thumbs":
        return "up" if value else "down"
    return str(value or vote.choice.type) + (" (repeat)" if "repeats" in vote.about else "")


def _question(vote: "Vote") -> str:
    return one_line(str(vote.prompt[-1].get("content") or "") if vote.prompt else "", 50)


def show(
    vote_id: Annotated[str, typer.Argument(metavar="ID", show_default=False)],
    name: FromFlag = "prefs",
    as_json: JsonFlag = False,
    workspace_path: WorkspaceFlag = None,
) -> None:
    """Show one vote."""
    vote = _open(name, workspace_path).vote(vote_id)
    if as_json:
        typer.echo(json.dumps(vote.as_dict(), ensure_ascii=False))
        return
    for turn in vote.prompt:
        typer.echo(safe_text(f"{turn['role']}: {turn.get('content') or ''}"))
    for number, candidate in enumerate(vote.candidates, 1):
        settings = ", ".join(f"{key} {value}" for key, value in candidate.sampling.items() if value is not None)
        adapters = ", ".join(f"{key} at {value:g}" for key, value in candidate.adapters.items())
        typer.echo(safe_text(f"\n[{number}] {candidate.text}\n    {'; '.join(filter(None, [candidate.model, adapters, settings]))}"))
    typer.echo(f"\nchoice: {describe_choice(vote)}, by {vote.judge} in {vote.source}")


def edit(
    vote_id: Annotated[str, typer.Argument(metavar="ID", show_default=False)],
    choice: Annotated[str, typer.Argument(metavar="CHOICE", show_default=False)],
    name: FromFlag = "prefs",
    as_json: JsonFlag = False,
    workspace_path: WorkspaceFlag = None,
) -> None:
    """Change a choice."""
    store = _open(name, workspace_path)
    changed = store.amend(vote_id, _choice(choice, len(store.vote(vote_id).candidates)))
    typer.echo(json.dumps(changed.as_dict(), ensure_ascii=False) if as_json else f"{changed.id}: {describe_choice(changed)}")


def _choice(text: str, count: int) -> "Choice":
    from edgetune.preferences.order import order
    from edgetune.preferences.record import PAIR_CHOICES, Choice

    if text in ("up", "down"):
        return Choice("thumbs", text == "up")
    return Choice("pair", text) if text in PAIR_CHOICES else order(text, count)


def export(
    name: NameArgument = "prefs",
    out: Annotated[Path | None, typer.Option(help="JSON lines file to write (NAME.SHAPE.jsonl).", show_default=False)] = None,
    shape: Annotated[str, typer.Option(help="The rows' shape; see above.")] = "pair_lists",
    as_json: JsonFlag = False,
    workspace_path: WorkspaceFlag = None,
) -> None:
    """Write votes for trainers."""
    from edgetune.preferences.shapes import SHAPES, rows
    from edgetune.storage.files import atomic_write
    from edgetune.storage.paths import is_folder, real_path

    if shape not in SHAPES:
        raise InputError(f"There is no shape '{shape[:40]}'", f"Shapes are {', '.join(SHAPES)}.", "Choose one of them with --shape.")

    # The folder of the votes is scanned for vote files: an export in it would be listed as one.
    store = _open(name, workspace_path)
    target = out or Path(f"{name}.{shape}.jsonl")
    if is_folder(target) or real_path(target).is_relative_to(real_path(store.path.parent)):
        raise InputError(
            f"{target} cannot be written", "It is a folder, or lies in the folder of the votes.", "Name another file with --out."
        )

    written, refused = rows(store.votes(), shape)
    if not written:
        why = f" The first: {refused[0]}." if refused else ""
        raise InputError(
            f"{name} has nothing to write as {shape}", f"No vote gives such a row.{why}", "Choose another --shape, or give more votes."
        )

    # A model's answer may hold half of a surrogate pair, which UTF-8 cannot.
    with atomic_write(target) as file:
        for row in written:
            file.write(json.dumps(row, ensure_ascii=False).encode("utf-8", "replace") + b"\n")

    for reason in refused[:5]:
        say(f"left out {reason}")
    result = {"written": len(written), "left_out": len(refused), "shape": shape, "file": str(target)}
    typer.echo(json.dumps(result) if as_json else f"{len(written):,} rows written as {shape}, {len(refused):,} votes left out: {target}")


def import_votes(
    file: Annotated[str, typer.Argument(metavar="FILE", help="File or folder of preferences.", show_default=False)],
    into: Annotated[
        str, typer.Option("--into", metavar="NAME", help="The preference file of the workspace where they are saved.")
    ] = "prefs",
    form: Annotated[str, typer.Option("--format", help="The shape of the rows, where it cannot be detected.")] = "auto",
    column_map: Annotated[
        list[str] | None, typer.Option("--column-map", metavar="TARGET=SOURCE", help="Columns renamed.", show_default=False)
    ] = None,
    as_json: JsonFlag = False,
    workspace_path: WorkspaceFlag = None,
) -> None:
    """Import a file as votes."""
    from edgetune.data.detect import parse_map
    from edgetune.preferences.importing import import_file
    from edgetune.preferences.store import store

    # Rows that are not votes are skipped, not fatal; a few reasons show what is wrong with them.
    done = import_file(file, store(open_workspace(workspace_path), into), form, parse_map(column_map or []))
    for name, line, reason in done.left_out[:5]:
        say(f"left out {name}:{line}: {reason}")

    if as_json:
        typer.echo(json.dumps(asdict(done), ensure_ascii=False))
    else:
        typer.echo(
            f"{done.read:,} rows ({done.format}), {done.taken:,} saved, {done.repeated:,} already there, {len(done.left_out):,} left out"
        )


def dedupe(name: NameArgument = "prefs", yes: YesFlag = False, as_json: JsonFlag = False, workspace_path: WorkspaceFlag = None) -> None:
    """Delete repeated votes."""
    from edgetune.preferences.importing import contradictions, duplicates

    store = _open(name, workspace_path)
    votes = store.votes()
    repeated, contradicting = list(duplicates(votes)), list(contradictions(votes))

    # Contradictions are only reported: which of two votes is right, the person alone knows.
    if repeated:
        confirm(f"Delete {len(repeated)} votes of {name} that repeat an earlier one?", yes)
    for first, second in repeated:
        store.delete(second.id, f"says the same as {first.id}")

    result: dict[str, Any] = {"removed": [vote.id for _, vote in repeated], "contradictions": [[a.id, b.id] for a, b in contradicting]}
    if as_json:
        typer.echo(json.dumps(result))
        return
    typer.echo(f"{len(repeated)} of {len(votes)} votes deleted; {len(contradicting)} pairs contradict an earlier vote")
    for first, second in contradicting[:20]:
        say(f"  {first.id} and {second.id}: {_question(second)}")


def delete(
    ids: Annotated[list[str], typer.Argument(metavar="ID…", show_default=False)],
    name: FromFlag = "prefs",
    yes: YesFlag = False,
    as_json: JsonFlag = False,
    workspace_path: WorkspaceFlag = None,
) -> None:
    """Delete votes."""
    store = _open(name, workspace_path)
    votes = [store.vote(vote_id) for vote_id in ids]
    confirm(f"Delete {', '.join(vote.id for vote in votes)} from {name}?", yes)
    for vote in {vote.id: vote for vote in votes}.values():
        store.delete(vote.id)
    typer.echo(json.dumps({"removed": [v.id for v in votes]}) if as_json else f"deleted: {', '.join(v.id for v in votes)}")


def restore(
    vote_id: Annotated[str, typer.Argument(metavar="ID", show_default=False)],
    name: FromFlag = "prefs",
    as_json: JsonFlag = False,
    workspace_path: WorkspaceFlag = None,
) -> None:
    """Bring a vote back."""
    vote = _open(name, workspace_path).restore(vote_id)
    typer.echo(json.dumps(vote.as_dict(), ensure_ascii=False) if as_json else f"{vote.id} is back: {describe_choice(vote)}")


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    group = typer.Typer(rich_markup_mode=None, add_completion=False)

    @group.callback(invoke_without_command=True)
    def overview(ctx: typer.Context) -> None:
        """The votes given so far.

        Begin with: edgetune prefs list
        """
        if ctx.invoked_subcommand is None:
            typer.echo(ctx.get_help())

    # Scripts written for the version before may name import's options as they were called then.
    commands = {
        "list": (listing, LIST),
        "show": (show, SHOW),
        "edit": (edit, EDIT),
        "export": (export, EXPORT),
        "import": (former_flags(import_votes), IMPORT),
    }
    commands |= {"dedupe": (dedupe, DEDUPE), "delete": (delete, DELETE), "restore": (restore, RESTORE)}
    for word, (function, text) in commands.items():
        group.command(word, help=text)(function)  # type: ignore[type-var,unused-ignore]
    app.add_typer(group, name="prefs")
