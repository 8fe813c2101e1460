"""The sums of an importance matrix, from one forward pass in torch: the square of what goes into every matrix, summed over the tokens.

As llama.cpp's own tool sums them (tools/imatrix/imatrix.cpp, `IMatrixCollector::collect_imatrix`), and of the output matrix too.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from converters.convert import Plan
from converters.imatrix import Entry
from converters.inputs import MatrixInput
from converters.text_part import LM_HEAD
from edgetune.errors import EdgeTuneError

TOKENS_PER_BATCH = 2048
"""Tokens computed at a time, padding counted."""
OUTPUT = LM_HEAD.removesuffix(".weight")


def group_by_length(rows: list[list[int]]) -> Iterator[list[list[int]]]:
    """The rows in groups of like length, so that little is padded."""
    batch: list[list[int]] = []
    for row in sorted(rows, key=len):
        if batch and len(row) * (len(batch) + 1) > TOKENS_PER_BATCH:
            yield batch
            batch = []
        batch.append(row)
    if batch:
        yield batch


class InputSums:
    """Squares of what goes into modules, by the module's name; `is_token` says which of a batch's positions hold tokens."""

    def __init__(self) -> None:
        self.squares: dict[str, np.ndarray] = {}
        self.counts: dict[str, int] = {}
        self.is_token: Any = None

    def add(self, module: str, values: Any) -> None:
        """Add one batch's inputs [row, position, channel]."""
        inputs = values.detach().reshape(-1, values.shape[-1])[self.is_token].float()
        squares = inputs.square().sum(dim=0)
        squares = (squares if squares.device.type == "mps" else squares.double()).cpu().numpy()  # Apple's GPUs have no float64
        self.squares[module] = self.squares.get(module, 0.0) + squares
        self.counts[module] = self.counts.get(module, 0) + len(inputs)

    def hook(self, module: str) -> Callable[..., None]:
        """What torch calls before the module."""

        def before(_: Any, positional: tuple[Any, ...], named: dict[str, Any]) -> None:
            self.add(module, positional[0] if positional else next(iter(named.values())))

        return before


def gather_entries(
    model: Any, inputs: list[MatrixInput], rows: list[list[int]], device: str, progress: Callable[[int, int], None] | None = None
) -> dict[str, Entry]:
    """Run the rows through a model; an entry for every matrix of `inputs`, by its name in the GGUF.

    Each row is a separate text. device: where the model computes. progress: gets tokens done and tokens in all. The output matrix itself
    is not computed: what would go into it is the model's last state. Raises EdgeTuneError where a sum is not finite.
    """
    import torch

    sums = InputSums()
    modules = dict(model.named_modules())
    watched = {matrix.module for matrix in inputs}
    hooks = [modules[name].register_forward_pre_hook(sums.hook(name), with_kwargs=True) for name in watched - {OUTPUT}]

    done = 0
    total = sum(map(len, rows))
    try:
        with torch.no_grad():
            for batch in group_by_length(rows):
                longest = max(map(len, batch))
                # Padding behind a text needs no mask: every model here looks back only, and what it holds is not counted.
                ids = torch.tensor([row + [0] * (longest - len(row)) for row in batch], device=device)
                positions = torch.arange(longest, device=device)
                sums.is_token = (positions < torch.tensor([[len(row)] for row in batch], device=device)).reshape(-1)
                last = model.base_model(input_ids=ids, use_cache=False).last_hidden_state
                if OUTPUT in watched:
                    sums.add(OUTPUT, last)
                done += sum(map(len, batch))
                if progress:
                    progress(done, total)
    finally:
        for hook in hooks:
            hook.remove()
    return {matrix.name: _entry(matrix, sums) for matrix in inputs if matrix.module in sums.squares}


def _entry(matrix: MatrixInput, sums: InputSums) -> Entry:
    values = matrix.arrange(sums.squares[matrix.module])
    if not np.isfinite(values).all():
        raise EdgeTuneError(
            f"The importance of {matrix.name} is not a finite number",
            "The model computes infinities or no numbers at all on its own training data.",
            "Export without --imatrix auto; if the model's answers are poor too, train it again.",
        )
    assert values.shape == (matrix.channels,), (matrix.name, values.shape)
    return Entry(values[None].astype(np.float32), np.array([sums.counts[matrix.module]]))


def load_merged_model(plan: Plan, folder: Path, device: str, dtype: str) -> Any:
    """The model that a conversion plan writes, in memory: the base in `folder` with any adapters merged."""
    import torch

    from edgetune.bases.load import load_model

    model = load_model(folder, device, dtype)
    embeddings = model.get_input_embeddings()
    head = model.get_output_embeddings()
    rows = _vocabulary(plan)

    # An adapter may have added tokens, or taught the output matrix apart from the embeddings.
    if rows != embeddings.weight.shape[0]:
        model.resize_token_embeddings(rows, mean_resizing=False)
    elif not plan.tied and head is not None and head.weight is embeddings.weight:
        head.weight = torch.nn.Parameter(head.weight.detach().clone())

    state = model.state_dict()
    for name, values in plan.merged():
        state[name].copy_(torch.from_numpy(np.ascontiguousarray(values)))
    return model.eval()


def stream_merged_model(plan: Plan, folder: Path, device: str) -> Any:
    """The same model with one layer at a time in memory, in float32."""
    import torch

    from edgetune.gguf.proof.streamed import load_when_run, skeleton

    model = skeleton(folder, _vocabulary(plan))
    load_when_run(model, plan.merged_tensor, torch.device(device))
    return model


def _vocabulary(plan: Plan) -> int:
    return next(tensor.shape[0] for tensor in plan.tensors if tensor.name == "token_embd.weight")
