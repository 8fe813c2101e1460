"""Convert a GGUF back to a model folder: check everything first, then dequantize, reorder and write one tensor at a time.

    plan = restore.plan_restoration(Path("model-Q4_K_M.gguf"))
    plan.config, plan.generation, plan.tokenizer     # the small files
    for shard in plan.shards:
        plan.write(shard, open_file)

The configuration is converted to GGUF metadata again and compared with the file, key by key and tensor by tensor, so that nothing in the
file is lost silently.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from converters.archs import SAME, TensorPlan, restoring, supported, with_defaults
from converters.errors import ConversionError
from converters.gguf_file import Value, read_header
from converters.gguf_model import FLOAT_TYPES, GgufModel
from converters.quantize import quantize_tensor
from converters.text_part import LM_HEAD
from converters.tokenizer_json import TokenizerFiles, load_tokenizer
from converters.vocab import load_vocabulary
from converters.weights import FLOAT_DTYPES, TORCH_DTYPES, JsonObject, check_finite

MAX_SHARD_BYTES = 5 * 10**9
"""Bytes of weights in a file at most, unless one tensor alone has more."""
HARMLESS_SETTINGS: dict[str, Any] = {
    "rope.scaling.type": "none",
    "expert_count": 0,
    "expert_used_count": 0,
    "leading_dense_block_count": 0,
    "attention.causal": True,
    "attention.sliding_window": 0,
    "tensor_data_layout": "Meta AI original pth",
    "nextn_predict_layers": 0,
    "rope.scaling.finetuned": True,
}
"""Values of architecture keys that change nothing and that this converter does not write."""


class FolderTensor(NamedTuple):
    """A tensor of the model folder: its name there, its shape, and the plan that builds the GGUF's tensor from it."""

    name: str
    shape: tuple[int, ...]
    plan: TensorPlan


class Shard(NamedTuple):
    """One safetensors file."""

    name: str
    tensors: tuple[FolderTensor, ...]


@dataclass(frozen=True)
class Restoration:
    """A GGUF that passed every check. dtype: of the weights to be written. notes: what a user should know."""

    config: JsonObject
    tokenizer: TokenizerFiles
    dtype: str
    shards: tuple[Shard, ...]
    notes: tuple[str, ...]
    _arch: ModuleType
    _file: GgufModel

    @property
    def generation(self) -> JsonObject:
        """generation_config.json: where an answer ends."""
        ids = {key: number for key, number in self.tokenizer.ids.items() if number is not None}
        return ids | ({"eos_token_id": self.tokenizer.stops} if len(self.tokenizer.stops) > 1 else {})

    @property
    def size(self) -> int:
        """Bytes of all weights."""
        return sum(_bytes(entry, self.dtype) for shard in self.shards for entry in shard.tensors)

    @property
    def room(self) -> int:
        """Bytes that the folder takes at most: the weights, and the vocabulary in a longer form than the GGUF's."""
        return self.size + 8 * self._file.header.data_start + 2**20

    @property
    def origin(self) -> JsonObject:
        """imported_from.json: the file itself, so that an export can take what training left alone from it, block by block."""
        return {"gguf": str(self._file.header.path.resolve())}

    @property
    def index(self) -> JsonObject | None:
        """model.safetensors.index.json, where there are several files."""
        if len(self.shards) == 1:
            return None
        weight_map = {tensor.name: shard.name for shard in self.shards for tensor in shard.tensors}
        return {"metadata": {"total_size": self.size}, "weight_map": weight_map}

    def check_vocabulary(self, folder: Path) -> None:
        """Check the written tokenizer files against the GGUF. Raises ConversionError where they differ."""
        original = self._file.header.metadata
        converted, _ = load_vocabulary(folder, self.config, None, **getattr(self._arch, "VOCABULARY", {}))
        for key in ("model", "tokens", "merges", "scores"):
            ours = converted.get(f"tokenizer.ggml.{key}")
            theirs = original.get(f"tokenizer.ggml.{key}")
            if ours is not None and theirs is not None and not np.array_equal(ours.data, theirs):
                raise ConversionError(
                    "The vocabulary cannot be converted back",
                    f"The restored tokenizer.json has different {key}.",
                    "Use another GGUF file, or the original model folder.",
                )

    def write(self, shard: Shard, file: BinaryIO, progress: Callable[[int], None] | None = None) -> None:
        """Write a safetensors file into an open one, at its start. progress: called with the bytes of every part written.

        Raises ConversionError where a tensor holds NaN or infinity, naming it, or does not fit into the type.
        """
        header: JsonObject = {"__metadata__": {"format": "pt"}}
        end = 0
        for entry in shard.tensors:
            start = end
            end += _bytes(entry, self.dtype)
            header[entry.name] = {"dtype": TORCH_DTYPES[self.dtype], "shape": list(entry.shape), "data_offsets": [start, end]}

        encoded = json.dumps(header, separators=(",", ":")).encode()
        encoded += b" " * (-len(encoded) % 8)
        file.write(len(encoded).to_bytes(8, "little") + encoded)

        for entry in shard.tensors:
            size = 0
            for values in self.values(entry):
                check_finite(values, entry.name, self._file.header.path)
                raw = quantize_tensor(values.reshape(-1, values.shape[-1]), TORCH_DTYPES[self.dtype], entry.name).reshape(-1)
                file.write(raw.data)
                size += raw.nbytes
                if progress:
                    progress(raw.nbytes)
            assert size == _bytes(entry, self.dtype), entry

    def values(self, entry: FolderTensor) -> Iterator[np.ndarray]:
        """A tensor of the model in float32, some rows at a time where nothing is reordered."""
        if entry.plan.build is SAME:
            yield from self._file.slabs(entry.plan.name)
            return
        restored = entry.plan.build.undo(self._file.tensor(entry.plan.name))
        assert restored.shape == entry.shape, entry
        yield restored


