"""Convert a model folder, with or without adapters, to a GGUF: check everything first, then write one tensor after the other.

plan = convert.plan_gguf(model_dir, adapter_dir, ["Q4_K_M"], chat_template=template, name="my-run", extra={})
plan.size("Q4_K_M")              # bytes, exactly
plan.write("Q4_K_M", open_file)  # merged, reordered, quantized and written, some rows at a time
"""

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise, repeat
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from converters import four_bit, text_part
from converters.archs import TensorPlan, architecture, with_defaults
from converters.errors import ConversionError
from converters.file_types import FILE_TYPES, UNQUANTIZED
from converters.gguf_file import GGML_TYPES, Sink, TensorInfo, Value, Writer, encode_header, lay_out, padded, scalar_value, text, u32
from converters.grid import GridFigures
from converters.imatrix import ImportanceMatrix
from converters.inputs import MatrixInput, matrix_inputs
from converters.mix import Mix, WeightedAdapter
from converters.quantize import check_type, choose_types, quantizable, usable_cores
from converters.rounding import KEEPS_CHANGE, ROUNDING_KEY, Rounding, read_origin
from converters.slabs import in_order, slab_rows, slab_size, slabs
from converters.text_part import LM_HEAD
from converters.vocab import load_vocabulary
from converters.weights import FLOAT_DTYPES, RowSelection, StoredTensor, read_folder, read_json

DEFAULT_EMBEDDINGS = "model.embed_tokens.weight"
QUANTIZATION_VERSION = 2
"""Of the block formats (ggml/include/ggml.h, GGML_QNT_VERSION)."""
Part = tuple[TensorPlan, int, dict[str, np.ndarray]]
"""Some rows of a tensor: its plan, their number of weights, and their bytes in each type."""
IGNORED_BUFFERS = (".rotary_emb.inv_freq", ".attention.bias", ".attention.masked_bias", ".attn.bias", ".attn.masked_bias")
"""Ends of names of buffers that older models saved and nothing reads."""


