"""`edgetune prefs`: the votes that were given: list, show, edit, export, import, dedupe, delete."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgetune.cli.flags import JsonFlag, WorkspaceFlag, YesFlag, confirm, former_flags
from edgetune.cli.show import say, table
from edgetune.errors import InputError
from edgetune.storage.workspace import workspace
from edgetune.text import one_line, safe_text

if TYPE_CHECKING:
    from edgetune.preferences.record import Choice, Vote
    from edgetune.preferences.store import Store

NameArgument = Annotated[str, typer.Argument(metavar="[NAME]", help="A preference file of the workspace.")]
FromFlag = Annotated[str, typer.Option("--from", metavar="NAME", help="The preference file of the workspace.")]
LIST = """List the preference files, or with a NAME the votes in one.

Example: edgetune prefs list prefs
"""
SHOW = """Show one vote whole: prompt, answers, what made them, and the choice.

Example: edgetune prefs show 3f2a
"""
EDIT = """Change what was chosen; the earlier choice stays in the file's history.

CHOICE is left, right, tie, bad, up, down, or for a ranking the answers' numbers, best first (213).

Example: edgetune prefs edit 3f2a right
"""
EXPORT = """Write votes as a file that trainers read. pair_lists and unpaired are TRL's shapes as they are.

Shapes: pair_lists, unpaired, ranking, pair_messages, pair_turns, pair_strings, pair_whole, messages (the liked answers alone), prompt.

Example: edgetune prefs export prefs --out pairs.jsonl
"""
IMPORT = """Take a file of preferences, in any shape that 'edgetune data check' knows, as votes.

Example: edgetune prefs import dpo.json --into prefs
"""
DEDUPE = """Take back votes that say the same as an earlier one, and list those that contradict each other.

Example: edgetune prefs dedupe prefs --yes
"""
DELETE = """Take votes back. Their lines stay in the file's history; 'edgetune prefs restore ID' lets one stand again.

Example: edgetune prefs delete 3f2a --yes
"""
RESTORE = """Let a vote that was deleted stand again.

