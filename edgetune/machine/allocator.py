"""The C library's allocator while a model is loaded: what loading frees goes back to the system at once.

glibc raises the size from which a block gets pages of its own up to 32 MiB (mallopt(3), M_MMAP_THRESHOLD). Smaller ones lie in heaps whose
holes stay: quantizing a model of 0.6B parameters left 0.2 to 0.8 GB of them. Pages of their own cost time where blocks come and go all
the time, so that training keeps the high value (its steps were a quarter slower with 1 MiB, for 15 % less memory).
"""

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3
"""glibc's numbers of the settings (malloc.h)."""
LOADING_THRESHOLD, RUNNING_THRESHOLD = 2**20, 2**25
"""Bytes from which a block has pages of its own: while loading, and afterwards (the most that glibc raises it to by itself)."""


@contextmanager
def freed_blocks_returned() -> Iterator[None]:
    """Have blocks of LOW bytes and more returned to the system as soon as they are freed, for this block. Without glibc it does nothing."""
    libc = ctypes.CDLL(None) if sys.platform.startswith("linux") else None
    if libc is None or not hasattr(libc, "mallopt"):
        yield
        return
    libc.mallopt(MMAP_THRESHOLD, LOADING_THRESHOLD)
    try:
        yield
    finally:
        libc.mallopt(MMAP_THRESHOLD, RUNNING_THRESHOLD)
        libc.mallopt(TRIM_THRESHOLD, 2 * RUNNING_THRESHOLD)
        libc.malloc_trim(0)
