"""Choose each tensor's type as llama.cpp does (src/llama-quant.cpp), and quantize it with ggml's own block quantization."""

import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from converters import compiled, ggml
from converters.errors import ConversionError
from converters.file_types import FILE_TYPES, UNQUANTIZED
from converters.gguf_file import GGML_TYPES, data_size

ALWAYS_F32 = ("_norm.weight", "ffn_gate_inp.weight", "position_embd.weight", "token_types.weight", "ssm_conv1d", "shortconv.conv.weight")
"""Parts of names of small or sensitive matrices that stay F32 (src/llama-quant.cpp, `tensor_allows_quantization`)."""
AT_LEAST_F16 = "per_layer_model_proj"
"""Part of the name of a matrix that is never quantized below F16 or BF16."""
EMBEDDING_MATRICES = ("token_embd.weight", "per_layer_token_embd.weight")
SMALLER_BLOCKS = {"Q2_K": "Q4_0", "Q3_K": "Q4_0", "Q4_K": "Q5_0", "Q5_K": "Q5_1", "Q6_K": "Q8_0", "IQ4_XS": "IQ4_NL"}
QUANTIZE_CHUNK = 2**18
"""Weights a thread quantizes at a time."""


def check_type(file_type: str) -> str:
    """The name itself, or a ConversionError that lists the types."""
    if file_type not in FILE_TYPES:
        raise ConversionError(f"Unknown type {file_type[:40]!r}", f"Types: {', '.join(FILE_TYPES)}.", "Choose one of these.")
    return file_type


def quantizable(name: str, shape: tuple[int, ...]) -> bool:
    """Whether a tensor is quantized at all: matrices are, except small and sensitive ones."""
    matrix = any(length > 1 for length in shape[:-1])
    return matrix and name.endswith("weight") and not any(part in name for part in ALWAYS_F32)


def _more_bits(index: int, count: int) -> bool:
    """Whether llama.cpp gives a layer more bits: the first and last eighth, and every third between (`use_more_bits`)."""
    return index < count // 8 or index >= 7 * count // 8 or (index - count // 8) % 3 == 2


def _fit(type_name: str, row: int) -> str:
    """A type whose blocks fill a row of this length: the type itself, one of smaller blocks, or F16."""
    if row % GGML_TYPES[type_name].weights:
        type_name = SMALLER_BLOCKS.get(type_name, type_name)
    return "F16" if row % GGML_TYPES[type_name].weights else type_name


def _layer_order(item: tuple[str, tuple[int, ...]]) -> tuple[int, str]:
    parts = item[0].split(".")
    return (int(parts[1]), item[0]) if parts[0] == "blk" else (-1, item[0])


def choose_types(
    tensors: Iterable[tuple[str, tuple[int, ...]]],
    file_type: str,
    blocks: int,
    *,
    gqa: int = 1,
    is_70b: bool = False,
    imatrix: bool = False,
) -> dict[str, str]:
    """The type of every tensor in a file of a given type, as `llama_model_quantize` chooses from an F32 file of a model without experts.

    tensors: GGUF names and shapes in numpy's order (row length last). blocks: number of layers. gqa: query heads for each key-value head in
    the first layer. is_70b: the shape of Llama-2-70B or Qwen2-72B, whose attention values are few and get more bits. imatrix: whether
    there is an importance matrix. Source: src/llama-quant.cpp, `llama_tensor_get_type_impl` and `tensor_type_fallback`; layers count in
    the order of their number.
    """
    ordered = sorted(tensors, key=_layer_order)
    default = FILE_TYPES[check_type(file_type)][1]
    tied = not any(name == "output.weight" for name, _ in ordered)
    values = sum(_role(name, tied) == "value" for name, _ in ordered)

    seen = {"value": 0, "down": 0}
    chosen = {}
    for name, shape in ordered:
        if not quantizable(name, shape) or (AT_LEAST_F16 in name and default not in UNQUANTIZED):
            chosen[name] = "F32"
            continue
        if default in UNQUANTIZED:
            chosen[name] = default
            continue

        role = _role(name, tied)
        type_name = default

        # The roles whose errors hurt most get more bits.
        if role == "output":
            type_name = "Q8_0" if default == "Q8_0" or shape[-1] % GGML_TYPES[default].weights else "Q6_K"
        elif role == "value":
            type_name = _value_type(file_type, default, seen["value"], values, gqa)
            if is_70b and type_name in ("Q3_K", "Q4_K"):
                type_name = "Q5_K"
        elif role == "down":
            type_name = _down_type(file_type, default, seen["down"], blocks, imatrix)
        elif role == "attention output":
            type_name = {"Q2_K": "Q3_K", "Q3_K_M": "Q4_K"}.get(file_type, default)

        if role in seen:
            seen[role] += 1
        chosen[name] = _fit(type_name, shape[-1])
    return chosen


