"""From a model folder, and an adapter if there is one, to a GGUF: everything is checked first, then one tensor at a time is written.

    plan = convert.plan(model_dir, adapter_dir, ["Q4_K_M"], chat_template=template, name="my-run", extra={})
    plan.size("Q4_K_M")              # bytes, exactly
    plan.write("Q4_K_M", open_file)  # merged, reordered, quantized, written, dropped
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, BinaryIO

import numpy as np

from converters.archs import TensorPlan, architecture
from converters.errors import ConversionError
from converters.gguf_file import TensorInfo, Value, Writer, encode_header, lay_out, padded, plain, text, u32
from converters.merge import Adapter
from converters.quantize import FILE_TYPES, check_type, choose_types, quantize
from converters.vocab import load_vocabulary
from converters.weights import FLOATS, StoredTensor, read_folder, read_json

EMBEDDINGS, HEAD = "model.embed_tokens.weight", "lm_head.weight"
QUANTIZATION_VERSION = 2
"""Of the block formats (ggml/include/ggml.h, GGML_QNT_VERSION)."""
IGNORED_TENSORS = (".rotary_emb.inv_freq", ".attention.bias", ".attention.masked_bias")
"""Ends of names of buffers that older models saved and nothing reads."""


@dataclass(frozen=True)
class Plan:
    """A conversion that passed every check. `notes`: what a user should know; `tied`: whether the output matrix is the embeddings'."""

    architecture: str
    types: tuple[str, ...]
    notes: tuple[str, ...]
    tied: bool
    _arch: ModuleType
    _config: dict[str, Any]
    _metadata: dict[str, Value]
    _tensors: tuple[TensorPlan, ...]
    _stored: dict[str, StoredTensor]
    _adapter: Adapter | None

    def metadata(self, type_name: str) -> dict[str, Value]:
        """The metadata of a file of this type, in the order written."""
        return {**self._metadata, "general.file_type": u32(FILE_TYPES[check_type(type_name)][0]),
                "general.quantization_version": u32(QUANTIZATION_VERSION)}

    def layout(self, type_name: str) -> list[TensorInfo]:
        """Every tensor of a file of this type: its type, place and size."""
        chosen = choose_types([(tensor.name, tensor.shape) for tensor in self._tensors], type_name, self._arch.blocks(self._config),
                              self._arch.seventy_b(self._config))
        return lay_out((tensor.name, tensor.shape[::-1], chosen[tensor.name]) for tensor in self._tensors)

    @property
    def tensors(self) -> tuple[TensorPlan, ...]:
        """Every tensor of the file and how it is made of the model's."""
        return self._tensors

    def size(self, type_name: str) -> int:
        """Bytes that `write` will write, exactly."""
        layout = self.layout(type_name)
        return len(encode_header(self.metadata(type_name), layout)) + sum(padded(info.size) for info in layout)

    def merged_tensor(self, name: str) -> np.ndarray:
        """One of the model's tensors in float32, with the adapter merged in (Hugging Face's name and order)."""
        stored = self._stored[name]
        if self._adapter and self._adapter.touches(name):
            return self._adapter.merge(name, stored)
        return stored.load()

    def merged(self) -> Iterator[tuple[str, np.ndarray]]:
        """All of the model's tensors, one at a time, as `merged_tensor` gives them. A tied output matrix is not repeated."""
        for tensor in self._tensors:
            for name, _ in tensor.sources:
                yield name, self.merged_tensor(name)

    def write(self, type_name: str, file: BinaryIO, progress: Callable[[int, int], None] | None = None, threads: int | None = None) -> None:
        """Write the GGUF into a file open for writing, at its start.

        progress: called after every tensor with weights done and weights in all. threads: for quantization (all usable cores).
        Raises ConversionError where a tensor holds NaN or infinity, naming it; what was written so far is then of no use.
        """
        layout = self.layout(type_name)
        writer = Writer(file, self.metadata(type_name), layout)
        total, done = sum(int(np.prod(tensor.shape)) for tensor in self._tensors), 0
        for tensor, info in zip(self._tensors, layout, strict=True):
            values = tensor.build(*(self.merged_tensor(name) for name, _ in tensor.sources))
            assert values.shape == tensor.shape, (tensor.name, values.shape, tensor.shape)
            writer.write(tensor.name, quantize(values, info.type, tensor.name, threads))
            done += values.size
            if progress:
                progress(done, total)
        writer.finish()