@dataclass(frozen=True)
class Plan:
    """A conversion that passed every check. notes: for the user. tied: whether the output matrix is the embeddings'."""

    architecture: str
    types: tuple[str, ...]
    notes: tuple[str, ...]
    tied: bool
    _arch: ModuleType
    _config: dict[str, Any]
    _metadata: dict[str, Value]
    _tensors: tuple[TensorPlan, ...]
    _stored: dict[str, StoredTensor]
    _adapter: Mix | None
    _imatrix: ImportanceMatrix | None
    _rounding: Rounding

    def metadata(self, type_name: str) -> dict[str, Value]:
        """The metadata of a file of this type, in the order written."""
        number, default = FILE_TYPES[check_type(type_name)]
        source = self._imatrix.metadata() if self._imatrix and default not in UNQUANTIZED else {}
        on_grid = self.on_grid(type_name)
        if on_grid:
            source[ROUNDING_KEY] = text(f"{KEEPS_CHANGE} ({len(on_grid)} tensors)")
        return {**self._metadata, **source, "general.file_type": u32(number), "general.quantization_version": u32(QUANTIZATION_VERSION)}

    def layout(self, type_name: str) -> list[TensorInfo]:
        """Every tensor of a file of this type: its type, offset and size."""
        chosen = self._chosen(type_name)
        return lay_out((tensor.name, tensor.shape[::-1], chosen[tensor.name]) for tensor in self._tensors)

    def _chosen(self, type_name: str) -> dict[str, str]:
        is_70b = getattr(self._arch, "is_70b", None)
        return choose_types(
            ((tensor.name, tensor.shape) for tensor in self._tensors),
            type_name,
            _layers(self._tensors),
            gqa=_shared_heads(self._metadata),
            is_70b=is_70b is not None and is_70b(self._config),
            imatrix=self._imatrix is not None,
        )

    def on_grid(self, type_name: str) -> dict[str, GridFigures]:
        """The trained tensors whose base lies on a grid that matters in a file of this type, each with what tells it.

        They are rounded so that they hold the change (`keep_change`).
        """
        return self._rounding.on_grid(self._chosen(type_name))

    @property
    def tensors(self) -> tuple[TensorPlan, ...]:
        """Every tensor of the file and how it is built from the model's."""
        return self._tensors

    def replaced(self, tensors: Sequence[TensorPlan] = (), metadata: Mapping[str, Value] | None = None) -> "Plan":
        """The same conversion with tensors of these names built in another way, and with metadata added or changed."""
        builds = {tensor.name: tensor for tensor in tensors}
        assert builds.keys() <= {tensor.name for tensor in self._tensors}, builds
        changed = tuple(builds.get(tensor.name, tensor) for tensor in self._tensors)
        rounding = replace(self._rounding, tensors=changed, _figures={})
        return replace(self, _tensors=changed, _rounding=rounding, _metadata={**self._metadata, **(metadata or {})})

    def inputs(self) -> list[MatrixInput]:
        """The input of every matrix that can be quantized."""
        return matrix_inputs(self._tensors, getattr(self._arch, "TRANSPOSED", ()))

    def size(self, type_name: str) -> int:
        """Bytes that `write` will write, exactly."""
        layout = self.layout(type_name)
        return len(encode_header(self.metadata(type_name), layout)) + sum(padded(info.size) for info in layout)

    def merged_tensor(self, name: str, rows: RowSelection = slice(None)) -> np.ndarray:
        """One of the model's tensors, or some of its rows, in float32, with the adapter merged in (Hugging Face's name and order)."""
        stored = self._stored[name]
        if self._adapter and self._adapter.touches(name):
            return self._adapter.merge(name, stored, rows)
        return stored.load(rows)

    def merged(self) -> Iterator[tuple[str, np.ndarray]]:
        """All of the model's tensors, one at a time, as `merged_tensor` gives them. A tied output matrix is not repeated."""
        for tensor in self._tensors:
            for name, _ in tensor.sources:
                yield name, self.merged_tensor(name)

    def write(self, type_name: str, file: Sink, progress: Callable[[int, int], None] | None = None, threads: int | None = None) -> None:
        """Write the GGUF of one type; see `write_all`."""
        self.write_all({type_name: file}, progress, threads)

    def write_all(self, files: Mapping[str, Sink], progress: Callable[[int, int], None] | None = None, threads: int | None = None) -> None:
        """Write a GGUF of each type into a file open for writing, at its start; every tensor is read and merged once.

        progress: called with weights done and weights in total. threads: by default as many as usable cores.
        Raises ConversionError where a tensor holds NaN or infinity, naming it; the incomplete file is then useless.
        """
        threads = threads or usable_cores()
        layouts = [self.layout(type_name) for type_name in files]
        writers = [Writer(file, self.metadata(type_name), layout) for (type_name, file), layout in zip(files.items(), layouts, strict=True)]
        types_in = [{info.name: info.type for info in layout} for layout in layouts]
        total = sum(int(np.prod(tensor.shape)) for tensor in self._tensors)
        done = 0

        # Slabs are quantized by threads, several ahead; they are written in order, as every file is laid out alike.
        for tensor, count, parts in in_order(self._parts(list(files), layouts, slab_size(threads)), threads):
            for writer, types in zip(writers, types_in, strict=True):
                writer.write(tensor.name, parts[types[tensor.name]])
            done += count
            if progress:
                progress(done, total)

        for writer in writers:
            writer.finish()

    def _parts(self, files: list[str], layouts: list[list[TensorInfo]], slab_weights: int) -> Iterator[Callable[[], Part]]:
        """For every slab of every tensor the function that quantizes it to all types. files: each file's type, beside its layout."""
        on_grid = [self.on_grid(type_name) for type_name in files]
        for tensor, in_files in zip(self._tensors, zip(*layouts, strict=True), strict=True):
            importance = self._imatrix.importance(tensor.name, tensor.shape[-1]) if self._imatrix else None
            types = {info.type: names.get(tensor.name) for info, names in zip(in_files, on_grid, strict=True)}
            kept = {name: seen for name, seen in types.items() if seen}
            stretches = {
                name: None if seen.on_own_grid else self._rounding.stretch(tensor, name, self.merged_tensor) for name, seen in kept.items()
            }

            # What training changed is held against what was there, a slab of each at a time.
            before = slabs(tensor, self._rounding.before, slab_weights) if kept else repeat(None)
            first = 0
            for slab, old in zip(slabs(tensor, self.merged_tensor, slab_weights), before, strict=bool(kept)):
                yield partial(self._quantized, tensor, list(types), importance, slab, old, stretches, first)
                first += slab_rows(tensor, slab_weights)

    def _quantized(
        self,
        tensor: TensorPlan,
        types: list[str],
        importance: np.ndarray | None,
        slab: Callable[[], np.ndarray],
        before: Callable[[], np.ndarray] | None,
        stretches: dict[str, float | None],
        first: int,
    ) -> Part:
        """Build a slab and quantize it to each type. stretches: by type whose change is kept, by how much (`Rounding.quantized`)."""
        values = slab()
        old = before() if before else None
        quantize = partial(self._rounding.quantized, tensor, values=values, importance=importance, first=first)
        return (
            tensor,
            values.size,
            {name: quantize(name, before=old if name in stretches else None, stretch=stretches.get(name)) for name in types},
        )


