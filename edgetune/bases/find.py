"""Find base models on disk and read what their config says, without torch."""

import json
import math
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from converters import text_part
from converters import weight_files as stored
from converters.errors import ConversionError
from edgetune.errors import InputError
from edgetune.storage.paths import BUNDLED, expand_home, is_folder

MAX_HEADER_BYTES = 100_000_000
"""Bytes a safetensors header may have (safetensors' own limit)."""
PACKED_DTYPES = ("F8_E4M3", "F8_E5M2", "F8_E8M0", "I8", "U8")
"""Types of weights that need scales beside them (safetensors' names)."""
CONTEXT_KEYS = ("max_position_embeddings", "n_positions")
"""Settings that give the longest text, in tokens; GPT-2 has the second."""


@dataclass(frozen=True)
class Base:
    """A base model's folder and what its files say of the language model; of one that also sees or hears, of its text part alone.

    bytes: of its weights. config: the text part's configuration. left_out: what of the folder is not used, in words.
    """

    path: Path
    name: str
    architecture: str
    parameters: int
    bytes: int
    context: int
    config: dict[str, Any]
    left_out: str = ""


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files that hold the model of a folder (see `converters.weight_files`)."""
    with _input_errors():
        return stored.weight_files(folder).paths


@contextmanager
def _input_errors() -> Iterator[None]:
    """What the converters refuse is a fault of the folder that the user named."""
    try:
        yield
    except ConversionError as error:
        raise InputError(error.title, error.cause, error.remedy) from error


def weight_headers(folder: Path) -> dict[str, dict[str, Any]]:
    """What the files of a model say of each tensor: its shape, its type and where it lies. No tensor is read."""
    with _input_errors():
        files = stored.weight_files(folder)
        headers = {name: entry for path in files.paths for name, entry in tensor_header(path).items()}
        files.require_all(headers)
    return headers


def tensor_header(path: Path) -> dict[str, Any]:
    """A safetensors file's header, checked against the file's size before it is read."""
    size = path.stat().st_size
    with open(path, "rb") as file:
        start = file.read(8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else size
        if length > min(size - 8, MAX_HEADER_BYTES):
            raise InputError(f"{path.name} is damaged", "Its header is longer than the file.", "Copy the file again.")

        try:
            header = json.loads(file.read(length))
        except (ValueError, RecursionError) as error:
            raise InputError(f"{path.name} is damaged", f"Its header is not JSON: {error}", "Copy the file again.") from error

    if isinstance(header, dict):
        header.pop("__metadata__", None)
    if not isinstance(header, dict) or not all(_describes(entry) for entry in header.values()):
        raise InputError(f"{path.name} is damaged", "Its header does not describe tensors.", "Copy the file again.")

    # A header may be whole while the tensors behind it are cut off.
    end = max((entry["data_offsets"][1] for entry in header.values()), default=0)
    if 8 + length + end > size:
        raise InputError(f"{path.name} is cut off", f"It should have {8 + length + end} bytes and has {size}.", "Copy the file again.")
    return header


def _describes(entry: Any) -> bool:
    """Whether a header's entry gives a shape and two places."""
    values = [entry.get("shape"), entry.get("data_offsets")] if isinstance(entry, dict) else []
    lists = len(values) == 2 and all(isinstance(numbers, list) and all(type(n) is int and n >= 0 for n in numbers) for numbers in values)
    return lists and len(entry["data_offsets"]) == 2


def resolve_base(base: str) -> Path:
    """The folder that a recipe's `base` names; 'nano' is the bundled model."""
    if not base:
        raise InputError(
            "No base model was named",
            "--base is missing.",
            "Name a model folder with --base ('edgetune bases' lists those found), or --base nano.",
        )

    folder = BUNDLED if base == "nano" else expand_home(base)
    if not is_folder(folder):
        what = (
            "is a GGUF file, which can be chatted with but not trained ('edgetune import' makes a model folder of it)"
            if folder.suffix == ".gguf" and folder.is_file()
            else "is not a folder that exists"
        )
        raise InputError(
            f"There is no base model at {base}",
            f"{folder} {what}.",
            "Name a model folder with --base; 'edgetune bases' lists those found on disk.",
        )
    return folder.resolve()


