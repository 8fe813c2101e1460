"""The models in torch that a file is held against: the base, the base with the adapter merged by PEFT, the weights as read back."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgetune.proof.distance import log_softmax
from edgetune.proof.rows import Row

SHARED = ("embed_tokens", "wte", "lm_head")
"""Parts of names of the two matrices that a tied model shares."""


def load_model(folder: Path, threads: int) -> Any:
    """A model folder in float32, on the best device."""
    import torch

    from edgetune import hardware
    from edgetune.bases.load import load

    torch.set_num_threads(threads)
    return load(folder, hardware.device().value, "float32").eval()


def merge(model: Any, adapter: Path) -> Any:
    """Merge an adapter into a model, by PEFT. Two matrices that share memory part first where the adapter touches one of them."""
    import torch
    from peft import PeftModel
    from safetensors import safe_open

    from converters.merge import Adapter
    from edgetune.export import conversion_errors

    with conversion_errors():
        Adapter(adapter)  # refuses settings that PEFT would follow to code of others
    with safe_open(adapter / "adapter_model.safetensors", "np") as file:
        touched = any(part in name for name in file.keys() for part in SHARED)  # noqa: SIM118  (no mapping)
    head = model.get_output_embeddings()
    if touched and head is not None and head.weight is model.get_input_embeddings().weight:
        head.weight = torch.nn.Parameter(head.weight.detach().clone())
        model.config.tie_word_embeddings = False
    return PeftModel.from_pretrained(model, adapter).merge_and_unload().eval()


def predictions(model: Any, rows: list[Row]) -> list[np.ndarray]:
    """Log-probabilities in torch after every token of every row: float32 [token, vocabulary] each."""
    import torch

    device = next(model.parameters()).device
    result = []
    with torch.no_grad():
        for row in rows:
            logits = model(input_ids=torch.tensor([row.ids], device=device), use_cache=False).logits[0].float()
            result.append(log_softmax(logits.cpu().numpy()).astype(np.float32))
    return result


class Tensors:
    """A torch model's tensors by name, to read and to overwrite."""

    def __init__(self, model: Any) -> None:
        self._state: dict[str, Any] = model.state_dict()  # shares memory with the model

    def __call__(self, name: str) -> np.ndarray:
        """A tensor in float32."""
        values: np.ndarray = self._state[name].detach().float().cpu().numpy()
        return values

    def replace(self, name: str, values: np.ndarray) -> None:
        """Overwrite a tensor."""
        import torch

        self._state[name].copy_(torch.from_numpy(np.ascontiguousarray(values)))


def stored_tensors(folder: Path, names: dict[str, str]) -> Callable[[str], np.ndarray]:
    """A reader (by safetensors itself) of a folder's tensors in float32. names: for tensors that are not stored, the one that serves."""
    import torch  # noqa: F401  (numpy has no bfloat16)
    from safetensors import safe_open

    from edgetune.bases.find import weight_files

    places: dict[str, Path] = {}
    for path in weight_files(folder):
        with safe_open(path, "pt") as file:
            places |= dict.fromkeys(file.keys(), path)

    def read(name: str) -> np.ndarray:
        wanted = name if name in places else names.get(name, name)
        if wanted not in places:  # saved without an output matrix, a folder's names lack their first part
            wanted = wanted.partition(".")[2]
        with safe_open(places[wanted], "pt") as file:
            values: np.ndarray = file.get_tensor(wanted).float().numpy()
        return values

    return read


@dataclass
class Reference:
    """What the files of one export are held against.

    merged: log-probabilities of the model as trained and merged, on all rows; base: of the model before, None where it is not known.
    build: makes the merged model anew. before: reads the tensors of the model before.
    """

    merged: list[np.ndarray]
    base: list[np.ndarray] | None
    build: Callable[[], Any]
    before: Callable[[str], np.ndarray] | None


def reference(model: Path, adapter: Path | None, base: Path | None, rows: list[Row], threads: int) -> Reference:
    """Predict with the model and the base, one at a time in memory.

    model: the folder that is exported. adapter: merged into it. base: the folder before training, where it is another (full
    fine-tuning) or where there is an adapter; None: not known.
    """

    def build() -> Any:
        made = load_model(model, threads)
        return merge(made, adapter) if adapter else made

    before = None
    if base is not None:
        made = load_model(base, threads)
        before = predictions(made, rows)
        del made
    made = build()
    merged = predictions(made, rows)
    embeddings = next((name for name, value in made.named_parameters() if value is made.get_input_embeddings().weight), "")
    del made
    return Reference(merged, before, build, stored_tensors(base, {"lm_head.weight": embeddings}) if base else None)