def plan_gguf(
    model_dir: Path,
    adapter_dir: Path | Sequence[WeightedAdapter] | None,
    types: list[str],
    *,
    chat_template: str | None,
    name: str,
    extra: dict[str, str | int | float | bool],
    ends: Sequence[str] = (),
    opens: bool = False,
    imatrix: ImportanceMatrix | None = None,
    before: Path | None = None,
) -> Plan:
    """Check a conversion without reading the weights themselves.

    model_dir: a Hugging Face folder (config.json, tokenizer.json, safetensors). adapter_dir: a PEFT LoRA adapter, several with
    weights, or None; a tokenizer.json beside an adapter is the one it was trained with and is used. types: names from
    `quantize.FILE_TYPES`. name: `general.basename`; `general.name` is chosen by the tokenizer (added_tokens.py). extra: further metadata
    keys. ends: the tokens that end an answer in the chat template. opens: whether what it writes begins with a special token.
    imatrix: the importance of input channels. before: the base that the model was trained from as a whole, where that is known and there is
    no adapter.
    Of a model that also sees or hears the text part is converted, and only what an adapter changes there.
    Raises ConversionError for everything that would give a GGUF that computes differently from the model with its adapter.
    """
    for type_name in types:
        check_type(type_name)

    base = open_base(model_dir)
    arch, config, stored, notes = base.arch, base.config, base.stored, list(base.notes)
    known_base = stored if before is None else open_base(before).stored

    # Training may have added tokens: the adapters' tokenizer and vocabulary size then count, not the base's.
    adapter = None
    tokenizer = model_dir
    if adapter_dir:
        weighted = [(adapter_dir, 1.0)] if isinstance(adapter_dir, Path) else list(adapter_dir)
        adapter = Mix(weighted)
        if base.is_part:
            notes += adapter.leave_out(stored)
        trained_tokenizer = _tokenizer([folder for folder, _ in weighted])
        if trained_tokenizer:
            tokenizer = trained_tokenizer
            notes.append(f"The tokenizer comes from the adapter {trained_tokenizer.name}.")
        config = _grown(config, stored, adapter, embeddings_name(arch))

    # Keys are written in the order in which they are added here.
    options = getattr(arch, "VOCABULARY", {})
    vocabulary, differences = load_vocabulary(tokenizer, config, chat_template, name=name, ends=ends, opens=opens, **options)
    metadata = {"general.architecture": text(arch.GGUF_NAME), "general.type": text("model"), "general.name": vocabulary["general.name"]}
    metadata |= {"general.basename": text(name)} | arch.metadata(config) | vocabulary
    notes += differences

    for key, value in extra.items():
        if key in metadata or key in ("general.file_type", "general.quantization_version", "general.alignment"):
            raise ConversionError(f"The metadata key {key} is reserved", "The converter writes this key itself.", "Use another key.")
        metadata[key] = scalar_value(value)

    tied = ties(arch, config, stored, adapter)
    tensors = tuple(arch.tensors(config, tied))
    metadata["general.size_label"] = text(_size_label(tensors))
    if not tied and bool(config["tie_word_embeddings"]):
        notes.append("The adapter changes the embeddings and the output matrix separately, so the file holds both.")

    # Names and shapes of base, adapter and importance matrix are checked before any weight is read.
    _check_stored(tensors, stored, tied, getattr(arch, "IGNORED_TENSORS", None))
    if adapter:
        adapter.check({source: shape for tensor in tensors for source, shape in tensor.sources}, getattr(arch, "TRANSPOSED", ()))
    shapes = {tensor.name: tensor.shape for tensor in tensors if quantizable(tensor.name, tensor.shape)}
    missing = imatrix.check(shapes) if imatrix else []
    if missing:
        notes.append(f"The importance matrix has no values for {len(missing)} matrices ({missing[0]} …): these are quantized without it.")

    # What a tensor was before training, where it has the same shape still.
    known = {name: tensor for name, tensor in known_base.items() if name in stored and stored[name].shape == tensor.shape}
    changed = (lambda _: True) if before else adapter.touches if adapter else (lambda _: False)
    rounding = Rounding(tensors, known, changed, read_origin(before or model_dir))
    plan = Plan(arch.GGUF_NAME, tuple(types), (), tied, arch, config, metadata, tensors, stored, adapter, imatrix, rounding)
    notes += [note for type_name in plan.types if (note := _in_name_only(type_name, plan.layout(type_name)))]
    return replace(plan, notes=tuple(notes))


