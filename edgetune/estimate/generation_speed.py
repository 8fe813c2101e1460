"""About how fast a model will answer on this machine, before its file is there.

Every token that is written reads all weights once, and does little with each of them: where the model is larger than the processor's
caches, reading is what takes the time ("memory-bandwidth bound": Williams, Waterman, Patterson, Roofline, 2009). So a token takes the
file's bytes over the memory's bandwidth, the cores' work of unpacking what is quantized, and a little that depends on neither.
"""

import time
from concurrent.futures import ThreadPoolExecutor
from functools import cache

from edgetune.machine import hardware

COPY_BYTES = 32 * 2**20
"""Bytes that each core copies at a time: more than its caches hold."""
COPY_TRIES = 4
"""The best counts, since other programs can only slow one down."""
FIXED_SECONDS = 0.0002
"""Seconds a token that do not depend on the size: sampling, a round of all threads for each layer."""

UNPACK_SECONDS = 16e-12
"""Seconds that a core needs to unpack a weight (seen on two cores with AVX-512, for Q4_K and Q8_0; others were not tried)."""


@cache
def bandwidth() -> float:
    """Bytes a second that all cores together move through memory, timed once for some hundredths of a second; the best of a few tries."""
    import numpy as np

    cores = hardware.this_machine().cores
    buffers = [(np.ones(COPY_BYTES // 8), np.empty(COPY_BYTES // 8)) for _ in range(cores)]
    fastest = 0.0
    with ThreadPoolExecutor(cores) as pool:
        for _ in range(COPY_TRIES):
            began = time.perf_counter()
            list(pool.map(lambda pair: np.copyto(pair[1], pair[0]), buffers))
            fastest = max(fastest, 2 * COPY_BYTES * cores / (time.perf_counter() - began))
    return fastest


def tokens_per_second(size: int, packed: int = 0) -> float:
    """About how many tokens a second a model of `size` bytes, `packed` of whose weights are quantized, writes here on the processor."""
    return 1 / (size / bandwidth() + packed * UNPACK_SECONDS / hardware.this_machine().cores + FIXED_SECONDS)
