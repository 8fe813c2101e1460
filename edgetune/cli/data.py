"""`edgetune data`: look at examples before a run does: check, preview, convert, split."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgetune.cli.data_chats import IMPORT_CHATS, import_chats
from edgetune.cli.data_write import FileArgument, convert, refuse_to_overwrite, split
from edgetune.cli.flags import JsonFlag, WorkspaceFlag, recipe_flags
from edgetune.cli.show import ProgressLine, say
from edgetune.errors import InputError
from edgetune.storage.workspace import open_workspace

if TYPE_CHECKING:
    from edgetune.bases.find import Base
    from edgetune.bases.tokenizer import BaseTokenizer
    from edgetune.config.recipe import Recipe

FilesArgument = Annotated[
    list[str], typer.Argument(metavar="FILE…", help="Files or folders of examples, or names of votes.", show_default=False)
]

READING = ("format", "column_map")
SHAPING = ("max_length", "overlong", "train_on")
LENGTH = (
    "validation",
    *READING,
    *SHAPING,
    "packing",
    "epochs",
    "max_steps",
    "batch_size",
    "gradient_accumulation",
    "validation_split",
    "data_seed",
)

CHECK = """Check examples: what a run would learn from them, and what is wrong with them. Ends with a verdict.

Exit code 0: good, perhaps with warnings; 1: do not train; 2: a file cannot be read at all.

Examples:

  edgetune data check examples.jsonl --base ~/models/Qwen3-0.6B

  edgetune data check train.csv --validation valid.csv --column-map instruction=question,output=answer --out report.html
"""
PREVIEW = """Show one row as it is read, as it is converted, and (with --base) as it is rendered: trained tokens are shown between ⟦ and ⟧.

Example: edgetune data preview examples.jsonl --row 3 --base nano
"""
CONVERT = """Write examples in the one shape every trainer reads: messages, or TRL's preference pairs.

Example: edgetune data convert dpo.json --to preference --out pairs.jsonl
"""
SPLIT = """Split examples into a training and a validation file; equal rows stay together, so that none is in both.

