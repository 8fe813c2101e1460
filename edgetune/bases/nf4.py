"""Which matrices bitsandbytes 0.50 reads rightly in NF4. No torch."""

BLOCK, LANES = 64, 16
"""Weights that share a scale (QLoRA, section 3); numbers that its kernel for AVX-512 unpacks at once."""


def misread(columns: int, device: str) -> bool:
    """Whether rows of so many weights would be unpacked with the scales of other blocks, silently.

    Seen in bitsandbytes 0.50 on processors with AVX-512, for rows of 16, 32, 48, 80 … weights: it counts a row's blocks from the row's
    begin, while they are made from the matrix as one line. Other processors read them rightly, but a recipe should mean the same on all.
    """
    return device == "cpu" and columns % LANES == 0 and columns % BLOCK != 0
