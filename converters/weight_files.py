"""Which files of a model folder hold the model: those that transformers reads, in its order of preference.

A folder may hold more: weights in another program's layout, an index of shards that are gone, an adapter. Whatever counts, hashes, loads or
converts a model asks here, so that it is the same model everywhere. No numpy: listing models comes through here.
"""

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from converters.errors import ConversionError

WHOLE, INDEX = "model.safetensors", "model.safetensors.index.json"
RANK_SHARD = re.compile(r"shard-[0-9]{5}-model-[0-9]{5}-of-[0-9]{5}\.safetensors")
"""Names by which transformers knows parts of tensors, as several machines wrote them; it prefers these to all others."""
PICKLE_SUFFIXES = (".bin", ".pt", ".pth")


class WeightFiles(NamedTuple):
    """paths: the files; of two that hold the same tensor the later one counts. names: tensors that the index promises, if there is one."""

    paths: list[Path]
    names: frozenset[str]

    def require_all(self, present: Iterable[str]) -> None:
        """Raise ConversionError where the index promises a tensor that is in none of the files. present: those that are."""
        if missing := sorted(self.names.difference(present)):
            raise ConversionError(
                f"The weights in {self.paths[0].parent} are not complete",
                f"{missing[0]} is in none of its files, though its index names it.",
                "Copy the model again.",
            )


def weight_files(folder: Path) -> WeightFiles:
    """The safetensors files of a model: the file that config.json names, else the whole file, else the shards of the index.

    The order is that of transformers' `from_pretrained` (modeling_utils.py, `_get_resolved_checkpoint_files`). Raises ConversionError where
    nothing can be read, and where an index or config.json names what lies outside the folder.
    """
    if any(RANK_SHARD.fullmatch(path.name) for path in folder.glob("shard-*.safetensors")):
        raise ConversionError(
            f"The weights in {folder} are parts of tensors",
            "Its shard-… files are what several processes wrote while training, each with its part of every tensor.",
            "Load it with transformers where it was trained, and save it again (model.save_pretrained).",
        )

    named = _named_file(folder)
    for name in [named] if named else [WHOLE, INDEX]:
        if not (folder / name).is_file():
            continue
        if not name.endswith(".index.json"):
            return WeightFiles([folder / name], frozenset())
        shards = weight_map(folder / name)
        return WeightFiles([folder / shard for shard in sorted(set(shards.values()))], frozenset(shards))
    raise _nothing_to_read(folder, named)


def weight_map(index: Path) -> dict[str, str]:
    """The tensors of an index and the shard of each; the shards are there."""
    try:
        shards: Any = json.loads(index.read_bytes())["weight_map"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise ConversionError(f"{index} cannot be read", f"{type(error).__name__}: {error}", "Copy the model again.") from error
    if not isinstance(shards, dict) or not shards or not all(isinstance(name, str) for name in shards.values()):
        raise ConversionError(f"{index} cannot be read", "It has no weight_map.", "Copy the model again.")

    # An index comes with the model: a name with a path in it could reach outside the folder.
    names = sorted(set(shards.values()))
    bad = [name for name in names if not _inside(name) or not name.endswith(".safetensors")]
    if bad:
        raise ConversionError(
            f"{index} names a file that cannot be read",
            f"{bad[0][:200]!r} is not a safetensors file in its folder.",
            "Copy the model again.",
        )
    missing = [name for name in names if not (index.parent / name).is_file()]
    if missing:
        raise ConversionError(
            f"Weights are missing in {index.parent}",
            f"{', '.join(missing[:3])} is not there, which {index.name} names.",
            "Copy the missing files.",
        )
    return shards


def _named_file(folder: Path) -> str | None:
    """The file that config.json names as the weights, which is rare. What else is wrong with config.json is for others to say."""
    try:
        config = json.loads((folder / "config.json").read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    name = config.get("transformers_weights") if isinstance(config, dict) else None
    if name is None:
        return None
    if not isinstance(name, str) or not _inside(name) or not name.endswith((".safetensors", ".safetensors.index.json")):
        raise ConversionError(
            f"The weights that {folder / 'config.json'} names cannot be read",
            f"transformers_weights is {str(name)[:200]!r}, which is not a safetensors file in that folder.",
            "Remove that line where model.safetensors is there too, or get the model again.",
        )
    return name


def _inside(name: str) -> bool:
    """Whether a name stays in its folder, on every system."""
    return Path(name).name == name and "\\" not in name and "\0" not in name


def _nothing_to_read(folder: Path, named: str | None) -> ConversionError:
    """The refusal of a folder without weights that transformers would read, with what is there instead."""
    present = sorted(path.name for path in folder.iterdir() if path.suffix in (".safetensors", ".gguf", *PICKLE_SUFFIXES))
    causes = {
        "consolidated": ("the weights in Mistral's own layout", "Get the model in the Hugging Face layout (model*.safetensors)."),
        "adapter": ("an adapter, not a model", "Name the folder of its base; 'edgetune export BASE --adapter FOLDER' puts both together."),
    }
    if named:
        cause, remedy = f"config.json names {named}, which is not there.", "Copy the missing file."
    elif kind := next((kind for kind in causes for name in present if name.startswith(kind)), None):
        what, remedy = causes[kind]
        cause = f"There is neither {WHOLE} nor {INDEX}; {', '.join(present[:3])} is {what}."
    else:
        cause = f"There is neither {WHOLE} nor {INDEX}" + (f"; found {', '.join(present[:3])}." if present else ".")
        remedy = "Get the model's safetensors files, or save it again with safetensors (transformers: model.save_pretrained)."
        if any(name.endswith(PICKLE_SUFFIXES) for name in present):
            remedy = f"Such files can run code and are not read. {remedy}"
    return ConversionError(f"No safetensors weights in {folder}", cause, remedy)