def _in_name_only(type_name: str, layout: Sequence[TensorInfo]) -> str:
    """What a file of this type holds instead, where its rows are too short for the blocks of the type it is named after; else nothing."""
    default = FILE_TYPES[type_name][1]
    weights: dict[str, int] = {}
    for info in layout:
        if quantizable(info.name, info.shape[::-1]):
            weights[info.type] = weights.get(info.type, 0) + math.prod(info.shape)
    if default in weights or default in UNQUANTIZED or not weights:
        return ""
    shares = ", ".join(f"{count / sum(weights.values()):.0%} {held}" for held, count in sorted(weights.items(), key=lambda item: -item[1]))
    return (
        f"The {type_name} holds no {default}: its blocks of {GGML_TYPES[default].weights} weights do not fill this model's rows. "
        f"As llama.cpp does, it takes other types: {shares} of the weights in matrices."
    )


def _shared_heads(metadata: dict[str, Value]) -> int:
    """Query heads for each key-value head in the first layer, 0 where it has none (src/llama-hparams.cpp, `n_gqa`)."""
    arch = metadata["general.architecture"].data
    heads = metadata.get(f"{arch}.attention.head_count", u32(0))
    kv_heads = metadata.get(f"{arch}.attention.head_count_kv", heads)
    first, first_kv = (int(np.atleast_1d(value.data)[0]) for value in (heads, kv_heads))
    return first // first_kv if first_kv else 0


def _tokenizer(folders: list[Path]) -> Path | None:
    """The adapter folder whose tokenizer is used, None without any; adapters trained with different ones cannot be combined."""
    with_tokenizer = [folder for folder in folders if (folder / "tokenizer.json").is_file()]
    for first, other in pairwise(with_tokenizer):
        if read_json(first / "tokenizer.json") != read_json(other / "tokenizer.json"):
            raise ConversionError(
                "The adapters cannot be combined",
                f"{first.name} and {other.name} were trained with different tokenizers.",
                "Choose one of them.",
            )
    return with_tokenizer[0] if with_tokenizer else None


def _grown(config: dict[str, Any], stored: dict[str, StoredTensor], adapter: Mix, embeddings: str) -> dict[str, Any]:
    """The configuration with the vocabulary's size as the adapters left it. Puts the base's own tensors that they carry into `stored`.

    Where the vocabulary grew, PEFT saves the grown matrices beside the factors; of a tied base both are the one that is there.
    """
    matrices = embeddings, LM_HEAD
    carried = adapter.replacements(matrices)
    stored |= carried

    # A tied base has one matrix, so PEFT saved only one of the two.
    if config["tie_word_embeddings"] and len(carried) == 1:
        for name in matrices:
            stored[name] = next(iter(carried.values()))

    trained = [tensor for name, tensor in (*carried.items(), *adapter.full().items()) if name in matrices]
    sizes = {tensor.shape[0] for tensor in trained if tensor.shape}
    if len(sizes) > 1:
        raise ConversionError(
            "The adapter's parts do not match",
            f"Its embeddings and output matrix have {sorted(sizes)} rows.",
            "Copy the adapter folder again, or use another checkpoint.",
        )
    return {**config, "vocab_size": sizes.pop()} if sizes else config


def embeddings_name(arch: ModuleType) -> str:
    """The embeddings' name in a model of this architecture."""
    return str(getattr(arch, "EMBEDDINGS", DEFAULT_EMBEDDINGS))


class OpenBase(NamedTuple):
    """A model folder's architecture, its configuration with transformers' defaults, and its tensors, none of them read yet.

    is_part: whether it is the text part of a model that also sees or hears. notes: what a user should know.
    """

    arch: ModuleType
    config: dict[str, Any]
    stored: dict[str, StoredTensor]
    is_part: bool
    notes: tuple[str, ...]


