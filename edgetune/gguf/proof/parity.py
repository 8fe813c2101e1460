"""The meaning: torch on the weights as read back against llama.cpp on the file. Between them lies no quantization error."""

import numpy as np

from edgetune.gguf.proof.check import Check
from edgetune.gguf.proof.distance import distance

MAX_KL = {"F32": 1e-6, "F16": 1e-4, "BF16": 1e-3}
MAX_KL_QUANTIZED = 5e-3
"""Most mean KL in nats, by the file's type: quantized types pay for llama.cpp's rounding of activations to 8 bits, F16 and BF16 for
theirs to 16."""


def check_parity(read_back: list[np.ndarray], file: list[np.ndarray], type_name: str, settings: list[str]) -> Check:
    """Hold llama.cpp's predictions against torch's on the same weights.

    settings: hyper-parameters that the file and the model give different values for, in words.
    """
    limit = MAX_KL.get(type_name, MAX_KL_QUANTIZED)
    result = Check("meaning", limits={"kl_mean": limit})
    result.figures = distance(read_back, file).figures()
    result.causes += settings
    mean = result.figures["kl_mean"]
    if not mean <= limit:
        result.causes.append(
            f"llama.cpp computes something else from the file than transformers does from the same weights (mean KL {mean:.2g}, at most "
            f"{limit:g}): the order of a tensor's rows, the rope, a norm or a scale is wrong"
        )
    return result
