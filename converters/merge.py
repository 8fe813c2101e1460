"""Merge a LoRA adapter of PEFT or mlx-lm into a base in float32, one tensor at a time.

The formulas are those of PEFT's `merge_and_unload`: LoRA (arXiv 2106.09685), rank-stabilised LoRA (arXiv 2312.03732), DoRA (arXiv
2402.09353).
"""

import math
import re
import threading
from collections.abc import Collection
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from converters.adapter_files import MLX_FUSE, PEFT_PREFIX, read_adapter
from converters.errors import ConversionError
from converters.text_part import LM_HEAD, part_of, text_name
from converters.weights import FLOAT_DTYPES, RowSelection, StoredTensor, check_finite, finite

IGNORED_KEYS = {
    "task_type",
    "peft_version",
    "base_model_name_or_path",
    "revision",
    "inference_mode",
    "lora_dropout",
    "target_modules",
    "exclude_modules",
    "layers_to_transform",
    "layers_pattern",
    "modules_to_save",
    "loftq_config",
    "eva_config",
    "corda_config",
    "lora_ga_config",
    "qalora_group_size",
    "runtime_config",
    "ensure_weight_tying",
    "megatron_core",
    "fan_in_fan_out",
}
"""Keys of adapter_config.json about the training or its targets; the tensors themselves show the result. PEFT sets
fan_in_fan_out right by the kind of module, whatever the file says, and so does `Adapter.check` by the architecture."""
USED_KEYS = {
    "peft_type",
    "r",
    "lora_alpha",
    "use_rslora",
    "use_dora",
    "rank_pattern",
    "alpha_pattern",
    "bias",
    "init_lora_weights",
    "trainable_token_indices",
}
SUPPORTED_INITIALIZATIONS = (True, False, None, "gaussian", "eva", "orthogonal", "mica")
"""Initializations that leave the base as it was; the others move a part of the base into the adapter, and train against the rest."""
REPEATED_INITIALIZATIONS = ("pissa", "olora")
"""Those of the others that PEFT repeats, with the same result, when it loads such an adapter on the base."""
MERGE_WITH_PEFT = (
    "Load base and adapter with PEFT in float32, merge them (model.merge_and_unload().save_pretrained(FOLDER)), and export FOLDER."
)
MERGE_WHERE_TRAINED = (
    "Where it was trained, while the model is loaded: model.merge_and_unload().save_pretrained(FOLDER); then export FOLDER. "
    "Loaded again, it is another model."
)
RUN_WITH_PEFT = "PEFT makes no merged model that computes the same: use it with PEFT, or train a plain LoRA."
UNMERGEABLE_TYPES = (
    *("PROMPT_TUNING", "MULTITASK_PROMPT_TUNING", "P_TUNING", "PREFIX_TUNING", "ADAPTION_PROMPT", "CPT"),
    *("XLORA", "POLY", "CARTRIDGE", "SHADOW"),
)
"""Kinds of PEFT's that are no change of the base's weights, or depend on the input: PEFT has no merge for them."""
UNMERGEABLE_KEYS = ("layer_replication", "alora_invocation_tokens", "arrow_config")
"""Settings with which PEFT refuses to merge, or merges into another model (replicated layers share the base's weights)."""
MERGE_ROWS = 64
"""Rows merged at a time, so that the product B·A takes little memory and stays in the cache."""
FACTOR_CACHE_SIZE = 8
"""Factors held in memory: a tensor merged some rows at a time needs one of its two factors whole every time."""
PART_SUFFIXES = {
    "lora_A.weight": "A",
    "lora_B.weight": "B",
    "lora_embedding_A": "A",
    "lora_embedding_B": "B",
    "lora_magnitude_vector": "magnitude",
    "lora_magnitude_vector.weight": "magnitude",
    "token_adapter.trainable_tokens_delta": "rows",
    "token_adapter.base_layer.weight": "full",
    "base_layer.weight": "full",
    "original_module.weight": "base",
    "modules_to_save.weight": "full",
    "weight": "full",
}
"""Suffixes of an adapter's tensor names, longer ones first, and the part of a change that each names."""


