"""A source's importance matrix: gathered on its training data once, and stored under a name that stands for what went into it."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from converters import convert, imatrix
from converters.adapter_files import MLX_WEIGHTS
from edgetune.bases import find
from edgetune.bases.fingerprint import fingerprint
from edgetune.estimate.fit import free_memory
from edgetune.gguf.importance.rows import CalibrationTexts, draw_texts, token_limit
from edgetune.gguf.source import Source, conversion_errors
from edgetune.machine import hardware
from edgetune.storage.files import atomic_write, sha256
from edgetune.storage.workspace import ADAPTER_CONFIG, ADAPTER_WEIGHTS, Workspace

MATRIX_VERSION = 1
"""Raised whenever the same model and data would give other sums."""
MEMORY_OVERHEAD = 2**30
"""Bytes beside the weights: the libraries, and one batch on its way through the model."""
ADAPTER_FILES = (ADAPTER_CONFIG, ADAPTER_WEIGHTS, MLX_WEIGHTS, "tokenizer.json")


@dataclass(frozen=True)
class CachedMatrix:
    """An importance matrix on disk. tokens: those it was gathered on, of so many available. reused: it existed already."""

    path: Path
    tokens: int
    available: int
    reused: bool

    @property
    def description(self) -> str:
        """What it was gathered on, in words."""
        of = "" if self.tokens == self.available else f" of {self.available}"
        return f"{self.tokens}{of} tokens of training data"


def cached_matrix(
    source: Source,
    workspace: Workspace,
    data: Path | None = None,
    tokens: int | None = None,
    say: Callable[[str], None] = lambda _: None,
    progress: Callable[[int, int], None] | None = None,
) -> CachedMatrix:
    """The importance matrix of a source, gathered where it does not exist yet.

    data: examples to gather on instead of what a run was trained on. tokens: most to use (chosen by the model's size).
    Raises InputError where there is no data, EdgeTuneError where a sum is not finite; nothing is half-written.
    """
    device, base = hardware.choose_device().value, find.describe_base(source.model)
    chosen = draw_texts(source, data, tokens or token_limit(base.parameters, device))
    folder = source.home.parent / "imatrix" if source.home else workspace.imatrix_cache
    path = folder / f"{cache_key(source, chosen)}.gguf"
    reused = path.is_file()

    # It takes minutes, so that a user is told on how much.
    if not reused:
        dtype = number_format(base.parameters, device)
        say(f"gathering an importance matrix on {chosen.tokens} of {chosen.available} tokens of training data")
        if dtype is None:
            say("The model does not fit into memory, so it is read layer by layer for every 2048 tokens: this takes longer.")
        matrix = _gather(source, chosen, device, dtype, hardware.choose_threads(base.parameters).value, progress)
        with atomic_write(path) as file:
            imatrix.write_imatrix(file, matrix)
    return CachedMatrix(path, chosen.tokens, chosen.available, reused)


def cache_key(source: Source, chosen: CalibrationTexts) -> str:
    """A name that changes with the model, the adapters and their weights, and the token ids."""
    adapters = source.mix or (((source.adapter, 1.0),) if source.adapter else ())
    files = [[weight, *(sha256(folder / name) for name in ADAPTER_FILES if (folder / name).is_file())] for folder, weight in adapters]
    facts = [MATRIX_VERSION, fingerprint(source.model), files, chosen.rows]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:32]


def number_format(parameters: int, device: str) -> str | None:
    """float32 where the model fits into memory so, else the format the device trains in; None where neither fits."""
    usual = hardware.choose_dtype(device).value
    sizes = {"float32": 4, usual: 4 if usual == "float32" else 2}
    return next((name for name, size in sizes.items() if parameters * size + MEMORY_OVERHEAD <= free_memory(device)), None)


def _gather(
    source: Source, chosen: CalibrationTexts, device: str, dtype: str | None, threads: str, progress: Callable[[int, int], None] | None
) -> imatrix.ImportanceMatrix:
    """dtype: of the model in memory; None: it does not fit, and one layer after the other is read for every batch of texts."""
    with conversion_errors():
        plan = convert.plan_gguf(source.model, source.mix or source.adapter, [], chat_template=None, name="", extra={})
    import torch

    from edgetune.gguf.importance.gather import gather_entries, load_merged_model, stream_merged_model

    torch.set_num_threads(int(threads))
    with conversion_errors():
        model = load_merged_model(plan, source.model, device, dtype) if dtype else stream_merged_model(plan, source.model, device)
        entries = gather_entries(model, plan.inputs(), chosen.rows, device, progress)
    count = len(chosen.rows)
    return imatrix.ImportanceMatrix(entries, (chosen.name,), count, max(1, chosen.tokens // count))
