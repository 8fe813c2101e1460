"""Tell whether a base is the one a run was made with."""

import hashlib
from pathlib import Path

from edgetune.bases.find import weight_files

HASHED_WHOLE_BYTES = 512 * 2**20
"""Files up to this size are hashed whole; of larger ones their size and BLOCK_COUNT blocks of BLOCK_BYTES bytes spread over them."""
BLOCK_BYTES, BLOCK_COUNT = 2**20, 64
SMALL_FILES = ("config.json", "tokenizer.json", "tokenizer.model", "tokenizer_config.json", "chat_template.jinja")


def fingerprint(folder: Path) -> str:
    """A hash over a model folder's config, tokenizer, template and weights."""
    total = hashlib.sha256()
    small = [folder / name for name in SMALL_FILES if (folder / name).is_file()]

    for path in [*small, *weight_files(folder)]:
        size = path.stat().st_size
        total.update(f"{path.name}:{size};".encode())
        with open(path, "rb") as file:
            # Blocks spread over a large file tell it from another in seconds instead of minutes.
            if size <= HASHED_WHOLE_BYTES:
                total.update(hashlib.file_digest(file, "sha256").digest())
                continue
            for index in range(BLOCK_COUNT):
                file.seek(index * (size - BLOCK_BYTES) // (BLOCK_COUNT - 1))
                total.update(file.read(BLOCK_BYTES))
    return total.hexdigest()