@dataclass
class ModuleChange:
    """An adapter's change of one module: low-rank factors with their scale, a full tensor that replaces the base's, or new rows of it.

    embedding: of an embedding layer. transposed: the base stores the module's weight as [in, out] (transformers' Conv1D).
    indices: which rows the new ones are.
    """

    module: str
    scale: float = 1.0
    rank: int = 0
    embedding: bool = False
    transposed: bool = False
    indices: tuple[int, ...] = ()
    parts: dict[str, StoredTensor] = field(default_factory=dict)
    _norms: np.ndarray | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def flipped(self) -> bool:
        """Whether B·A must be transposed to lie over the base's tensor."""
        return self.embedding or self.transposed

    def factors(self, rows: RowSelection) -> tuple[np.ndarray, np.ndarray]:
        """Left and right factor whose product lies over some rows of the base's tensor."""
        if self.flipped:
            return _whole(self.parts["A"]).T[rows], _whole(self.parts["B"]).T
        return self.parts["B"].load(rows), _whole(self.parts["A"])

    def add(self, values: np.ndarray, rows: RowSelection, weight: float) -> None:
        """Add weight·scale·B·A to some rows of the base's tensor, in place."""
        left, right = self.factors(rows)
        for start in range(0, len(values), MERGE_ROWS):
            delta = left[start : start + MERGE_ROWS] @ right
            delta *= np.float32(self.scale * weight)
            values[start : start + MERGE_ROWS] += delta

    def column_norms(self, base: StoredTensor) -> np.ndarray:
        """Euclidean norms [1, columns] of the merged tensor's columns, summed in float64, some rows at a time; computed once."""
        with self._lock:
            if self._norms is None:
                squares = np.zeros((1, base.shape[1]))
                for start in range(0, base.shape[0], MERGE_ROWS):
                    rows = slice(start, start + MERGE_ROWS)
                    values = base.load(rows)
                    self.add(values, rows, 1.0)
                    squares += np.square(values, dtype=np.float64).sum(axis=0, keepdims=True)
                self._norms = np.sqrt(squares)
            return self._norms


def _merging(config: dict[str, Any]) -> str:
    """What to do about an adapter that cannot be merged here, and can be by PEFT."""
    if config.get("lora_bias"):
        return f"{MERGE_WITH_PEFT} PEFT can only where the adapted layers have biases of their own."
    targets = config.get("target_modules")
    named = [*(targets if isinstance(targets, list) else [str(targets)]), *(config.get("modules_to_save") or [])]
    if any(str(name).endswith(("embed_tokens", "lm_head")) for name in named):
        return (
            f"{MERGE_WITH_PEFT} Where the base ties its embeddings to the output matrix, load it with tie_word_embeddings=False "
            "and copy them there first: PEFT would change both."
        )
    return MERGE_WITH_PEFT


def _check_config(config: dict[str, Any]) -> None:
    """Refuse by name every setting whose mathematics is not implemented."""
    kind = config.get("peft_type")
    if kind != "LORA":
        cannot = kind in UNMERGEABLE_TYPES or not isinstance(kind, str)
        raise ConversionError(
            f"Adapters of type {kind!r} are not supported",
            "Only LoRA (with rsLoRA and DoRA) can be merged.",
            RUN_WITH_PEFT if cannot else _merging(config),
        )
    if config.get("bias", "none") != "none":
        raise ConversionError(
            f"The adapter trained biases (bias = {config['bias']!r})", "Only adapters with bias = 'none' are merged.", _merging(config)
        )
    start = config.get("init_lora_weights", True)
    if start not in SUPPORTED_INITIALIZATIONS:
        raise ConversionError(
            f"init_lora_weights = {start!r} is not supported",
            "Such an adapter was trained against a base that its initialization changed.",
            _merging(config) if start in REPEATED_INITIALIZATIONS else MERGE_WHERE_TRAINED,
        )

    # An unknown key that is not empty may change the mathematics, so it is refused rather than ignored.
    known = IGNORED_KEYS | USED_KEYS | ({"auto_mapping"} if _names_transformers(config.get("auto_mapping")) else set())
    for key, value in config.items():
        if key not in known and value not in (None, False, [], {}, ""):
            raise ConversionError(
                f"adapter_config.json sets {key}",
                f"{key} = {str(value)[:100]!r} is not supported, and may change what the adapter computes.",
                RUN_WITH_PEFT if key in UNMERGEABLE_KEYS else _merging(config),
            )


