"""ggml's own block quantization, loaded from llama-cpp-python's library without importing that package."""

import ctypes
import importlib.util
import sys
from functools import cache
from pathlib import Path

import numpy as np

from converters.errors import ConversionError
from converters.gguf_file import GGML_TYPES


@cache
def library() -> ctypes.CDLL:
    """libggml-base with the functions used here declared."""
    spec = importlib.util.find_spec("llama_cpp")
    folders = [Path(folder) / "lib" for folder in (spec.submodule_search_locations or [])] if spec else []
    names = {"win32": ("ggml-base.dll", "libggml-base.dll"), "darwin": ("libggml-base.dylib", "libggml-base.so")}.get(
        sys.platform, ("libggml-base.so",)
    )
    for path in (folder / name for folder in folders for name in names):
        if path.is_file():
            loaded = ctypes.CDLL(str(path))
            break
    else:
        raise ConversionError(
            "ggml was not found",
            "The quantizer comes with llama-cpp-python, which is not installed completely.",
            "Install it: pip install llama-cpp-python",
        )

    # Without declared types ctypes would cut 64-bit numbers.
    loaded.ggml_quantize_init.argtypes = [ctypes.c_int]
    loaded.ggml_quantize_chunk.argtypes = [
        ctypes.c_int,
        ctypes.c_void_p,
        ctypes.c_void_p,
        ctypes.c_int64,
        ctypes.c_int64,
        ctypes.c_int64,
        ctypes.c_void_p,
    ]
    loaded.ggml_quantize_chunk.restype = ctypes.c_size_t
    loaded.ggml_validate_row_data.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t]
    loaded.ggml_validate_row_data.restype = ctypes.c_bool
    return loaded


def initialize_type(type_name: str) -> None:
    """Set up the tables of a type, once, before threads use it."""
    library().ggml_quantize_init(GGML_TYPES[type_name].id)


def quantize_rows(rows: np.ndarray, type_name: str, out: np.ndarray, importance: np.ndarray | None = None) -> int:
    """Quantize contiguous float32 rows into bytes; gives the number written. importance: float32, one per column."""
    count, length = rows.shape
    weights = None if importance is None else importance.ctypes.data
    return int(library().ggml_quantize_chunk(GGML_TYPES[type_name].id, rows.ctypes.data, out.ctypes.data, 0, count, length, weights))


def blocks_valid(type_name: str, blocks: np.ndarray) -> bool:
    """Whether no block's scale is NaN or infinite."""
    return bool(library().ggml_validate_row_data(GGML_TYPES[type_name].id, blocks.ctypes.data, blocks.size))
