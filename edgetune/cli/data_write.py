"""`edgetune data convert` and `edgetune data split`: examples written down in another shape, or in two files."""

import json
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgetune.cli.flags import JsonFlag
from edgetune.cli.show import say
from edgetune.errors import InputError
from edgetune.storage.paths import is_folder, real_path

if TYPE_CHECKING:
    from edgetune.data.sources import Source

FileArgument = Annotated[str, typer.Argument(metavar="FILE", help="File or folder of examples.", show_default=False)]


def convert(
    file: FileArgument,
    to: Annotated[str, typer.Option(help="messages or preference.", show_default=False)],
    out: Annotated[Path, typer.Option(help="JSON lines file to write.", show_default=False)],
    as_json: JsonFlag = False,
    **options: Any,
) -> None:
    """Write examples in another shape."""
    from edgetune.config.recipe import build_recipe
    from edgetune.data import formats, rewrite, scan
    from edgetune.data.detect import apply_map, parse_map
    from edgetune.data.row import RowError
    from edgetune.data.sources import sources

    writers = {"messages": rewrite.as_messages, "preference": rewrite.as_preference}
    if to not in writers:
        raise InputError(f"Examples cannot be converted to '{to}'", f"Known are {', '.join(writers)}.", "Choose one of them with --to.")

    # Each file is read in its own shape, as they may come from different places.
    recipe, _ = build_recipe({**options, "data": [file]})
    files, mapping = sources(recipe.data), parse_map(recipe.column_map)
    shapes = {str(s.path): one.format for s, one in zip(files, scan.detect_formats(files, recipe.format, mapping), strict=True)}

    read = written = 0
    refused: list[tuple[str, int, str, str]] = []

    # A row that cannot be converted is left out and counted: one bad row must not cost the others.
    with _Lines(files, out) as write:
        for row in scan.all_rows(files):
            read += 1
            try:
                if row.problem:
                    raise RowError(row.kind, row.problem)

                convert_row = formats.module(shapes[row.file]).convert
                for converted in writers[to](convert_row(apply_map(row.value, mapping) if mapping else row.value)):
                    write(converted)
                    written += 1
            except RowError as error:
                refused.append((row.file, row.line, error.kind, str(error)))

        # Raised inside, so that no empty file is left behind.
        if not written:
            first = refused[0] if refused else ("", 0, "", "there are no rows")
            raise InputError("No row can be converted", f"All {read} were left out; the first: {first[3]}.", "Check --to and --format.")

    names = " and ".join(dict.fromkeys(shapes.values()))
    _wrote({"read": read, "written": written, "left_out": len(refused), "format": names, "files": [str(out)]}, as_json)
    for name, line, _, message in refused[:5]:
        say(f"  left out {name}:{line}: {message}")


def refuse_to_overwrite(out: Path, files: "list[Source]", flag: str = "--out") -> None:
    """Raise InputError when a file to be written is a folder, or one of those that are read."""
    if is_folder(out) or real_path(out) in {real_path(source.path) for source in files}:
        raise InputError(f"{out} cannot be written", "It is a folder, or the very file that is read.", f"Name another file with {flag}.")


class _Lines:
    """A JSON lines file that is there only when all of it is; gives a function that writes a row."""

    def __init__(self, files: "list[Source]", out: Path) -> None:
        self.out, self.stack = out, ExitStack()
        refuse_to_overwrite(out, files)

    def __enter__(self) -> Any:
        from edgetune.storage.files import atomic_write

        file = self.stack.enter_context(atomic_write(self.out))
        return lambda row: file.write(json.dumps(row, ensure_ascii=False, default=str).encode() + b"\n")

    def __exit__(self, *error: Any) -> Any:
        return self.stack.__exit__(*error)


def _wrote(result: dict[str, Any], as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(result, ensure_ascii=False))
        return
    counts = ", ".join(f"{value:,} {name.replace('_', ' ')}" for name, value in result.items() if isinstance(value, int))
    typer.echo(f"{counts}: {', '.join(result['files'])}")


def split(
    file: FileArgument,
    out: Annotated[Path, typer.Option(help="Folder for train.jsonl and valid.jsonl.", show_default=False)],
    share: Annotated[float, typer.Option(help="Share of the rows in the validation file.", min=0.0001, max=0.9)] = 0.1,
    seed: Annotated[int, typer.Option(help="Another seed, another split.", min=0)] = 0,
    as_json: JsonFlag = False,
) -> None:
    """Split examples in two."""
    import numpy as np

    from edgetune.data import duplicates, scan
    from edgetune.data.sources import sources
    from edgetune.data.split import held_out_units

    # By content, not by position: a row that is in both parts would make the held-out loss too good.
    files = sources([file])
    digests = [duplicates.digest(_words(row.value)) for row in scan.all_rows(files) if not row.problem]
    if len(digests) < 2:
        raise InputError(f"{file} cannot be split", f"It has {len(digests)} readable rows.", "Name a file with at least two.")

    held = held_out_units(np.array(digests, dtype=np.uint64), share, seed)
    read = at = 0

    with _Lines(files, out / "train.jsonl") as train, _Lines(files, out / "valid.jsonl") as valid:
        for row in scan.all_rows(files):
            read += 1
            if row.problem:
                say(f"  left out {row.file}:{row.line}: {row.problem}")
                continue
            (valid if held[at] else train)(row.value)
            at += 1

    count = int(held.sum())
    names = [str(out / "train.jsonl"), str(out / "valid.jsonl")]
    _wrote({"read": read, "train": at - count, "valid": count, "left_out": read - at, "files": names}, as_json)


def _words(value: Any) -> str:
    """All text of a row, wherever it stands."""
    if isinstance(value, dict):
        return "\n".join(_words(v) for v in value.values())
    return "\n".join(_words(v) for v in value) if isinstance(value, list) else str(value)
