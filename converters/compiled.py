"""Block quantization by compiled vector code, used only where it gives the same bits as ggml on this machine.

That is checked once per process and type, on blocks of every kind: another processor, compiler or version of ggml may round
differently (a fused multiply-add is enough), and then ggml itself does the work.
"""

import importlib.util
import threading
from collections import Counter
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from converters import ggml
from converters.gguf_file import GGML_TYPES, data_size

if TYPE_CHECKING:
    from converters.lanes import Compiled

KERNELS = ("Q8_0", "Q6_K", "Q5_K", "Q4_K", "Q3_K", "Q2_K")
IGNORES_IMPORTANCE = ("Q8_0",)
"""Types that ignore an importance matrix."""
WORTH_COMPILING = 2**22
"""Number of weights from which the half second of compiling a kernel pays off."""
QK_K = 256
CHECKED_BLOCKS = 768
"""Blocks that the check quantizes both ways."""


_requested: Counter[tuple[str, bool]] = Counter()
_building = threading.Lock()


def kernel_if_worthwhile(type_name: str, weighted: bool, weights: int) -> "Compiled | None":
    """The kernel of a type once it has enough work. Called before quantizing so many weights; None while another thread compiles it."""
    weighted = weighted and type_name not in IGNORES_IMPORTANCE
    if type_name not in KERNELS or not _building.acquire(blocking=False):
        return None
    try:
        _requested[type_name, weighted] += weights
        return kernel(type_name, weighted) if _requested[type_name, weighted] >= WORTH_COMPILING else None
    finally:
        _building.release()


@cache
def kernel(type_name: str, weighted: bool = False) -> "Compiled | None":
    """The kernel of a type; None where there is none, LLVM is not installed, or the bits are not ggml's."""
    if type_name not in KERNELS or importlib.util.find_spec("llvmlite") is None:
        return None
    try:
        from converters.k_blocks import build_kernel

        compiled = build_kernel(type_name, weighted)
    except (OSError, RuntimeError):  # LLVM's library cannot be loaded, or does not know this processor
        return None
    return compiled if _agrees(compiled, type_name, weighted) else None


def run_kernel(kernel: "Compiled", rows: np.ndarray, type_name: str, out: np.ndarray, importance: np.ndarray | None = None) -> int:
    """As `ggml.quantize`; blocks that do not fill the lanes go through ggml."""
    length = GGML_TYPES[type_name].weights
    size = GGML_TYPES[type_name].size
    blocks = rows.size // length
    row_blocks = rows.shape[1] // length

    full = blocks - blocks % kernel.width
    weights = None if importance is None else importance.ctypes.data
    kernel(rows.ctypes.data, out.ctypes.data, weights, full // kernel.width, row_blocks)

    by_block = rows.reshape(blocks, 1, length)
    for block in range(full, blocks):
        start = block % row_blocks * length
        block_importance = None if importance is None else importance[start : start + length]
        ggml.quantize_rows(by_block[block], type_name, out[block * size : (block + 1) * size], block_importance)
    return blocks * size


def sample_blocks(blocks: int, seed: int = 0) -> np.ndarray:
    """Blocks of every kind [blocks, 256]: normal, heavy-tailed, constant, zero in part, tiny to huge, one sign only, few values."""
    random = np.random.default_rng(seed)
    values = random.standard_normal((blocks, QK_K), np.float32)

    # One row of every twelve is of each special kind; what is left stays normal.
    scales = np.float32(10.0) ** random.integers(-6, 3, (blocks, 1)).astype(np.float32)
    values *= scales
    values[1::12] = random.standard_t(1.5, values[1::12].shape).astype(np.float32) * scales[1::12]
    values[2::12] = scales[2::12] * np.sign(values[2::12, :1])
    values[3::12, :96] = 0
    values[4::12] *= np.float32(1e-38)
    values[5::12] *= np.float32(1e12)
    values[6::12] = -np.abs(values[6::12])
    values[7::12] = np.abs(values[7::12])
    values[8::12] = np.round(values[8::12] / scales[8::12]) * scales[8::12]
    values[9::12, ::16] *= 1000
    values[10::24] = 0
    return values


def _agrees(kernel: "Compiled", type_name: str, weighted: bool) -> bool:
    rows = sample_blocks(CHECKED_BLOCKS).reshape(-1, 4 * QK_K)
    importance = np.random.default_rng(1).random(rows.shape[1], np.float32) if weighted else None
    ours = np.empty(data_size((rows.size,), type_name), np.uint8)
    theirs = np.empty_like(ours)
    ggml.initialize_type(type_name)
    run_kernel(kernel, rows, type_name, ours, importance)
    ggml.quantize_rows(rows, type_name, theirs, importance)
    return np.array_equal(ours, theirs)
