"""The texts an importance matrix is gathered on: rows of the user's training data, drawn at random, always the same ones."""

import random
from dataclasses import dataclass
from pathlib import Path

from edgetune.data import prepare, store
from edgetune.errors import InputError
from edgetune.gguf.source import Source, source_tokenizer
from edgetune.storage.workspace import Run

MAX_TOKENS = 100_000
"""Most tokens: about as many as llama.cpp's users use (200 chunks of 512), and more change little."""
MAX_CPU_EFFORT = 10**13
"""Most weights times tokens on a processor, some minutes of work: larger models see fewer tokens."""
MIN_TOKENS = 2048
"""No model sees fewer, where there are so many."""
MAX_ROW_TOKENS = 2048
"""A row is cut to so many tokens."""


@dataclass(frozen=True)
class CalibrationTexts:
    """Token ids of every row used. name: of the data, for the file's metadata. available: the tokens that there were."""

    rows: list[list[int]]
    name: str
    available: int

    @property
    def tokens(self) -> int:
        """Tokens used."""
        return sum(map(len, self.rows))


def token_limit(parameters: int, device: str) -> int:
    """How many tokens to use by default."""
    return MAX_TOKENS if device != "cpu" else min(MAX_TOKENS, max(MIN_TOKENS, MAX_CPU_EFFORT // max(parameters, 1)))


def draw_texts(source: Source, data: Path | None, tokens: int) -> CalibrationTexts:
    """Choose rows: of a file of examples, or of what a run was trained on. tokens: most to use. InputError where there are none."""
    if data is not None:
        rows = [row.ids for row in prepare.evaluation_set(data, source_tokenizer(source), source.context).rows]
        name = data.name
    elif source.home is not None:
        run = Run(source.home.parent)
        rows = [ids for ids, _ in store.TokenRows(run.data / store.TRAIN_FILE)]
        name = f"training data of {run.name}"
    else:
        raise InputError(
            "There is no text to gather an importance matrix on",
            f"{source.name} is a model folder; only a run brings the data it was trained on.",
            "Make one first: edgetune imatrix MODEL --data FILE --out FILE, then name it with --imatrix.",
        )

    # The same rows every time, so that the matrix can be found again by what went into it.
    order = list(range(len(rows)))
    random.Random(0).shuffle(order)
    chosen = []
    used = 0
    for index in order:
        cut = min(len(rows[index]), MAX_ROW_TOKENS, tokens - used)
        if cut > 0:
            chosen.append(list(rows[index][:cut]))
            used += cut
    return CalibrationTexts(chosen, name, sum(map(len, rows)))