def plan(model_dir: Path, adapter_dir: Path | None, types: list[str], *, chat_template: str | None, name: str,
         extra: dict[str, str | int | float | bool]) -> Plan:
    """Check a conversion without reading the weights themselves.

    model_dir: a Hugging Face folder (config.json, tokenizer.json, safetensors). adapter_dir: a PEFT LoRA adapter, or None. types: names
    from `quantize.FILE_TYPES`. name: `general.name`. extra: further metadata keys.
    Raises ConversionError for whatever would not give a GGUF that computes what the model with its adapter does.
    """
    for type_name in types:
        check_type(type_name)
    config = read_json(model_dir / "config.json", 2**24)
    arch = architecture(config)
    metadata = {"general.architecture": text(arch.GGUF_NAME), "general.type": text("model"), "general.name": text(name)}
    metadata |= arch.metadata(config)
    vocabulary, notes = load_vocabulary(model_dir, config, chat_template)
    metadata |= vocabulary
    for key, value in extra.items():
        if key in metadata or key in ("general.file_type", "general.quantization_version", "general.alignment"):
            raise ConversionError(f"The metadata key {key} is taken", "The converter writes it itself.", "Use another key.")
        metadata[key] = plain(value)
    stored = read_folder(model_dir)
    adapter = Adapter(adapter_dir) if adapter_dir else None
    tied = _ties(config, stored, adapter)
    tensors = tuple(arch.tensors(config, tied))
    if not tied and bool(config.get("tie_word_embeddings", False)):
        notes.append("The adapter changes embeddings or output matrix apart from each other, so the file holds both.")
    _check_stored(tensors, stored, tied)
    if adapter:
        adapter.check({source: shape for tensor in tensors for source, shape in tensor.sources})
    return Plan(arch.GGUF_NAME, tuple(types), tuple(notes), tied, arch, config, metadata, tensors, stored, adapter)


def _ties(config: dict[str, Any], stored: dict[str, StoredTensor], adapter: Adapter | None) -> bool:
    """Whether the output matrix is the embeddings'. Fills in the one that a tied model does not store.

    A tied model whose adapter touches only one of the two, or both, computes with two different matrices, as it did in training
    (PEFT's own merge changes both there); transformers also unties two stored matrices that differ.
    """
    if not config.get("tie_word_embeddings", False):
        return False
    if EMBEDDINGS in stored and HEAD in stored:
        one, other = stored[EMBEDDINGS], stored[HEAD]
        if (one.dtype, one.shape) != (other.dtype, other.shape) or not one.size or not np.array_equal(one.raw(), other.raw()):
            return False
    for missing, present in ((HEAD, EMBEDDINGS), (EMBEDDINGS, HEAD)):
        if present in stored:
            stored.setdefault(missing, stored[present])
    return not (adapter and (adapter.touches(EMBEDDINGS) or adapter.touches(HEAD)))


def _check_stored(tensors: tuple[TensorPlan, ...], stored: dict[str, StoredTensor], tied: bool) -> None:
    """Every tensor needed is there in the right shape and a float type, and none is left over; all problems at once."""
    needed = {source: shape for tensor in tensors for source, shape in tensor.sources}
    problems = [f"{name} is missing" for name in needed if name not in stored]
    for name in needed.keys() & stored.keys():
        if stored[name].shape != needed[name]:
            problems.append(f"{name} has shape {list(stored[name].shape)}, not {list(needed[name])}")
        elif stored[name].dtype not in FLOATS:
            problems.append(f"{name} is stored as {stored[name].dtype}; only F32, F16 and BF16 are read")
    problems += [f"{name} is not part of this architecture" for name in stored.keys() - needed.keys()
                 if not name.endswith(IGNORED_TENSORS) and not (tied and name == HEAD)]
    if problems:
        more = f" … and {len(problems) - 5} more" if len(problems) > 5 else ""
        raise ConversionError("The weights do not fit config.json", "; ".join(sorted(problems)[:5]) + more + ".",
                              "Choose a complete, unquantized model folder.")
