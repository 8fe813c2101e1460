"""The meaning: torch on the weights as read back against llama.cpp on the file. Between them lies no quantization of weights.

What does lie between them is that llama.cpp rounds the inputs of its matrices. By how much that moves a model's predictions depends on the
model (at Q4_K_M: a mean KL from 1e-5 to 1e-1), so torch predicts once more, rounding as llama.cpp does. That is the yardstick: it comes
from the same weights and rows, and nothing that the exporter or llama.cpp may get wrong goes into it.
"""

import math
from collections.abc import Iterable

import numpy as np

from edgetune.gguf.proof.check import Check
from edgetune.gguf.proof.distance import distance

ROUNDING_FACTOR = 1.5
"""The file's predictions may be so many times further from the exact ones than rounding moves them in torch."""
EXACT_MARGIN = 1e-6
"""And so much more, in nats: the same sums in another order."""
STANDARD_ERRORS = 5.0
"""The limit counts as exceeded only by so many standard errors: both are means over a few hundred tokens, of which some weigh much."""


def check_parity(exact: list[np.ndarray], rounded: Iterable[np.ndarray], file: list[np.ndarray], settings: list[str]) -> Check:
    """Hold llama.cpp's predictions against torch's on the same weights.

    exact: torch's. rounded: torch's when it rounds as llama.cpp does. file: llama.cpp's. settings: hyper-parameters that the file and the
    model give different values for, in words.
    """
    result = Check("meaning")
    difference = distance(exact, file)
    cost = distance(exact, rounded).kl
    result.figures = difference.figures() | {"kl_rounding": float(cost.mean())}
    limit = ROUNDING_FACTOR * float(cost.mean()) + EXACT_MARGIN
    result.limits["kl_mean"] = limit
    result.causes += settings

    # The same tokens weigh much in both means, so that the error of their difference is what counts.
    excess = difference.kl - ROUNDING_FACTOR * cost - EXACT_MARGIN
    if not excess.mean() <= STANDARD_ERRORS * excess.std() / math.sqrt(len(excess)):
        result.causes.append(
            f"llama.cpp computes something else from the file than transformers does from the same weights (mean KL "
            f"{difference.kl.mean():.2g}; its rounding explains {cost.mean():.2g}): the order of a tensor's rows, the rope, a norm or a "
            f"scale is wrong"
        )
    return result
