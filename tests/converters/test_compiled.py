"""Compiled block quantization gives ggml's bytes, block by block, or is not used."""

import platform
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from converters import compiled, ggml, k_blocks
from converters import quantize as quantizing
from converters.gguf_file import data_size

BLOCKS = 12 * 40
X86 = platform.machine() in ("x86_64", "AMD64")
"""Where ggml is compiled without fused multiply-add, so that kernels must be in use."""
PLAIN = [(name, False) for name in compiled.KERNELS]
WEIGHED = [(name, True) for name in compiled.KERNELS if name not in compiled.IGNORES_IMPORTANCE]


def every_kind(seed: int) -> np.ndarray:
    """Random blocks, and whole ones of the same kind: denormal, zero, one value, largest that fits and does not, negative only."""
    values = compiled.sample_blocks(BLOCKS, seed)
    random = np.random.default_rng(seed)
    for number, kind in enumerate((1e-42, 1e-38, 1e-20, 1e-15, 1e6, 1e9, 3e19, 3e38)):
        values[12 * number] = random.uniform(-kind, kind, 256)
        values[12 * number + 6] = -random.uniform(kind / 2, kind, 256)
    values[12 * 9], values[12 * 10], values[12 * 11], values[12 * 12] = 0, 0.125, -3.7, -0.0
    values[12 * 13, 100] = 1e4  # one outlier
    return values.reshape(-1, 4 * 256)


@pytest.mark.parametrize(("type_name", "weighed"), PLAIN + WEIGHED)
def test_blocks_of_every_kind_equal_ggmls(type_name: str, weighed: bool) -> None:
    kernel = compiled.kernel(type_name, weighed)
    assert kernel is not None or not X86
    for seed in range(3):
        rows = every_kind(seed)
        importance = np.square(np.random.default_rng(seed).standard_normal(rows.shape[1], np.float32)) if weighed else None
        theirs, ours = (np.empty(data_size((rows.size,), type_name), np.uint8) for _ in range(2))
        ggml.initialize_type(type_name)
        ggml.quantize_rows(rows, type_name, theirs, importance)
        if kernel:
            assert compiled.run_kernel(kernel, rows, type_name, ours, importance) == theirs.size
            wrong = np.flatnonzero((ours != theirs).reshape(BLOCKS, -1).any(axis=1))
            blocks = [(made.reshape(BLOCKS, -1)[number] for made in (ours, theirs)) for number in wrong]
            refused = [
                not ggml.blocks_valid(type_name, our) and not ggml.blocks_valid(type_name, their) for our, their in blocks
            ]  # NaN in both
            assert all(refused), (seed, wrong[:10])


@pytest.mark.parametrize("rows", [1, 3, 700])
def test_rows_that_do_not_fill_the_lanes_or_the_chunks(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(rows).standard_normal((rows, 768), np.float32)
    plain = quantizing.quantize_tensor(values, "Q4_K")
    monkeypatch.setattr(compiled, "WORTH_COMPILING", 0)
    monkeypatch.setattr(quantizing, "QUANTIZE_CHUNK", 5 * 768)
    assert np.array_equal(quantizing.quantize_tensor(values, "Q4_K", threads=2), plain)


def test_a_kernel_whose_bits_differ_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first try of the search left out, as another version of ggml might do."""
    search = k_blocks.SEARCHES["Q4_K", False]
    monkeypatch.setitem(k_blocks.SEARCHES, ("Q4_K", False), search._replace(start=search.start + search.step, tries=search.tries - 1))
    assert compiled.kernel.__wrapped__("Q4_K") is None


def test_llvm_is_loaded_only_where_a_kernel_is_used() -> None:
    code = """
import sys, numpy as np
from converters.quantize import quantize_tensor
values = np.ones((4096, 256), np.float32)
quantize_tensor(values, "Q8_0"), quantize_tensor(values[:16], "Q4_K")
assert "llvmlite" not in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_without_llvm_ggml_does_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled.importlib.util, "find_spec", lambda name: None)
    assert compiled.kernel.__wrapped__("Q4_K") is None
