"""What llama.cpp itself multiplies its matrices with, watched through its evaluation callback: an independent importance matrix."""

import ctypes
from pathlib import Path
from typing import Any

import numpy as np

from converters import ggml as converters_ggml


class Tensor(ctypes.Structure):
    """ggml_tensor, as far as its name (ggml/include/ggml.h)."""


Tensor._fields_ = [
    ("type", ctypes.c_int),
    ("buffer", ctypes.c_void_p),
    ("ne", ctypes.c_int64 * 4),
    ("nb", ctypes.c_size_t * 4),
    ("op", ctypes.c_int),
    ("op_params", ctypes.c_int32 * 16),
    ("flags", ctypes.c_int32),
    ("src", ctypes.POINTER(Tensor) * 10),
    ("view_src", ctypes.c_void_p),
    ("view_offs", ctypes.c_size_t),
    ("data", ctypes.c_void_p),
    ("name", ctypes.c_char * 64),
]


def _squares(tensor: Tensor) -> tuple[np.ndarray, int]:
    """Sum of squares of a float32 tensor by its first dimension, and how many rows that were."""
    shape, strides = tuple(tensor.ne)[::-1], tuple(tensor.nb)[::-1]
    size = sum((n - 1) * step for n, step in zip(shape, strides, strict=True)) + 4
    raw = np.ctypeslib.as_array((ctypes.c_uint8 * size).from_address(tensor.data))
    values = np.lib.stride_tricks.as_strided(raw.view("<f4"), shape, strides).reshape(-1, shape[-1])
    return np.square(values.astype(np.float64)).sum(axis=0), len(values)


def sums(library: Any, path: Path, rows: list[list[int]]) -> tuple[dict[str, np.ndarray], dict[str, int]]:
    """Sums of squares of the inputs of every matrix of an F32 file, float64 [channels], and the tokens counted, by the matrix's name."""
    ggml = converters_ggml.library()
    ggml.ggml_op_name.restype, ggml.ggml_op_name.argtypes = ctypes.c_char_p, [ctypes.c_int]
    squares_of: dict[str, np.ndarray] = {}
    counts: dict[str, int] = {}

    @library.ggml_backend_sched_eval_callback
    def watch(address: int, ask: bool, _: Any) -> bool:
        tensor = Tensor.from_address(address)
        if ggml.ggml_op_name(tensor.op) != b"MUL_MAT":
            return not ask
        name, inputs = tensor.src[0].contents.name.decode(), tensor.src[1].contents
        if not name.endswith("weight") or inputs.type != 0:
            return not ask
        if not ask:
            squares, count = _squares(inputs)
            squares_of[name], counts[name] = squares_of.get(name, 0.0) + squares, counts.get(name, 0) + count
        return True

    params = library.llama_model_default_params()
    params.n_gpu_layers = 0
    model = library.llama_model_load_from_file(str(path).encode(), params)
    assert model, path
    settings = library.llama_context_default_params()
    settings.n_ctx = settings.n_batch = settings.n_ubatch = 256
    settings.n_threads = settings.n_threads_batch = 1
    settings.type_k = settings.type_v = 0
    settings.flash_attn_type = library.LLAMA_FLASH_ATTN_TYPE_DISABLED
    settings.cb_eval = watch
    context = library.llama_init_from_model(model, settings)
    squares_of.clear()
    counts.clear()
    try:
        for row in rows:
            library.llama_memory_clear(library.llama_get_memory(context), True)
            batch = library.llama_batch_init(len(row), 0, 1)
            batch.n_tokens = len(row)
            for position, token in enumerate(row):
                batch.token[position], batch.pos[position], batch.n_seq_id[position] = token, position, 1
                batch.seq_id[position][0], batch.logits[position] = 0, 1
            assert library.llama_decode(context, batch) == 0
            library.llama_batch_free(batch)
    finally:
        library.llama_free(context)
        library.llama_model_free(model)
    return squares_of, counts