def open_base(model_dir: Path) -> OpenBase:
    """A model folder, or the text part of one, by the names that tensors have inside a text model with an output matrix.

    A folder saved without one lacks the first part of all names ("model." or "transformer."), which transformers accepts too.
    """
    text_config, is_part = text_part.text_configuration(read_json(model_dir / "config.json", 2**24))
    stored_config, notes = four_bit.without_four_bit(text_config)
    arch = architecture(stored_config)
    config = with_defaults(stored_config)
    stored = four_bit.unpack(read_folder(model_dir))
    if is_part:
        stored, left_out = text_part.text_tensors(stored)
        return OpenBase(arch, config, stored, is_part, (*notes, left_out))

    embeddings = embeddings_name(arch)
    prefix = embeddings.partition(".")[0] + "."
    if embeddings not in stored and embeddings.removeprefix(prefix) in stored:
        stored = {name if name == LM_HEAD else prefix + name: tensor for name, tensor in stored.items()}
    return OpenBase(arch, config, stored, is_part, tuple(notes))


def _size_label(tensors: tuple[TensorPlan, ...]) -> str:
    """The number of weights, as short as gguf-py writes it ("1.2B")."""
    import gguf

    return gguf.size_label(sum(int(np.prod(tensor.shape)) for tensor in tensors), 0, 0, 0)


def _layers(tensors: tuple[TensorPlan, ...]) -> int:
    """Number of layers, from the tensors' names."""
    return 1 + max(int(tensor.name.split(".")[1]) for tensor in tensors if tensor.name.startswith("blk."))


def ties(arch: ModuleType, config: dict[str, Any], stored: dict[str, StoredTensor], adapter: Mix | None) -> bool:
    """Whether the output matrix is the embeddings'. Fills in the one that a tied model does not store.

    A tied model whose adapter touches only one of the two, or both, computes with two different matrices, as it did in training
    (PEFT's own merge changes both there); only trained rows (PEFT's trainable tokens) are shared. transformers also unties two stored
    matrices that differ. Raises ConversionError where llama.cpp has but one matrix and the model two.
    """
    tied = bool(config["tie_word_embeddings"]) and _share(stored, embeddings_name(arch), adapter)
    if not tied and getattr(arch, "ALWAYS_TIED", False):
        raise ConversionError(
            "The output matrix is not the embeddings'",
            f"llama.cpp's {arch.GGUF_NAME} uses one matrix for both, but this model or its adapter makes them differ.",
            "Train an adapter that leaves embed_tokens and lm_head alone.",
        )
    return tied


def _share(stored: dict[str, StoredTensor], embeddings: str, adapter: Mix | None) -> bool:
    if embeddings in stored and LM_HEAD in stored:
        first, second = stored[embeddings], stored[LM_HEAD]
        same_form = (first.dtype, first.shape) == (second.dtype, second.shape)
        if not same_form or not first.size or not np.array_equal(first.raw(), second.raw()):
            return False

    for missing, present in ((LM_HEAD, embeddings), (embeddings, LM_HEAD)):
        if present in stored:
            stored.setdefault(missing, stored[present])

    # PEFT shares trained rows between the two; every other change is to one matrix alone.
    return not (adapter and (adapter.touches(LM_HEAD) or (adapter.touches(embeddings) and not adapter.only_rows(embeddings))))


def _check_stored(tensors: tuple[TensorPlan, ...], stored: dict[str, StoredTensor], tied: bool, ignored: str | None) -> None:
    """Check that every tensor needed is stored in the right shape and a float type, and that none is left over; all problems together.

    ignored: a pattern of names that may be left over.
    """
    needed = {source: shape for tensor in tensors for source, shape in tensor.sources}
    problems = [f"{name} is missing" for name in needed if name not in stored]

    for name in needed.keys() & stored.keys():
        if stored[name].shape != needed[name]:
            problems.append(f"{name} has shape {list(stored[name].shape)}, not {list(needed[name])}")
        elif stored[name].dtype not in FLOAT_DTYPES:
            problems.append(f"{name} is stored as {stored[name].dtype}; only F32, F16 and BF16 are read")

    # A tensor that nothing reads may be what makes the model compute differently.
    problems += [
        f"{name} is not part of this architecture"
        for name in stored.keys() - needed.keys()
        if not (name.endswith(IGNORED_BUFFERS) or (tied and name == LM_HEAD) or (ignored and re.fullmatch(ignored, name)))
    ]

    if problems:
        more = f" … and {len(problems) - 5} more" if len(problems) > 5 else ""
        raise ConversionError(
            "The weights do not fit config.json",
            "; ".join(sorted(problems)[:5]) + more + ".",
            "Choose a complete, unquantized model folder.",
        )
