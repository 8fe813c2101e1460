"""What llama.cpp rounds while it computes, done in torch: the inputs of its matrices, and GELU, which ggml looks up in a table.

A matrix of the file is multiplied with inputs that are rounded first to the type its own type is paired with (`type_traits_cpp` in
ggml/src/ggml-cpu/ggml-cpu.c). It is part of that arithmetic and no fault of a file, and how much it changes a model's predictions differs
from model to model by orders of magnitude, so it is measured on the model itself.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

BLOCK = {
    **dict.fromkeys(("Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "IQ4_NL"), 32),
    **dict.fromkeys(("Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K", "IQ4_XS"), 256),
}
"""Inputs that share a scale of 8 bits, by the matrix's type: Q8_0's or Q8_1's block, or Q8_K's."""
LEVELS = 127
"""Steps of 8 bits to each side of zero."""
GELU_TABLE_END = 10
"""Where GELU is not looked up any more (`ggml_vec_gelu_f32` in ggml/src/ggml-cpu/vec.h)."""


@contextmanager
def activations_rounded(model: Any, types: Mapping[str, str]) -> Iterator[bool]:
    """Let a model round as llama.cpp does with a file's types while the block runs; gives whether it rounds anything.

    types: the type of each of the model's matrices, by the model's own name.
    """
    hooks = []
    for path, module in model.named_modules():
        kind = types.get(f"{path}.weight", "F32")
        if "gelu" in type(module).__name__.lower():
            hooks.append(module.register_forward_hook(_from_table))
        elif type(module).__name__ in ("Linear", "Conv1D") and kind != "F32":
            hooks.append(module.register_forward_pre_hook(lambda _, inputs, kind=kind: (round_inputs(inputs[0], kind), *inputs[1:])))
    try:
        yield bool(hooks)
    finally:
        for hook in hooks:
            hook.remove()


def round_inputs(values: Any, type_name: str) -> Any:
    """A matrix's inputs (torch, float32 [..., channel]) as llama.cpp rounds them for a matrix of that type."""
    import torch

    if type_name in ("F16", "BF16"):
        return values.to(torch.float16 if type_name == "F16" else torch.bfloat16).float()
    size = BLOCK.get(type_name, 0)
    if not size or values.shape[-1] % size:
        return values
    blocks = values.reshape(-1, size)
    scale = blocks.abs().amax(dim=1, keepdim=True) / LEVELS
    steps = torch.where(scale > 0, blocks / scale, 0.0).round()
    return (steps * (scale.half().float() if size == 32 else scale)).reshape(values.shape)


def _from_table(module: Any, inputs: tuple[Any, ...], output: Any) -> Any:
    """GELU as a table of 16-bit floats gives it: input and output are rounded to them."""
    import torch

    values = inputs[0]
    looked_up = module.forward(values.half().float()).half().float()
    return torch.where(values.abs() < GELU_TABLE_END, looked_up, output)