def _bytes(entry: FolderTensor, dtype: str) -> int:
    return int(np.prod(entry.shape, dtype=np.int64)) * FLOAT_DTYPES[TORCH_DTYPES[dtype]].itemsize


def plan_restoration(path: Path, dtype: str | None = None, shard: int = MAX_SHARD_BYTES) -> Restoration:
    """Check a GGUF without reading the weights themselves.

    dtype: one of TORCH_DTYPES; None: the file's own where most of its weights are not quantized, else bfloat16. shard: bytes in one file.
    Raises ConversionError for a file that is not valid, or that no model folder can represent.
    """
    file = GgufModel(read_header(path))
    arch = _architecture(file)
    config = {"model_type": arch.__name__.rpartition(".")[2], **arch.configuration(file)}
    tokenizer = load_tokenizer(file.header)

    size = config["vocab_size"]
    tokens = len(file.header.metadata["tokenizer.ggml.tokens"])
    if len(tokenizer.tokenizer["model"]["vocab"]) > size or tokens != size:
        raise file.invalid(f"It has {tokens} tokens and embeddings for {size}.")

    # What the configuration gives when converted to a GGUF again must be what the file holds.
    try:
        full = with_defaults(config)
        converted = arch.metadata(full)
        plans = arch.tensors(full, file.tied)
    except ConversionError as error:
        cause = f"{error.title}: {error.cause}"
        raise ConversionError(
            f"{path.name} cannot be converted back", cause, "Use another GGUF file, or the original model folder."
        ) from error
    _same_settings(file, converted)
    _same_tensors(file, plans)

    notes = []
    quantized = _main_type(file)
    chosen = dtype or next((name for name, kind in TORCH_DTYPES.items() if kind == quantized), "bfloat16")
    if quantized not in TORCH_DTYPES.values():
        notes.append(f"The weights were quantized ({quantized}): the precision lost there cannot be recovered.")
    entries = [
        FolderTensor(name, shape, tensor) for tensor in plans for name, shape in tensor.sources if not (file.tied and name == LM_HEAD)
    ]
    config |= {"architectures": [arch.CLASS], "dtype": chosen, **tokenizer.ids}
    return Restoration(config, tokenizer, chosen, _shards(entries, chosen, shard), tuple(notes), arch, file)


