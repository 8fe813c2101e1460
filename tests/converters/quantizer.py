"""llama.cpp's own quantizer, to compare with: the file it writes, the types it would choose (a dry run reads no weights), and models."""

import ctypes
import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from converters.archs import TensorPlan, llama, with_defaults
from converters.file_types import FILE_TYPES
from converters.gguf_file import Value, encode_header, lay_out, padded, text
from converters.imatrix import Entry, ImportanceMatrix
from converters.quantize import quantizable
from tests.converters.reference import byte_level_tokenizer, qwen2_steps

Importance = dict[str, np.ndarray]


def _parameters(library: Any, type_name: str, importance: Importance | None) -> Any:
    params = library.llama_model_quantize_default_params()
    params.ftype, params.nthread = FILE_TYPES[type_name][0], 1
    if importance is not None:
        entries = (library.llama_model_imatrix_data * (len(importance) + 1))()
        for entry, (name, values) in zip(entries, importance.items(), strict=False):
            entry.name, entry.size = name.encode(), values.size
            entry.data = values.ctypes.data_as(ctypes.POINTER(ctypes.c_float))
        params.imatrix = ctypes.cast(entries, type(params.imatrix))
    return params


def quantize_file(library: Any, source: Path, target: Path, type_name: str, importance: Importance | None = None) -> bool:
    """Whether `llama_model_quantize` wrote `target`. importance: a float32 array a tensor, sums of squares over their counts."""
    params = _parameters(library, type_name, importance)
    return bool(library.llama_model_quantize(str(source).encode(), str(target).encode(), ctypes.byref(params)) == 0)


@cache
def _silence(library: Any) -> Any:
    @library.llama_log_callback
    def drop(level: int, message: bytes, data: Any) -> None:
        """Drop the message."""

    return drop


def chosen_types(library: Any, source: Path, type_name: str, importance: Importance | None = None) -> dict[str, str]:
    """The type of every tensor that `llama_model_quantize` would write from an F32 file, as its log says."""
    lines: list[str] = []

    @library.llama_log_callback
    def keep(level: int, message: bytes, data: Any) -> None:
        lines.append(message.decode())

    params = _parameters(library, type_name, importance)
    params.dry_run = True
    library.llama_log_set(keep, ctypes.c_void_p(0))
    try:
        assert library.llama_model_quantize(str(source).encode(), b"", ctypes.byref(params)) == 0, "".join(lines)
    finally:
        library.llama_log_set(_silence(library), ctypes.c_void_p(0))
    found = re.findall(r"\] +(\S+) +- \[.*?\], type = +f32, size = [^\n(]*(?:\((\w+)\))?\n", "".join(lines))
    return {name: (kind or "f32").upper() for name, kind in found}


def _tensors(config: dict[str, Any]) -> list[TensorPlan]:
    return llama.tensors(with_defaults(config), config["tie_word_embeddings"])


def write_header(path: Path, config: dict[str, Any], architecture: str = "llama") -> list[TensorPlan]:
    """A sparse F32 file of a configuration: all that a dry run looks at. Returns its tensors."""
    tensors = _tensors(config)
    keys = {key.replace("llama.", f"{architecture}.", 1): value for key, value in llama.metadata(with_defaults(config)).items()}
    metadata: dict[str, Value] = {"general.architecture": text(architecture)} | keys
    layout = lay_out((tensor.name, tensor.shape[::-1], "F32") for tensor in tensors)
    header = encode_header(metadata, layout)
    with open(path, "wb") as file:
        file.write(header)
        file.truncate(len(header) + layout[-1].offset + padded(layout[-1].size))
    return tensors


def write_model(folder: Path, config: dict[str, Any]) -> Path:
    """A Llama folder of random weights, with rows that blocks find hard: zeros, equal values, outliers, tiny numbers."""
    from safetensors.numpy import save_file

    rng = np.random.default_rng(0)
    weights = {}
    for tensor in _tensors(config):
        for name, shape in tensor.sources:
            values = rng.normal(0, 0.05, shape).astype(np.float32)
            if len(shape) > 1:
                values[0], values[1], values[2] = 0, 0.3, values[2] * 1e-30
                values[3] = np.abs(values[3])
                values[4, ::37] = 9
            weights[name] = values
    folder.mkdir()
    save_file(weights, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(config))
    byte_level_tokenizer(folder, min(config["vocab_size"], 300), qwen2_steps())
    return folder


def importance_of(config: dict[str, Any], without: str = "blk.0.ffn_up.weight") -> ImportanceMatrix:
    """A random importance matrix for a configuration: channels from dead to very busy, one matrix left out, embeddings that do not fit."""
    rng = np.random.default_rng(1)
    entries = {"token_embd.weight": Entry(np.ones((1, 7), np.float32), np.array([5]))}
    for tensor in _tensors(config):
        if quantizable(tensor.name, tensor.shape) and tensor.name not in ("token_embd.weight", without):
            sums = (rng.standard_cauchy((1, tensor.shape[-1])) ** 2).astype(np.float32)
            sums[:, ::11] = 0
            entries[tensor.name] = Entry(sums, np.array([rng.integers(1, 10_000)]))
    return ImportanceMatrix(entries, ("data/some text.txt",), 3, 512, "some.imatrix.gguf")


def over_counts(matrix: ImportanceMatrix) -> Importance:
    """What llama-quantize hands to `llama_model_quantize` of an importance matrix without experts."""
    return {name: entry.sums[0] / np.float32(entry.counts[0]) for name, entry in matrix.entries.items()}
