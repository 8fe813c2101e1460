"""The sums of an importance matrix, from one forward pass in torch: the square of what goes into every matrix, summed over the tokens.

As llama.cpp's own tool sums them (tools/imatrix/imatrix.cpp, `IMatrixCollector::collect_imatrix`), and of the output matrix too.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from converters.convert import LM_HEAD, Plan
from converters.imatrix import Entry
from converters.inputs import MatrixInput
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
    """Squares of what goes into modules, by the module's name; `seen` says which of a batch's places hold tokens."""

    def __init__(self) -> None:
        self.squares: dict[str, np.ndarray] = {}
        self.counts: dict[str, int] = {}
        self.seen: Any = None

    def add(self, module: str, values: Any) -> None:
        """Add one batch's inputs [row, place, channel]."""
        kept = values.detach().reshape(-1, values.shape[-1])[self.seen].float()
        squares = kept.square().sum(dim=0).double().cpu().numpy() if kept.device.type != "mps" else kept.square().sum(dim=0).cpu().numpy()
        self.squares[module] = self.squares.get(module, 0.0) + squares
        self.counts[module] = self.counts.get(module, 0) + len(kept)

    def hook(self, module: str) -> Callable[..., None]:
        """What torch calls before the module."""

        def before(_: Any, given: tuple[Any, ...], named: dict[str, Any]) -> None:
            self.add(module, given[0] if given else next(iter(named.values())))

        return before


def gather_entries(
    model: Any, inputs: list[MatrixInput], rows: list[list[int]], device: str, progress: Callable[[int, int], None] | None = None
) -> dict[str, Entry]:
    """Run the rows through a model; an entry for every matrix of `inputs`, by its name in the GGUF.

    Each row is a text of its own. device: where the model computes. progress: told tokens done and tokens in all. The output matrix itself
    is not computed: what would go into it is the model's last state. Raises EdgeTuneError where a sum is not finite.
    """
    import torch

    sums, modules = InputSums(), dict(model.named_modules())
    wanted = {one.module for one in inputs}
    hooks = [modules[name].register_forward_pre_hook(sums.hook(name), with_kwargs=True) for name in wanted - {OUTPUT}]
    done, total = 0, sum(map(len, rows))
    try:
        with torch.no_grad():
            for batch in group_by_length(rows):
                longest = max(map(len, batch))
                # Padding behind a text needs no mask: every model here looks back only, and what stands there is not counted.
                ids = torch.tensor([row + [0] * (longest - len(row)) for row in batch], device=device)
                places = torch.arange(longest, device=device)
                sums.seen = (places < torch.tensor([[len(row)] for row in batch], device=device)).reshape(-1)
                last = model.base_model(input_ids=ids, use_cache=False).last_hidden_state
                if OUTPUT in wanted:
                    sums.add(OUTPUT, last)
                done += sum(map(len, batch))
                if progress:
                    progress(done, total)
    finally:
        for hook in hooks:
            hook.remove()
    return {one.name: _entry(one, sums) for one in inputs if one.module in sums.squares}


def _entry(one: MatrixInput, sums: InputSums) -> Entry:
    values = one.arrange(sums.squares[one.module])
    if not np.isfinite(values).all():
        raise EdgeTuneError(
            f"The importance of {one.name} is not a finite number",
            "The model computes infinities or no numbers at all on its own training data.",
            "Export without --imatrix auto; if the model's answers are poor too, train it again.",
        )
    assert values.shape == (one.channels,), (one.name, values.shape)
    return Entry(values[None].astype(np.float32), np.array([sums.counts[one.module]]))


def load_merged_model(plan: Plan, folder: Path, device: str, dtype: str) -> Any:
    """The model that a conversion plan writes, in memory: the base in `folder` with any adapters merged."""
    import torch

    from edgetune.bases.load import load_model

    model = load_model(folder, device, dtype)
    embeddings, head, rows = model.get_input_embeddings(), model.get_output_embeddings(), _vocabulary(plan)
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
