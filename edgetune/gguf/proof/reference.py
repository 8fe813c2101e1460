"""What the files of one export are held against: the base, and the base with the adapter merged by PEFT, in torch."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from edgetune.gguf.proof.four_bit import FourBit
from edgetune.gguf.proof.merged import Merged, stored_tensors
from edgetune.gguf.proof.rows import Row
from edgetune.gguf.proof.streamed import Read, predictions, skeleton


@dataclass(frozen=True)
class Reference:
    """Predictions in torch, with the weights that they were made with.

    merged: log-probabilities of the model as trained and merged, on all rows; base: of the model before, None where it is not known.
    tensor: reads the tensors of the merged model; before: of the model before, where they differ. model: the merged model without its
    weights. trained: log-probabilities of the adapter on the 4-bit base it was trained on, None where that was not so.
    """

    merged: list[np.ndarray]
    base: list[np.ndarray] | None
    tensor: Read
    before: Callable[[str], np.ndarray | None]
    model: Any
    trained: list[np.ndarray] | None = None


def reference(
    model: Path, adapter: Path | None, base: Path | None, rows: list[Row], vocabulary: int, embeddings: str, four_bit: str = ""
) -> Reference:
    """Predict with the model and the base, one layer at a time in memory.

    model: the folder that is exported. adapter: merged into it. base: the folder before training, where it is another (full fine-tuning)
    or where there is an adapter; None: not known. vocabulary: tokens of the merged model. embeddings: the name of the embeddings'
    tensor. four_bit: the device on which the adapter was trained on the base in NF4; empty where it was not.
    """
    build = partial(skeleton, model, vocabulary)
    tensor = stored_tensors(model, embeddings)
    touches = None
    if adapter:
        tensor = merged = Merged(build(), adapter, tensor)
        touches = merged.touches
    made = build()
    after = predictions(made, tensor, rows)
    if base is None:
        return Reference(after, None, tensor, lambda _: None, made)
    old = stored_tensors(base, embeddings)

    def before(name: str) -> np.ndarray | None:
        return old(name) if touches is None or touches(name) else None

    trained = predictions(made, Merged(build(), adapter, FourBit(made, old, four_bit)), rows) if adapter and four_bit else None
    return Reference(after, predictions(skeleton(base), old, rows), tensor, before, made, trained)
