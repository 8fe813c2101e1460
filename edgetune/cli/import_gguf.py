"""`edgetune import`: a GGUF as a model folder."""

import json
from pathlib import Path
from typing import Annotated

import typer

from edgetune.cli.flags import JsonFlag
from edgetune.cli.show import ProgressLine, say
from edgetune.formatting import format_size


def import_gguf(
    file: Annotated[Path, typer.Argument(metavar="FILE.gguf", help="The model's file.", show_default=False)],
    out: Annotated[Path | None, typer.Option(help="Folder to make. [the file's name, here]", show_default=False)] = None,
    dtype: Annotated[
        str | None, typer.Option(help="bfloat16, float16 or float32. [the file's own; bfloat16 if quantized]", show_default=False)
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Turn a GGUF back into a model folder that can be trained: weights dequantized, tokenizer and chat template with them.

    For the architectures that export writes, from EdgeTune's files or others'. If the GGUF has a setting that a Hugging Face folder
    cannot express, the import stops and names it.

    Quantized weights stay as rounded as they are: where the original model can be had, it is the better start.

    Examples:

      edgetune import model-Q8_0.gguf --out ~/models/mine

      edgetune import model.gguf --dtype float32
    """
    from edgetune.gguf.import_file import import_gguf as run

    # Counted in MiB, because bytes would be numbers of ten digits.
    line = ProgressLine()
    result = run(file, out or Path(file.stem), dtype, lambda done, total: line.update(done >> 20, max(total >> 20, 1), "MiB"))
    line.clear()

    if as_json:
        typer.echo(json.dumps(result))
        return
    typer.echo(result["path"])
    for note in result["notes"]:
        say(note)
    say(f"{result['model_type']}, {result['dtype']}: {format_size(result['bytes'])}")
    say(f"next: edgetune train --base {result['path']} --data FILE")


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command("import")(import_gguf)