def _names_transformers(mapping: Any) -> bool:
    """Whether it only names the transformers class that the adapter was trained on, as PEFT notes without a task. Nothing loads that."""
    library = mapping.get("parent_library") if isinstance(mapping, dict) else None
    return isinstance(library, str) and library.startswith("transformers.models.")


def _number(key: str, value: Any) -> float:
    sound = not isinstance(value, bool) and isinstance(value, int | float) and math.isfinite(value)
    if not sound or (key == "r" and (value < 1 or value != int(value))):
        raise ConversionError(
            "adapter_config.json is not valid", f"{key} is {value!r}.", "Copy the adapter folder again, or use another checkpoint."
        )
    return float(value)


def _pattern(config: dict[str, Any], key: str, module: str, default: Any) -> Any:
    """The value of the first pattern that matches the module's name from its end (PEFT: `get_pattern_key`)."""
    patterns = config.get(key) or {}
    if not isinstance(patterns, dict):
        raise ConversionError(
            "adapter_config.json is not valid", f"{key} is not a table.", "Copy the adapter folder again, or use another checkpoint."
        )

    for pattern, value in patterns.items():
        if re.search(r"\)[*+{]", pattern) or len(re.findall("[*+{]", pattern)) > 3:  # could run for years on a long name
            raise ConversionError(
                "adapter_config.json is not valid",
                f"The {key} {pattern[:100]!r} is too complex a pattern.",
                "Write the modules' names without patterns instead.",
            )
        try:
            if re.match(rf"(.*\.)?({pattern})$", module):
                return value
        except re.error as error:
            raise ConversionError(
                "adapter_config.json is not valid",
                f"The {key} {pattern[:100]!r} is not a pattern: {error}.",
                "Copy the adapter folder again, or use another checkpoint.",
            ) from error
    return default


def _row_norms(weight: np.ndarray) -> np.ndarray:
    """Euclidean norms [rows, 1], summed in float64, some rows at a time."""
    squares = (np.square(weight[start : start + MERGE_ROWS], dtype=np.float64) for start in range(0, len(weight), MERGE_ROWS))
    return np.sqrt(np.concatenate([part.sum(axis=1, keepdims=True) for part in squares]))


@lru_cache(FACTOR_CACHE_SIZE)
def _whole(tensor: StoredTensor) -> np.ndarray:
    return tensor.load()


