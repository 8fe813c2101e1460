"""The texts an importance matrix is gathered on: rows of the user's training data, drawn by lot, always the same ones."""

import random
from dataclasses import dataclass
from pathlib import Path

from edgetune.bases import tokenizer as tokenizers
from edgetune.data import prepare, store
from edgetune.errors import InputError
from edgetune.gguf.source import Source
from edgetune.storage.workspace import Run

MAX_TOKENS = 100_000
"""Most tokens: about what llama.cpp's users take (200 chunks of 512), and more change little."""
MAX_CPU_EFFORT = 10**13
"""On a processor at most so many weights times tokens, some minutes of work: larger models see fewer tokens."""
MIN_TOKENS = 2048
"""No model sees fewer, where there are so many."""
MAX_ROW_TOKENS = 2048
"""A row is cut to so many tokens."""


@dataclass(frozen=True)
class CalibrationTexts:
    """Token ids of every row used. name: of the data, for the file's metadata. found: the tokens that there were."""

    rows: list[list[int]]
    name: str
    found: int

    @property
    def tokens(self) -> int:
        """Tokens used."""
        return sum(map(len, self.rows))


def token_limit(parameters: int, device: str) -> int:
    """How many tokens to use where nobody says."""
    return MAX_TOKENS if device != "cpu" else min(MAX_TOKENS, max(MIN_TOKENS, MAX_CPU_EFFORT // max(parameters, 1)))


def draw_texts(source: Source, data: Path | None, tokens: int) -> CalibrationTexts:
    """Choose rows: of a file of examples, or of what a run was trained on. tokens: most to use. InputError where there are none."""
    if data is not None:
        adapters = [source.adapter] if source.adapter else [folder for folder, _ in source.mix]
        own = tokenizers.own_tokenizer(adapters)
        tokenizer = tokenizers.load_tokenizer(source.model, str(source.facts["edgetune.template_date"]), own)
        found, name = [row.ids for row in prepare.evaluation_set(data, tokenizer, source.context).rows], data.name
    elif source.home is not None:
        run = Run(source.home.parent)
        found, name = [ids for ids, _ in store.TokenRows(run.data / store.TRAIN_FILE)], f"training data of {run.name}"
    else:
        raise InputError(
            "There is no text to gather an importance matrix on",
            f"{source.name} is a model folder; only a run brings the data it was trained on.",
            "Make one first: edgetune imatrix MODEL --data FILE --out FILE, then name it with --imatrix.",
        )
    order = list(range(len(found)))
    random.Random(0).shuffle(order)
    chosen, taken = [], 0
    for index in order:
        cut = min(len(found[index]), MAX_ROW_TOKENS, tokens - taken)
        if cut > 0:
            chosen.append(list(found[index][:cut]))
            taken += cut
    return CalibrationTexts(chosen, name, sum(map(len, found)))