def describe_base(folder: Path) -> Base:
    """Read a model folder's config and weight headers. Raises InputError where something is missing or damaged."""
    config_path = folder / "config.json"
    if not config_path.is_file():
        raise InputError(f"{folder} is not a model folder", "It has no config.json.", "Name a folder in Hugging Face layout.")
    try:
        config = json.loads(config_path.read_text(encoding="utf-8"))
        if not isinstance(config["model_type"], str):
            raise TypeError("model_type is not a text")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(f"{config_path} cannot be read", f"{type(error).__name__}: {error}", "Copy the model again.") from error

    text, is_part = text_settings(config)

    # Of a model that also sees or hears, the text part alone is counted.
    headers = weight_headers(folder)
    others = {name: header for name, header in headers.items() if is_part and not text_part.is_of_text(name)}
    other_sizes = [(name, header["data_offsets"][1] - header["data_offsets"][0]) for name, header in others.items()]
    parameters = sum(math.prod(header["shape"]) for name, header in headers.items() if name not in others)
    size = sum(path.stat().st_size for path in weight_files(folder)) - sum(size for _, size in other_sizes)
    if not parameters:
        raise InputError(f"{folder} holds no weights", "Its safetensors files name no tensors.", "Copy the model again.")

    settings = text if any(text.get(key) for key in CONTEXT_KEYS) else complete(text)
    context = next((settings[key] for key in CONTEXT_KEYS if settings.get(key)), 2048)
    if not isinstance(context, int) or context < 1:
        raise InputError(f"{config_path} does not make sense", f"The context length it gives is {context!r}.", "Copy the model again.")

    name = folder.name if folder != BUNDLED.resolve() else "nano"
    left_out = text_part.describe_left_out(other_sizes) if is_part else ""
    return Base(folder, name, text["model_type"], parameters, size, context, text, left_out)


def text_settings(config: dict[str, Any]) -> tuple[dict[str, Any], bool]:
    """The configuration of a model's text part, and whether the model has more parts. InputError where it cannot be used alone."""
    with _input_errors():
        return text_part.text_configuration(config)


def complete(config: dict[str, Any]) -> dict[str, Any]:
    """A text model's configuration with what it leaves out filled in as transformers does, where the architecture is known."""
    from converters import archs  # numpy comes with it

    return archs.with_defaults(config) if config.get("model_type") in archs.supported() else config


def refuse_quantized(folder: Path, config: Any) -> None:
    """Refuse a base whose weights are stored quantized, where it is to compute in torch; `export` and `import` make a full one of some.

    config: the text part's.
    """
    settings = config.get("quantization_config")
    kinds = {str(header.get("dtype")) for name, header in weight_headers(folder).items() if name.endswith(".weight")}
    packed = sorted(kinds & set(PACKED_DTYPES))
    if not settings and not packed:
        return

    from converters.four_bit import find_unquantized, quantization_method  # numpy comes with it

    # Of the quantized layouts, export reads this one only.
    remedy = f"Training needs unquantized weights. {find_unquantized(config)}"
    if isinstance(settings, dict) and settings.get("quant_method") == "bitsandbytes" and settings.get("load_in_4bit"):
        remedy += f" Or: edgetune export {folder} --type BF16 --out full.gguf && edgetune import full.gguf --out NEW_FOLDER"
    reason = (
        f"Its config.json says so ({quantization_method(settings)})." if settings else f"Its weights are stored as {', '.join(packed)}."
    )
    raise InputError(f"The base in {folder} is stored quantized", reason, remedy)


def model_folders(extra: list[Path]) -> list[Path]:
    """Model folders in the given places and in the Hugging Face cache, the bundled model first."""
    cache = Path(os.environ.get("HF_HUB_CACHE") or Path(os.environ.get("HF_HOME") or Path.home() / ".cache" / "huggingface") / "hub")

    # The cache nests snapshots deeper than people nest their own folders.
    models = [BUNDLED]
    for parent in [*extra, cache]:
        if not parent.is_dir():
            continue
        depth = 4 if parent == cache else 2
        for root, folders, files in os.walk(parent):
            if len(Path(root).relative_to(parent).parts) >= depth:
                folders.clear()
            if "config.json" in files and any(f.endswith(".safetensors") for f in files):
                models.append(Path(root))
                folders.clear()
    return models


def described_bases(extra: list[Path]) -> list[Base]:
    """What `model_folders` finds, described; folders that are damaged or no model are left out."""
    bases = []
    for folder in dict.fromkeys(model_folders(extra)):
        with suppress(InputError, OSError):
            bases.append(describe_base(folder.resolve()))
    return bases
