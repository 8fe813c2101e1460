"""A GGUF becomes a model folder in Hugging Face's layout: the way back from an export."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from edgetune.errors import EdgeTuneError, InputError
from edgetune.gguf.source import conversion_errors
from edgetune.storage.files import create_file, need_space, publish_folder, write_json
from edgetune.storage.paths import expand_home

DTYPES = ("bfloat16", "float16", "float32")


def import_gguf(path: Path, out: Path, dtype: str | None = None, progress: Callable[[int, int], None] | None = None) -> dict[str, Any]:
    """Write the model folder of a GGUF. Returns its path, model_type, dtype, bytes of weights, files and notes.

    dtype: one of DTYPES, None for the file's own or bfloat16 where it is quantized. progress: bytes written, bytes in all.
    Raises InputError for a file that is not sound or not supported, EdgeTuneError for what fails on the way; then there is no folder.
    """
    from converters import restore
    from converters.rounding import ORIGIN

    # All that can be wrong is found before a byte is written.
    if dtype is not None and dtype not in DTYPES:
        raise InputError(f"'{dtype}' is not a type of weights", f"Types are {', '.join(DTYPES)}.", "Choose one of them with --dtype.")
    path = expand_home(path)
    if not path.is_file():
        raise InputError(f"There is no file {path}", "No file or folder exists at that path.", "Give the path of a GGUF file.")
    out = expand_home(out)
    if out.exists():
        raise InputError(f"{out} is there already", "An import makes a new folder.", "Name another one with --out.")
    try:
        with conversion_errors():
            plan = restore.plan_restoration(path, dtype)
    except EdgeTuneError as error:
        raise InputError(error.title, error.cause, error.remedy) from error
    need_space(out.parent, plan.room, "The import")

    done = 0

    def count(size: int) -> None:
        nonlocal done
        done += size
        if progress:
            progress(done, plan.size)

    with publish_folder(out) as folder, conversion_errors():
        write_json(folder / "config.json", plan.config)
        write_json(folder / "generation_config.json", plan.generation)
        write_json(folder / ORIGIN, plan.origin)
        write_json(folder / "tokenizer.json", plan.tokenizer.tokenizer)
        write_json(folder / "tokenizer_config.json", plan.tokenizer.settings)
        if plan.tokenizer.pieces is not None:
            with create_file(folder / "tokenizer.model") as file:
                file.write(plan.tokenizer.pieces)
        plan.check_vocabulary(folder)  # before the weights, which take long

        for shard in plan.shards:
            with create_file(folder / shard.name) as file:
                plan.write(shard, file, count)
        if plan.index:
            write_json(folder / "model.safetensors.index.json", plan.index)
        files = sorted(entry.name for entry in folder.iterdir())
    return {
        "path": str(out),
        "model_type": plan.config["model_type"],
        "dtype": plan.dtype,
        "bytes": plan.size,
        "files": files,
        "notes": list(plan.notes),
    }