class Adapter:
    """An adapter folder (see `converters.adapter_files`), checked; `merge` applies it to one tensor after the other."""

    def __init__(self, folder: Path) -> None:
        files = read_adapter(folder)
        self.folder, self.config = files.folder, files.config
        _check_config(self.config)
        self._merging = MLX_FUSE if files.mlx else _merging(self.config)

        self.changes: dict[str, ModuleChange] = {}
        """By the name of the base's tensor."""
        for name, tensor in files.tensors.items():
            self._add_part(name, tensor)
        if not self.changes:
            raise ConversionError("The adapter is empty", f"{self.folder} contains no tensors.", "Choose another checkpoint.")

    def _add_part(self, full_name: str, tensor: StoredTensor) -> None:
        name = full_name.removeprefix(PEFT_PREFIX)
        suffix = next((suffix for suffix in PART_SUFFIXES if name.endswith("." + suffix)), None)
        if suffix is None or tensor.dtype not in FLOAT_DTYPES or not full_name.startswith(PEFT_PREFIX):
            raise ConversionError(
                "The adapter holds a tensor that cannot be merged",
                f"{tensor.name} ({tensor.dtype}) is not a known kind of LoRA factor.",
                self._merging,
            )

        # Trained on a model that also sees, its text part has other names than in a text model.
        module = name[: -len(suffix) - 1]
        change = self.changes.setdefault(text_name(f"{module}.weight"), ModuleChange(module))
        part = PART_SUFFIXES[suffix]
        twin = change.parts.get(part)

        # Where the vocabulary grew, PEFT saves trained matrices twice; two different ones contradict each other.
        if twin and (part != "full" or not twin.same_as(tensor)):
            raise ConversionError(
                "The adapter holds a tensor twice",
                f"{tensor.name} and {twin.name}.",
                "Copy the adapter folder again, or use another checkpoint.",
            )
        change.parts[part] = tensor
        change.embedding |= suffix.startswith("lora_embedding")

    def leave_out(self, text: Collection[str]) -> list[str]:
        """Remove the changes to other parts than the text part, which for text compute nothing. Returns a note where there are any.

        text: names of the text part's tensors. Raises ConversionError where nothing is left.
        """
        parts = {part_of(name) for name in (*text, LM_HEAD)}  # which a tied model does not store
        others = [name for name in self.changes if part_of(name) not in parts]
        where = ", ".join(sorted({part_of(name) for name in others}))
        for name in others:
            del self.changes[name]
        if not self.changes:
            raise ConversionError(
                f"The adapter {self.folder.name} changes nothing of the text part",
                f"All that it changes lies in {where}, and a file for text holds the text part alone.",
                "Choose an adapter that was trained on the language model.",
            )
        left = f"the adapter {self.folder.name} also changes {where}: left out ({len(others)} matrices), as text never passes through there"
        return [left] if others else []

    def replacements(self, names: Collection[str]) -> dict[str, StoredTensor]:
        """Remove and return the full tensors among `names` that are copies of the base and were not trained.

        PEFT saves embeddings and output matrix so when the vocabulary grew, or when they carry low-rank factors.
        """
        saved = self.config.get("modules_to_save") or []
        copies = {}
        for name, change in list(self.changes.items()):
            if name in names and "base" in change.parts:
                copies[name] = change.parts.pop("base")

            full = change.parts.get("full")
            trained = full and (full.name.endswith(".modules_to_save.weight") or change.module.rpartition(".")[2] in saved)
            if name in names and full and not trained:
                copies[name] = change.parts.pop("full")
            if not change.parts:
                del self.changes[name]
        return copies

    def check(self, shapes: dict[str, tuple[int, ...]], transposed: tuple[str, ...] = ()) -> None:
        """Check every adapter tensor against the base's tensors (name to shape); ConversionError names the first that does not belong.

        transposed: ends of names of weights that the base stores as [in, out] (transformers' Conv1D). The adapter's own setting for
        it, fan_in_fan_out, is not reliable: PEFT corrects it for each module and saves the last one's, which is wrong for GPT-2 with an
        adapted output matrix.
        """
        for name, change in self.changes.items():
            if name not in shapes:
                tensor_name = next(iter(change.parts.values())).name
                raise ConversionError(
                    "The adapter does not belong to this base",
                    f"{tensor_name} changes {name}, which the base does not have.",
                    "Choose the base it was trained on.",
                )
            change.transposed = name.endswith(transposed) if transposed else False
            self._check_change(change, shapes[name])

    def _check_change(self, change: ModuleChange, shape: tuple[int, ...]) -> None:
        parts = {kind: tensor.shape for kind, tensor in change.parts.items()}
        expected: dict[str, tuple[int, ...]] = {"full": shape, "base": shape}
        if "rows" in parts:
            change.indices = self._indices(change.module, shape[0])
            expected["rows"] = (len(change.indices), *shape[1:])

        # Rank and scale may differ by module.
        if set(parts) - {"full", "base", "rows"}:
            config = self.config
            rank = _number("r", _pattern(config, "rank_pattern", change.module, config.get("r")))
            alpha = _number("lora_alpha", _pattern(config, "alpha_pattern", change.module, config.get("lora_alpha")))
            change.rank = int(rank)
            change.scale = alpha / (math.sqrt(rank) if config.get("use_rslora") else rank)

            complete = {"A", "B"} <= set(parts) and ("magnitude" in parts) == bool(config.get("use_dora"))
            if len(shape) != 2 or not complete or "rows" in parts:
                raise ConversionError(
                    "The adapter is not complete",
                    f"For {change.module} it holds {', '.join(sorted(parts))} (DoRA: {bool(config.get('use_dora'))}).",
                    "Choose another checkpoint.",
                )
            rows, columns = shape[::-1] if change.flipped else shape
            expected |= {"A": (change.rank, columns), "B": (rows, change.rank), "magnitude": (rows,)}

        for kind, part_shape in parts.items():
            if part_shape != expected[kind]:
                raise ConversionError(
                    "The adapter does not fit this base",
                    f"{change.parts[kind].name} has shape {list(part_shape)} where {list(expected[kind])} belongs.",
                    "Choose the base it was trained on.",
                )

    def _indices(self, module: str, rows: int) -> tuple[int, ...]:
        """The trained rows, from the configuration: a list for the embeddings, or a table by module."""
        indices = self.config.get("trainable_token_indices")
        if isinstance(indices, dict):
            indices = next((value for key, value in indices.items() if module == key or module.endswith(f".{key}")), None)

        if (
            not isinstance(indices, list)
            or not indices
            or not all(type(row) is int and 0 <= row < rows for row in indices)
            or len(set(indices)) != len(indices)
        ):
            raise ConversionError(
                "adapter_config.json is not valid",
                f"trainable_token_indices does not list rows of {module}.",
                "Copy the adapter folder again, or use another checkpoint.",
            )
        return tuple(indices)

    def touches(self, name: str) -> bool:
        """Whether the adapter changes this base tensor."""
        return name in self.changes

    def add(self, name: str, values: np.ndarray, weight: float = 1.0, rows: RowSelection = slice(None)) -> None:
        """Add weight·scale·B·A to float32 values that lie as the base's tensor does, or as some of its rows."""
        self.changes[name].add(values, rows, weight)

    def merge(self, name: str, base: StoredTensor, rows: RowSelection = slice(None)) -> np.ndarray:
        """The merged tensor, or some of its rows, in float32: W + scale·B·A, with DoRA each output's weights scaled to its magnitude,
        and trained rows in place of the base's."""
        change = self.changes[name]
        base = change.parts.get("full", base)
        weight = base.load(rows, check=False)
        if "rows" in change.parts:
            # Only some rows are loaded, in any order: a trained row is written where its number came out.
            positions = {row: position for position, row in enumerate(np.arange(base.shape[0])[rows].tolist())}
            loaded = [(positions[row], index) for index, row in enumerate(change.indices) if row in positions]
            weight[[position for position, _ in loaded]] = change.parts["rows"].load()[[index for _, index in loaded]]
        if "A" not in change.parts:
            check_finite(weight, base.name, base.path)
            return weight

        change.add(weight, rows, 1.0)
        if "magnitude" in change.parts:
            magnitude = change.parts["magnitude"].load().reshape(-1)
            with np.errstate(divide="ignore", invalid="ignore"):
                if change.flipped:
                    weight *= (magnitude / change.column_norms(base)).astype(np.float32)
                else:
                    weight *= (magnitude[rows, None] / _row_norms(weight)).astype(np.float32)

        # Loading the base again names the base where it holds the NaN, else the merge is named.
        if not finite(weight):
            base.load(rows)
            check_finite(weight, f"{name} merged with the adapter")
        return weight