def _role(name: str, tied: bool) -> str:
    if name == "output.weight" or (tied and name in EMBEDDING_MATRICES):
        return "output"
    if "attn_v.weight" in name or "attn_qkv.weight" in name or "attn_kv_b.weight" in name:
        return "value"
    if "attn_output.weight" in name:
        return "attention output"
    return "down" if "ffn_down" in name else "other"


def _value_type(file_type: str, default: str, index: int, count: int, gqa: int) -> str:
    match file_type:
        case "Q4_K_M" | "Q5_K_M" if _more_bits(index, count):
            return "Q6_K"
        case "Q4_K_S" if index < 4:
            return "Q5_K"
        case "IQ4_NL" | "IQ4_XS" if gqa >= 4:
            return "Q5_K"
        case "Q3_K_M":
            return "Q5_K" if index < 2 else "Q4_K"
        case "Q2_K":
            return "Q4_K" if gqa >= 4 else "Q3_K"
    return default


def _down_type(file_type: str, default: str, index: int, count: int, imatrix: bool) -> str:
    early = index < count // 8
    match file_type:
        case "Q4_K_M" | "Q5_K_M" if _more_bits(index, count):
            return "Q6_K"
        case "Q4_K_S" if early:
            return "Q5_K"
        case "Q4_0" if early and imatrix:
            return "Q4_1"
        case "IQ4_NL" | "IQ4_XS" if early and not imatrix:
            return "Q5_K"
        case "Q3_K_M":
            return "Q5_K" if index < count // 16 else "Q4_K"
        case "Q2_K":
            return "Q3_K"
    return default


def usable_cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _overflow(name: str, type_name: str, weighed: bool = False) -> ConversionError:
    if weighed:
        return ConversionError(
            f"{name} does not fit {type_name} under this importance matrix",
            "Some weights, block scales or importances are larger than this type can hold.",
            "Export without the importance matrix, or as F32 or BF16.",
        )
    return ConversionError(
        f"{name} does not fit {type_name}",
        "Some of its weights or block scales are larger than this type can hold.",
        "Export as F32 or BF16 instead.",
    )


def quantize_tensor(
    values: np.ndarray, type_name: str, name: str = "tensor", threads: int | None = None, importance: np.ndarray | None = None
) -> np.ndarray:
    """Turn float32 [..., row] into the bytes of a ggml type (uint8, flat), the same bytes that llama.cpp writes.

    importance: float32 [row], the importance of each column. Types without use for it ignore it.
    Raises ConversionError where a value is out of the type's range.
    """
    assert values.dtype == np.float32
    if type_name == "F32":
        return np.ascontiguousarray(values).reshape(-1).view(np.uint8)
    return _blocks(np.ascontiguousarray(values).reshape(-1, values.shape[-1]), type_name, name, threads or usable_cores(), importance)


def _blocks(rows: np.ndarray, type_name: str, name: str, threads: int, importance: np.ndarray | None) -> np.ndarray:
    count, length = rows.shape
    row_bytes = data_size((length,), type_name)
    out = np.empty(count * row_bytes, np.uint8)
    step = max(1, QUANTIZE_CHUNK // length)
    if importance is not None:
        importance = np.ascontiguousarray(importance, np.float32)
        assert importance.shape == (length,), (name, importance.shape, length)

    # ggml fills its tables on first use, which is not safe from several threads.
    ggml.initialize_type(type_name)
    kernel = compiled.kernel_if_worthwhile(type_name, importance is not None, rows.size)

    def work(first: int) -> bool:
        part = rows[first : first + step]
        target = out[first * row_bytes : (first + step) * row_bytes]
        if kernel is None:
            written = ggml.quantize_rows(part, type_name, target, importance)
        else:
            written = compiled.run_kernel(kernel, part, type_name, target, importance)
        return written == target.size and ggml.blocks_valid(type_name, target)

    firsts = range(0, count, step)
    if threads == 1 or len(firsts) == 1:
        fits = all(map(work, firsts))
    else:
        with ThreadPoolExecutor(threads) as pool:
            fits = all(pool.map(work, firsts))
    if not fits:
        raise _overflow(name, type_name, importance is not None)
    return out
