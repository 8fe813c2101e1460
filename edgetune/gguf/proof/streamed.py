"""A model in torch whose weights are read when they are needed: one layer is in memory at a time, whatever the model's size."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from edgetune.errors import EdgeTuneError
from edgetune.gguf.proof.distance import log_softmax
from edgetune.gguf.proof.rows import ProofRow

ReadTensor = Callable[[str], np.ndarray]
"""A tensor by the model's own name, in float32."""


def skeleton(folder: Path, vocabulary: int | None = None) -> Any:
    """The model of a folder without its weights (on torch's meta device), for inference. vocabulary: tokens, where not config.json's."""
    from accelerate import init_empty_weights
    from transformers import AutoModelForCausalLM

    from edgetune.bases.load import model_config

    try:
        config = model_config(folder)
        if vocabulary is not None:
            config.vocab_size = vocabulary
        with init_empty_weights(include_buffers=False):
            return AutoModelForCausalLM.from_config(config, dtype="float32").eval()
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise EdgeTuneError(
            f"The model in {folder} cannot be built",
            f"{type(error).__name__}: {error}",
            "Make sure that the folder is complete and that transformers knows its architecture.",
        ) from error


def torch_predictions(model: Any, read: ReadTensor, rows: list[ProofRow]) -> list[np.ndarray]:
    """Log-probabilities after every token of every row, float32 [token, vocabulary] each, by a skeleton that `read` gives its weights."""
    return list(iterate_predictions(model, read, rows))


def iterate_predictions(model: Any, read: ReadTensor, rows: list[ProofRow]) -> Iterator[np.ndarray]:
    """The same, each row's when it is asked for.

    All rows go through together, padded at their ends where no token looks, so that every weight is read once.
    """
    import torch

    from edgetune.machine import hardware

    device = torch.device(hardware.choose_device().value)
    longest = max(len(row.ids) for row in rows)
    ids = torch.tensor([row.ids + [0] * (longest - len(row.ids)) for row in rows], device=device)
    real = torch.tensor([[1] * len(row.ids) + [0] * (longest - len(row.ids)) for row in rows], device=device)
    hooks = load_when_run(model, read, device)
    # Logits of the padding would take as much room as the others.
    hooks.append(model.get_output_embeddings().register_forward_pre_hook(lambda _, inputs: (inputs[0][real.bool()][None],)))
    try:
        with torch.no_grad():
            logits = model(input_ids=ids, attention_mask=real, use_cache=False).logits[0].float().cpu().numpy()
    finally:
        for hook in hooks:
            hook.remove()
    ends = np.cumsum([len(row.ids) for row in rows])
    for part in np.split(logits, ends[:-1]):
        yield log_softmax(part).astype(np.float32)


def load_when_run(model: Any, read: ReadTensor, device: Any) -> list[Any]:
    """Hooks that give every part of a model its weights before it runs and take them away afterwards.

    A part is a decoder layer, whose own code may reach into its modules, or a module outside of them (embeddings, last norm, head).
    """
    from torch import nn

    layers = [layer for modules in model.modules() if isinstance(modules, nn.ModuleList) for layer in modules]
    nested = {module for layer in layers for module in layer.modules() if module is not layer}
    outer = [layer for layer in layers if layer not in nested]
    inside = {module for layer in outer for module in layer.modules()}

    # Whatever lies outside of the layers is loaded by itself.
    parts = outer + [module for module in model.modules() if module not in inside and module._parameters]
    names = {module: name for name, module in model.named_modules()}
    stored = {name for name, _ in model.state_dict(keep_vars=True).items()}
    hooks = []
    for part in parts:
        own = part.named_modules() if part in outer else [("", part)]
        modules = [(module, f"{names[part]}.{name}".strip(".") if name else names[part]) for name, module in own]
        hooks.append(part.register_forward_pre_hook(lambda *_, modules=modules: _fill(modules, read, device, stored)))
        hooks.append(part.register_forward_hook(lambda *_, modules=modules: _empty(modules)))

    # Rope tables and the like, which no file holds.
    for module in model.modules():
        for name, buffer in module._buffers.items():
            if buffer is not None:
                module._buffers[name] = buffer.to(device)
    return hooks


def _fill(modules: list[tuple[Any, str]], read: ReadTensor, device: Any, stored: set[str]) -> None:
    import torch

    for module, path in modules:
        for name, parameter in module._parameters.items():
            if parameter is not None:
                values = torch.from_numpy(np.require(read(f"{path}.{name}"), requirements=["C", "W"])).to(device)
                module._parameters[name] = torch.nn.Parameter(values, requires_grad=False)
        for name, buffer in module._buffers.items():
            if buffer is not None and f"{path}.{name}" in stored:
                module._buffers[name] = torch.from_numpy(np.array(read(f"{path}.{name}"), np.float32)).reshape(buffer.shape).to(device)


def _empty(modules: list[tuple[Any, str]]) -> None:
    import torch

    for module, _ in modules:
        for name, parameter in module._parameters.items():
            if parameter is not None:
                module._parameters[name] = torch.nn.Parameter(parameter.to("meta"), requires_grad=False)