def _architecture(file: GgufModel) -> ModuleType:
    """The architecture's module; refuses files that are not a complete text model."""
    metadata = file.header.metadata
    name = file.header.path.name
    parts = metadata.get("split.count", 1)
    kind = metadata.get("general.type", "model")
    if not _equal(parts, 1):
        raise ConversionError(
            f"{name} is one of {str(parts)[:40]} parts",
            "Models that are split over several GGUF files are not supported.",
            "Join them with llama.cpp's llama-gguf-split --merge.",
        )
    if not isinstance(kind, str) or kind != "model":
        raise ConversionError(f"{name} is not a model", f"It holds a {str(kind)[:40]}.", "Choose the model's own file.")

    arch = restoring(file.arch)
    if arch is None:
        raise ConversionError(
            f"GGUF files of the architecture {file.arch[:40]!r} cannot be converted back",
            f"Supported model types: {', '.join(supported())}.",
            "Use a model of one of these types.",
        )

    odd = next((info for info in file.header.tensors.values() if info.type not in FLOAT_TYPES), None)
    if odd:
        raise ConversionError(
            f"The type {odd.type} cannot be dequantized",
            f"The tensor {odd.name} of {name} has it.",
            "Use another GGUF file, or the original model folder.",
        )
    return arch


def _same_settings(file: GgufModel, converted: dict[str, Value]) -> None:
    """Refuse, by name, settings of the architecture that the configuration does not reproduce."""
    for key, value in file.header.metadata.items():
        name = key.removeprefix(f"{file.arch}.")
        if name == key or (name in HARMLESS_SETTINGS and key not in converted and _equal(HARMLESS_SETTINGS[name], value)):
            continue

        # Older converters wrote these too; a model folder gives the same values by default.
        if key not in converted and name in ("attention.key_length", "attention.value_length", "rope.dimension_count"):
            heads = file.integer("attention.head_count")
            if _equal(value, file.integer("embedding_length") // heads):
                continue
        if key not in converted and name == "vocab_size" and _equal(value, file.shape("token_embd.weight")[0]):
            continue

        if key not in converted or not _equal(converted[key].data, value):
            raise ConversionError(
                f"The setting {key} cannot be converted back",
                f"It is {str(value)[:100]} in {file.header.path.name}; a model folder of this architecture cannot express that.",
                "Use another GGUF file, or the original model folder.",
            )


def _equal(first: Any, second: Any) -> bool:
    if isinstance(first, float) and isinstance(second, float):
        return bool(np.float32(first) == np.float32(second))
    return np.array_equal(np.asarray(first), np.asarray(second))


def _same_tensors(file: GgufModel, plans: list[TensorPlan]) -> None:
    """Refuse missing, extra and misshapen tensors, all together, and computed tensors that differ from what the settings give."""
    planned = {plan.name: plan for plan in plans}
    problems = []
    for name, plan in planned.items():
        if not file.has(name):
            problems.append(f"{name} is missing")
        elif file.shape(name) != plan.shape:
            problems.append(f"{name} has shape {list(file.shape(name))}, not {list(plan.shape)}")
        elif not plan.sources and not np.allclose(file.tensor(name), plan.build(), rtol=1e-5, atol=0):
            problems.append(f"{name} holds other values than the settings give")

    extra = file.header.tensors.keys() - planned.keys()
    problems += [f"{name} is not part of this architecture" for name in extra if not (file.tied and name == "output.weight")]
    if problems:
        more = f" … and {len(problems) - 5} more" if len(problems) > 5 else ""
        raise ConversionError(
            f"The tensors of {file.header.path.name} do not fit its settings",
            "; ".join(sorted(problems)[:5]) + more + ".",
            "Download the file again, or use another one.",
        )


def _main_type(file: GgufModel) -> str:
    """The type that most weights have."""
    weights: dict[str, int] = {}
    for info in file.header.tensors.values():
        weights[info.type] = weights.get(info.type, 0) + int(np.prod(info.shape, dtype=np.int64))
    return max(weights, key=lambda kind: weights[kind])


def _shards(entries: list[FolderTensor], dtype: str, limit: int) -> tuple[Shard, ...]:
    """The tensors in their order, in a new file where one would exceed `limit` bytes."""
    groups: list[list[FolderTensor]] = [[]]
    size = 0
    for entry in entries:
        size += _bytes(entry, dtype)
        if groups[-1] and size > limit:
            groups.append([])
            size = _bytes(entry, dtype)
        groups[-1].append(entry)
    if len(groups) == 1:
        return (Shard("model.safetensors", tuple(groups[0])),)
    return tuple(Shard(f"model-{number:05d}-of-{len(groups):05d}.safetensors", tuple(group)) for number, group in enumerate(groups, 1))
