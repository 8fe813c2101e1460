"""Weights in NF4 as bitsandbytes 0.50 holds them: which of them it would misread, and reading them rightly. torch only where it is used."""

from typing import Any

SCALE_BLOCK, KERNEL_LANES = 64, 16
"""Weights that share a scale (QLoRA, section 3); numbers that its kernel for AVX-512 unpacks at once."""


def is_misread(columns: int, device: str) -> bool:
    """Whether rows of so many weights would be unpacked with the scales of other blocks, silently, while a model computes on a device.

    Seen in bitsandbytes 0.50 on processors with AVX-512, for rows of 16, 32, 48, 80 … weights: it counts a row's blocks from the row's
    begin, while they are made from the matrix as one line. Other processors read them rightly, but a recipe should mean the same on all
    processors; a GPU holds these matrices in NF4 too.
    """
    return device == "cpu" and columns % KERNEL_LANES == 0 and columns % SCALE_BLOCK != 0


def row_width(module: Any) -> int | None:
    """Weights in a row of a matrix that bitsandbytes could pack, as it packs it; None for another module."""
    from torch.nn import Linear
    from transformers.pytorch_utils import Conv1D

    return module.nx if isinstance(module, Conv1D) else module.in_features if isinstance(module, Linear) else None


def dequantize(weight: Any, state: Any) -> Any:
    """A matrix in 4 bits dequantized by bitsandbytes as one row, in which it misreads nothing. state: its QuantState, left as it is."""
    from copy import copy

    from bitsandbytes.functional import dequantize_4bit

    line = copy(state)
    line.shape = (1, state.shape.numel())
    return dequantize_4bit(weight, line).reshape(state.shape)
