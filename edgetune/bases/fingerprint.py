"""Tell whether a base is the one a run was made with."""

import hashlib
from contextlib import suppress
from pathlib import Path
from typing import Any

from converters.errors import ConversionError
from converters.weight_files import INDEX, weight_map
from edgetune.bases.find import weight_files

HASHED_WHOLE_BYTES = 512 * 2**20
"""Files up to this size are hashed whole; of larger ones their size and BLOCK_COUNT blocks of BLOCK_BYTES bytes spread over them."""
BLOCK_BYTES, BLOCK_COUNT = 2**20, 64
SMALL_FILES = ("config.json", "tokenizer.json", "tokenizer.model", "tokenizer_config.json", "chat_template.jinja")


def fingerprint(folder: Path) -> str:
    """A hash over a model folder's config, tokenizer, template and weights."""
    return _hash(folder, weight_files(folder))


def is_base(folder: Path, base_hash: str) -> bool:
    """Whether a folder holds the base of this fingerprint, which an earlier version may have taken."""
    files = weight_files(folder)
    if _hash(folder, files) == base_hash:
        return True
    earlier = _files_of_earlier_versions(folder)
    return earlier != files and _hash(folder, earlier) == base_hash


def _files_of_earlier_versions(folder: Path) -> list[Path]:
    """The files that version 0.1 hashed: an index's shards, else every safetensors file there was."""
    with suppress(ConversionError):
        if (folder / INDEX).is_file():
            return [folder / name for name in sorted(set(weight_map(folder / INDEX).values()))]
    return sorted(folder.glob("*.safetensors"))


def file_hashes(folder: Path) -> dict[str, tuple[int, str]]:
    """Size in bytes and hash of every file that the fingerprint is taken over, by name: they tell which of them differ."""
    hashes = {}
    for path in _hashed_files(folder, weight_files(folder)):
        total = hashlib.sha256()
        _add(total, path)
        hashes[path.name] = path.stat().st_size, total.hexdigest()
    return hashes


def _hashed_files(folder: Path, weights: list[Path]) -> list[Path]:
    return [*(folder / name for name in SMALL_FILES if (folder / name).is_file()), *weights]


def _hash(folder: Path, weights: list[Path]) -> str:
    total = hashlib.sha256()
    for path in _hashed_files(folder, weights):
        _add(total, path)
    return total.hexdigest()


def _add(total: Any, path: Path) -> None:
    """Add a file to a hash: its name, its size and its bytes, of a large file blocks."""
    size = path.stat().st_size
    total.update(f"{path.name}:{size};".encode())
    with open(path, "rb") as file:
        # Blocks spread over a large file tell it from another in seconds instead of minutes.
        if size <= HASHED_WHOLE_BYTES:
            total.update(hashlib.file_digest(file, "sha256").digest())
            return
        for index in range(BLOCK_COUNT):
            file.seek(index * (size - BLOCK_BYTES) // (BLOCK_COUNT - 1))
            total.update(file.read(BLOCK_BYTES))