Example: edgetune prefs restore 3f2a09b1c2d3
"""


def _open(name: str, place: Path | None) -> "Store":
    from edgetune.preferences.store import existing

    found = existing(workspace(place), name)
    for problem in found.fold().problems[:5]:
        say(f"left out: {problem}")
    return found


def listing(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", show_default=False)] = None,
    as_json: JsonFlag = False,
    workspace_path: WorkspaceFlag = None,
) -> None:
    """List files, or votes."""
    from edgetune.preferences.consistency import consistency, worth
    from edgetune.preferences.store import stores

    if name is None:
        found = []
        for one in stores(workspace(workspace_path)):
            votes = one.votes()
            pairs = sum(len(vote.pairs()) for vote in votes if "repeats" not in vote.about)
            found.append({"name": one.name, "votes": len(votes), "pairs": pairs, "worth": worth(pairs), "file": str(one.path)})
        if as_json:
            typer.echo(json.dumps(found, ensure_ascii=False))
        elif found:
            typer.echo(table([[f["name"], f["votes"], f["worth"]] for f in found], ["name", "votes", "worth"], 100))
        else:
            say("No vote was given yet: 'edgetune collect MODEL' begins.")
        return
    votes = _open(name, workspace_path).votes()
    if as_json:
        typer.echo(json.dumps([vote.as_dict() for vote in votes], ensure_ascii=False))
        return
    rows = [[v.id, v.source, words(v), _asked(v), " | ".join(one_line(c.text, 30) for c in v.candidates)] for v in votes]
    typer.echo(table(rows, ["id", "source", "choice", "prompt", "answers"], 70))
    same = consistency(votes)
    if same.compared:
        say(f"Asked again, {same.same} of {same.compared} preferences came out the same ({same.share.low:.0%} to {same.share.high:.0%}).")


def words(vote: "Vote") -> str:
    """A choice in words."""
    value = vote.choice.value
    if vote.choice.type == "ranking":
        return "ranks " + " ".join(map(str, value))
    if vote.choice.type == "thumbs":
        return "up" if value else "down"
    return str(value or vote.choice.type) + (" (repeat)" if "repeats" in vote.about else "")


def _asked(vote: "Vote") -> str:
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
    typer.echo(f"\nchoice: {words(vote)}, by {vote.judge} in {vote.source}")


def edit(
    vote_id: Annotated[str, typer.Argument(metavar="ID", show_default=False)],
    choice: Annotated[str, typer.Argument(metavar="CHOICE", show_default=False)],
    name: FromFlag = "prefs",
    as_json: JsonFlag = False,
    workspace_path: WorkspaceFlag = None,
) -> None:
    """Change a choice."""
    found = _open(name, workspace_path)
    changed = found.amend(vote_id, _choice(choice, len(found.vote(vote_id).candidates)))
    typer.echo(json.dumps(changed.as_dict(), ensure_ascii=False) if as_json else f"{changed.id}: {words(changed)}")


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
    from edgetune.storage.paths import is_folder, real

    if shape not in SHAPES:
        raise InputError(f"There is no shape '{shape[:40]}'", f"Shapes are {', '.join(SHAPES)}.", "Choose one of them with --shape.")
    found = _open(name, workspace_path)
    target = out or Path(f"{name}.{shape}.jsonl")
    if is_folder(target) or real(target).is_relative_to(real(found.path.parent)):
        raise InputError(
            f"{target} cannot be written", "It is a folder, or lies where the votes are kept.", "Name another file with --out."
        )
    made, refused = rows(found.votes(), shape)
    if not made:
        why = f" The first: {refused[0]}." if refused else ""
        raise InputError(
            f"{name} has nothing to write as {shape}", f"No vote gives such a row.{why}", "Choose another --shape, or vote on."
        )
    with atomic_write(target) as file:
        for row in made:
            file.write(json.dumps(row, ensure_ascii=False).encode("utf-8", "replace") + b"\n")
    for reason in refused[:5]:
        say(f"left out {reason}")
    result = {"written": len(made), "left_out": len(refused), "shape": shape, "file": str(target)}
    typer.echo(json.dumps(result) if as_json else f"{len(made):,} rows written as {shape}, {len(refused):,} votes left out: {target}")


def take(
    file: Annotated[str, typer.Argument(metavar="FILE", help="File or folder of preferences.", show_default=False)],
    into: Annotated[str, typer.Option("--into", metavar="NAME", help="The preference file of the workspace that takes them.")] = "prefs",
    form: Annotated[str, typer.Option("--format", help="The rows' shape, where it is not told from them.")] = "auto",
    column_map: Annotated[
        list[str] | None, typer.Option("--column-map", metavar="TARGET=SOURCE", help="Columns renamed.", show_default=False)
    ] = None,
    as_json: JsonFlag = False,
    workspace_path: WorkspaceFlag = None,
) -> None:
    """Take a file as votes."""
    from edgetune.data.detect import parse_map
    from edgetune.preferences.importing import take as take_file
    from edgetune.preferences.store import store

    done = take_file(file, store(workspace(workspace_path), into), form, parse_map(column_map or []))
    for name, line, reason in done.left_out[:5]:
        say(f"left out {name}:{line}: {reason}")
    if as_json:
        typer.echo(json.dumps(asdict(done), ensure_ascii=False))
    else:
        typer.echo(
            f"{done.read:,} rows ({done.format}), {done.taken:,} taken, {done.repeated:,} there before, {len(done.left_out):,} left out"
        )


def dedupe(name: NameArgument = "prefs", yes: YesFlag = False, as_json: JsonFlag = False, workspace_path: WorkspaceFlag = None) -> None:
    """Take back what is there twice."""
    from edgetune.preferences.importing import contradictions, duplicates

    found = _open(name, workspace_path)
    votes = found.votes()
    twice, against = list(duplicates(votes)), list(contradictions(votes))
    if twice:
        confirm(f"Take back {len(twice)} votes of {name} that say the same as an earlier one?", yes)
    for first, later in twice:
        found.delete(later.id, f"says the same as {first.id}")
    result: dict[str, Any] = {"removed": [later.id for _, later in twice], "contradictions": [[a.id, b.id] for a, b in against]}
    if as_json:
        typer.echo(json.dumps(result))
        return
    typer.echo(f"{len(twice)} of {len(votes)} votes taken back; {len(against)} pairs contradict an earlier vote")
    for one, other in against[:20]:
        say(f"  {one.id} and {other.id}: {_asked(other)}")


def delete(
    ids: Annotated[list[str], typer.Argument(metavar="ID…", show_default=False)],
    name: FromFlag = "prefs",
    yes: YesFlag = False,
    as_json: JsonFlag = False,
    workspace_path: WorkspaceFlag = None,
) -> None:
    """Take votes back."""
    found = _open(name, workspace_path)
    votes = [found.vote(vote_id) for vote_id in ids]
    confirm(f"Take back {', '.join(vote.id for vote in votes)} from {name}?", yes)
    for vote in {vote.id: vote for vote in votes}.values():
        found.delete(vote.id)
    typer.echo(json.dumps({"removed": [v.id for v in votes]}) if as_json else f"taken back: {', '.join(v.id for v in votes)}")


def restore(
    vote_id: Annotated[str, typer.Argument(metavar="ID", show_default=False)],
    name: FromFlag = "prefs",
    as_json: JsonFlag = False,
    workspace_path: WorkspaceFlag = None,
) -> None:
    """Let a vote stand again."""
    vote = _open(name, workspace_path).restore(vote_id)
    typer.echo(json.dumps(vote.as_dict(), ensure_ascii=False) if as_json else f"{vote.id} stands again: {words(vote)}")


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    group = typer.Typer(rich_markup_mode=None, add_completion=False)

    @group.callback(invoke_without_command=True)
    def overview(ctx: typer.Context) -> None:
        """The votes that were given.

        Begin with: edgetune prefs list
        """
        if ctx.invoked_subcommand is None:
            typer.echo(ctx.get_help())

    commands = {
        "list": (listing, LIST),
        "show": (show, SHOW),
        "edit": (edit, EDIT),
        "export": (export, EXPORT),
        "import": (former_flags(take), IMPORT),
    }
    commands |= {"dedupe": (dedupe, DEDUPE), "delete": (delete, DELETE), "restore": (restore, RESTORE)}
    for word, (function, text) in commands.items():
        group.command(word, help=text)(function)  # type: ignore[type-var,unused-ignore]
    app.add_typer(group, name="prefs")
