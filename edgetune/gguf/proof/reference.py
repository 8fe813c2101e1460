"""What the files of one export are held against: the base, and the base with the adapter merged by PEFT, in torch."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from edgetune.gguf.proof.merged import MergedTensors, stored_tensors
from edgetune.gguf.proof.nf4_round_trip import Nf4RoundTrip
from edgetune.gguf.proof.rows import ProofRow
from edgetune.gguf.proof.streamed import ReadTensor, skeleton, torch_predictions
from edgetune.gguf.source import Source


@dataclass(frozen=True)
class Reference:
    """Predictions in torch, with the weights that they were made with.

    merged: log-probabilities of the model as trained and merged, on all rows; base: of the model before, None where it is not known.
    tensor: reads the tensors of the merged model; before: of the model before, where they differ. model: the merged model without its
    weights. trained: log-probabilities of the adapter on the 4-bit base it was trained on, None where that was not so.
    """

    merged: list[np.ndarray]
    base: list[np.ndarray] | None
    tensor: ReadTensor
    before: Callable[[str], np.ndarray | None]
    model: Any
    trained: list[np.ndarray] | None = None


def measure_reference(source: Source, rows: list[ProofRow], vocabulary: int, embeddings: str) -> Reference:
    """Predict with the model and the base, one layer at a time in memory.

    source: what is exported; its base counts where it is another folder than the model, or where there is an adapter. vocabulary: tokens
    of the merged model. embeddings: the name of the embeddings' tensor.
    """
    new_skeleton = partial(skeleton, source.model, vocabulary)

    # The merged model, its weights merged one tensor at a time by PEFT.
    tensor = stored_tensors(source.model, embeddings)
    changed_by_adapter = None
    if source.adapter:
        tensor = merged = MergedTensors(new_skeleton(), source.adapter, tensor)
        changed_by_adapter = merged.touches
    model = new_skeleton()
    after = torch_predictions(model, tensor, rows)
    if source.base is None:
        return Reference(after, None, tensor, lambda _: None, model)

    # The model before training, to tell what was learned from what was there.
    stored = stored_tensors(source.base, embeddings)

    def before(name: str) -> np.ndarray | None:
        return stored(name) if changed_by_adapter is None or changed_by_adapter(name) else None

    # An adapter trained on the base in NF4 was fitted to that base's errors: what they make is reported, and is nobody's fault.
    trained = None
    if source.adapter and source.nf4_training_device:
        base_in_nf4 = Nf4RoundTrip(model, stored, source.nf4_training_device)
        trained = torch_predictions(model, MergedTensors(new_skeleton(), source.adapter, base_in_nf4), rows)

    base = torch_predictions(skeleton(source.base), stored, rows)
    return Reference(after, base, tensor, before, model, trained)