Example: edgetune data split examples.csv --share 0.1 --out split/
"""


def _tools(recipe: "Recipe") -> "tuple[Base | None, BaseTokenizer | None, int]":
    """The base, its tokenizer, and the length that rows may have with it."""
    from edgetune.bases import find
    from edgetune.bases import tokenizer as tokenizers
    from edgetune.data.template import today

    if not recipe.base:
        return None, None, recipe.max_length
    folder = find.resolve_base(recipe.base)
    base = find.describe_base(folder)
    return base, tokenizers.load_tokenizer(folder, today()), min(recipe.max_length, base.context)


def check_data(
    files: FilesArgument,
    base: Annotated[str, typer.Option(help="Base model, for its tokenizer and template.", show_default=False)] = "",
    out: Annotated[Path | None, typer.Option(help="Write the report as one HTML file.", show_default=False)] = None,
    quarantine: Annotated[Path | None, typer.Option(help="Where left-out rows go (default: the workspace).", show_default=False)] = None,
    as_json: JsonFlag = False,
    workspace_path: WorkspaceFlag = None,
    **options: Any,
) -> None:
    """Check examples."""
    from edgetune.cli.data_show import print_report
    from edgetune.config.recipe import build_recipe
    from edgetune.data import prepare, verdict
    from edgetune.data.detect import parse_map
    from edgetune.data.render import Rules
    from edgetune.estimate import training_time
    from edgetune.jobs.create import tokenizer_source
    from edgetune.preferences import as_data
    from edgetune.storage.files import write_text

    # The options are those of training, so that the X-ray sees the rows as a run would.
    workspace = open_workspace(workspace_path)
    held_out = {"validation": as_data.files(options["validation"], workspace)} if "validation" in options else {}
    recipe, _ = build_recipe({**options, **held_out, "data": as_data.files(files, workspace), "base": base})
    model_base, tokenizer, length = _tools(recipe)

    # Refused before the scan, because a report or quarantine over the examples would destroy them.
    sources = prepare.files_of(recipe)
    if out:
        _new(out)
        refuse_to_overwrite(out, sources)
    if quarantine:
        refuse_to_overwrite(quarantine, sources, "--quarantine")

    # Without a base there are no tokens: what depends on them is left out, or guessed from characters.
    line = ProgressLine()
    with_base = tokenizer_source(model_base.path, tokenizer) if model_base and tokenizer else None
    xray = prepare.survey(
        sources,
        recipe.format,
        parse_map(recipe.column_map),
        Rules(length, recipe.overlong, recipe.train_on) if with_base else None,
        with_base,
        progress=lambda read: line.count(f"{read:,} rows read"),
    )
    line.clear()

    report = xray.finish(quarantine or workspace.quarantine / f"{sources[0].path.stem[:60]}.rejected.jsonl")
    report.effort = training_time.estimate_training(report, recipe, model_base, workspace)
    verdict.judge(report)

    if out:
        from edgetune.data import page

        write_text(out, page.xray_html(report.as_dict(), xray.samples(tokenizer)))
        say(f"The report is in {out}")
    typer.echo(json.dumps(report.as_dict(), ensure_ascii=False)) if as_json else print_report(report)

    # The exit code lets a script stop before it trains.
    if report.verdict == verdict.DO_NOT_TRAIN:
        raise typer.Exit(1)


def _new(path: Path) -> None:
    """Refuse to write over a folder, or a file of another kind."""
    if path.is_dir() or path.suffix.lower() not in (".html", ".htm"):
        raise InputError(f"{path} is no place for the report", "The report is an HTML file.", "Name one that ends in .html.")


def preview(
    file: FileArgument,
    row: Annotated[int, typer.Option(help="Which row, counted from 1.", min=1)] = 1,
    base: Annotated[str, typer.Option(help="Base model, for its tokenizer and template.", show_default=False)] = "",
    as_json: JsonFlag = False,
    workspace_path: WorkspaceFlag = None,
    **options: Any,
) -> None:
    """Show one row."""
    from itertools import islice

    from edgetune.cli.data_show import print_row
    from edgetune.config.recipe import build_recipe
    from edgetune.data import scan
    from edgetune.data.detect import parse_map
    from edgetune.data.examine import Job, examine
    from edgetune.data.render import Rules
    from edgetune.data.row import RawRow
    from edgetune.data.sources import sources
    from edgetune.data.token_view import unit_view
    from edgetune.preferences import as_data

    recipe, _ = build_recipe({**options, "data": as_data.files([file], open_workspace(workspace_path)), "base": base})
    _, tokenizer, length = _tools(recipe)

    # Rows are counted over all files, and read no further than the one that is asked for.
    files, mapping = sources(recipe.data), parse_map(recipe.column_map)
    every = scan.detect_formats(files, recipe.format, mapping)
    raws = ((piece.source, piece.file, raw) for piece in scan.raw_batches(files) for raw in piece.raws)
    there: tuple[int, str, RawRow] | None = next(islice(raws, row - 1, None), None)
    if there is None:
        raise InputError(f"There is no row {row}", f"{file} has fewer rows.", "Name a smaller --row.")

    # Examined as training does it, so that the preview cannot differ from what is trained on.
    number, name, raw = there
    detected = every[number]
    job = Job(tuple(one.format for one in every), mapping, Rules(length, recipe.overlong, recipe.train_on), look=True)
    batch = examine(number, name, [raw], job, tokenizer)

    result: dict[str, Any] = {"file": name, "line": raw.line, "format": detected.format, "reason": detected.reason}
    result["problems"] = [{"kind": p.kind, "message": p.message} for p in batch.problems]

    # A row that was left out has no tokens, but a reason.
    if batch.rejected:
        rejected = batch.rejected[0]
        result |= {"rejected": {"kind": rejected.kind, "reason": rejected.reason}, "row": rejected.row}
    else:
        result |= unit_view(name, batch.units[0], tokenizer, most=1000)

    if as_json:
        typer.echo(json.dumps(result, ensure_ascii=False, default=str))
        return
    print_row(result)


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    group = typer.Typer(rich_markup_mode=None, add_completion=False)

    @group.callback(invoke_without_command=True)
    def overview(ctx: typer.Context) -> None:
        """Look at examples before a run does.

        Begin with: edgetune data check FILE --base DIR
        """
        if ctx.invoked_subcommand is None:
            typer.echo(ctx.get_help())

    group.command("check", help=CHECK)(recipe_flags(check_data, LENGTH))
    group.command("preview", help=PREVIEW)(recipe_flags(preview, (*READING, *SHAPING)))
    group.command("convert", help=CONVERT)(recipe_flags(convert, READING))
    group.command("split", help=SPLIT)(split)
    group.command("import-chats", help=IMPORT_CHATS)(import_chats)
    app.add_typer(group, name="data")
