"""Convert a PEFT adapter to a GGUF LoRA, which llama.cpp applies to a base at run time.

    plan = lora.plan_lora(model_dir, adapter_dir, "F32", name="my-run", extra={})
    plan.write(open_file)

llama.cpp computes W·x + scale · alpha / rank · B·(A·x) for each pair (src/llama-adapter.h, `get_scale`), with one alpha for the whole
file and rank the pair's own. Where PEFT's scale differs (rsLoRA, alpha_pattern), the ratio is multiplied into B.
"""

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from converters.archs import Build, TensorPlan
from converters.convert import QUANTIZATION_VERSION, embeddings_name, open_base, ties
from converters.errors import ConversionError
from converters.gguf_file import TensorInfo, Value, Writer, encode_header, f32, lay_out, padded, scalar_value, text, u32
from converters.merge import Adapter, ModuleChange
from converters.quantize import quantize_tensor
from converters.text_part import LM_HEAD
from converters.weights import StoredTensor

ADAPTER_TYPES = ("F32", "F16", "BF16")
MERGE_INSTEAD = "Export the merged model instead (leave --adapter-only out)."


@dataclass(frozen=True)
class Pair:
    """The two factors of one GGUF tensor. gain: the factor that B is multiplied with. build: reorders B's rows like the base's."""

    name: str
    change: ModuleChange
    gain: float
    build: Build

    def shapes(self, out: int) -> tuple[tuple[int, int], tuple[int, int]]:
        """Shapes [rows, columns] of A and B; of embeddings llama.cpp takes A transposed, to look rows up in it."""
        rank, columns = self.change.parts["A"].shape
        if self.change.embedding:
            return (columns, rank), (self.change.parts["B"].shape[0], rank)
        return (rank, columns), (out, rank)

    def factors(self) -> tuple[np.ndarray, np.ndarray]:
        """A and B in float32 as the file holds them."""
        a = self.change.parts["A"].load()
        b = self.change.parts["B"].load()
        if self.change.embedding:
            a = np.ascontiguousarray(a.T)
        else:
            b = self.build(b.T if self.change.transposed else b)
        return a, b if self.gain == 1.0 else b * np.float32(self.gain)


@dataclass(frozen=True)
class LoraPlan:
    """A GGUF LoRA that passed every check. notes: what a user should know."""

    architecture: str
    type: str
    metadata: dict[str, Value]
    layout: tuple[TensorInfo, ...]
    _pairs: tuple[Pair, ...]
    notes: tuple[str, ...] = ()

    def size(self) -> int:
        """Bytes that `write` will write, exactly."""
        return len(encode_header(self.metadata, list(self.layout))) + sum(padded(info.size) for info in self.layout)

    def write(self, file: BinaryIO) -> None:
        """Write the GGUF into a file open for writing, at its start. Raises ConversionError where a factor is not finite."""
        writer = Writer(file, self.metadata, list(self.layout))
        for pair, (a_info, b_info) in zip(self._pairs, zip(self.layout[::2], self.layout[1::2], strict=True), strict=True):
            for info, values in zip((a_info, b_info), pair.factors(), strict=True):
                assert values.shape == info.shape[::-1], (info, values.shape)
                writer.write(info.name, quantize_tensor(values, self.type, info.name))
        writer.finish()


def plan_lora(model_dir: Path, adapter_dir: Path, type_name: str, *, name: str, extra: dict[str, str | int | float | bool]) -> LoraPlan:
    """Check that an adapter can be a GGUF LoRA for the GGUF of its base, without reading the weights.

    model_dir: the base's Hugging Face folder. type_name: one of `ADAPTER_TYPES`. name: `general.name`. extra: further metadata keys.
    Raises ConversionError, by name, for changes that such a file cannot express: DoRA, trained biases, whole tensors, tied matrices.
    """
    if type_name not in ADAPTER_TYPES:
        raise ConversionError(f"'{type_name}' is not a type for adapters", f"Types are {', '.join(ADAPTER_TYPES)}.", "Choose one of them.")

    base = open_base(model_dir)
    arch, config, stored = base.arch, base.config, base.stored
    arch.metadata(config)  # refuses what llama.cpp cannot compute

    adapter = Adapter(adapter_dir)
    notes = adapter.leave_out(stored) if base.is_part else []
    tied = ties(arch, config, stored, None)
    _refuse_inexpressible(adapter, tied, stored, (embeddings_name(arch), LM_HEAD))
    tensors = arch.tensors(config, tied)
    adapter.check({source: shape for tensor in tensors for source, shape in tensor.sources}, getattr(arch, "TRANSPOSED", ()))

    alpha = _alpha(adapter)
    pairs = _pairs(adapter, tensors, alpha)
    metadata = {
        "general.architecture": text(arch.GGUF_NAME),
        "general.type": text("adapter"),
        "adapter.type": text("lora"),
        "general.name": text(name),
        "adapter.lora.alpha": f32(alpha),
        "general.quantization_version": u32(QUANTIZATION_VERSION),
    }

    for key, value in extra.items():
        if key in metadata or key.startswith("adapter.") or key == "general.alignment":
            raise ConversionError(f"The metadata key {key} is reserved", "The converter writes this key itself.", "Use another key.")
        metadata[key] = scalar_value(value)

    rows = {tensor.name: tensor.shape[0] for tensor in tensors}
    entries = []
    for pair in pairs:
        a_shape, b_shape = pair.shapes(rows[pair.name])
        entries.append((f"{pair.name}.lora_a", a_shape[::-1], type_name))
        entries.append((f"{pair.name}.lora_b", b_shape[::-1], type_name))
    layout = lay_out(entries)
    return LoraPlan(arch.GGUF_NAME, type_name, metadata, tuple(layout), tuple(pairs), tuple(notes))


def _refuse_inexpressible(adapter: Adapter, tied: bool, stored: dict[str, StoredTensor], twins: tuple[str, str]) -> None:
    """twins: the names of embeddings and output matrix."""
    # PEFT may have saved the base's own matrices: those change nothing as long as they are equal to the base's.
    problems = [
        f"{name} differs from the base's ({tensor.name})"
        for name, tensor in adapter.replacements(twins).items()
        if name not in stored or tensor.shape != stored[name].shape or not np.array_equal(tensor.load(), stored[name].load())
    ]

    for name, change in adapter.changes.items():
        if "magnitude" in change.parts:
            problems.append(f"{name} is scaled by DoRA")
        if "full" in change.parts:
            problems.append(f"{name} was fully trained ({change.parts['full'].name})")
        if "rows" in change.parts:
            problems.append(f"rows of {name} were trained ({change.parts['rows'].name})")
        if tied and name in twins:
            problems.append(f"{name} shares one matrix with the output or embeddings in the base's GGUF")

    if problems:
        more = f" … and {len(problems) - 5} more" if len(problems) > 5 else ""
        raise ConversionError("A GGUF LoRA cannot represent this adapter", "; ".join(problems[:5]) + more + ".", MERGE_INSTEAD)


def _alpha(adapter: Adapter) -> float:
    """The file's alpha: the first pair's, so that all pairs of a usual adapter need no gain.

    llama.cpp reads an alpha of 0 as "no alpha" and would then apply B·A at full strength, so 0 is refused.
    """
    alphas = [change.scale * change.rank for change in adapter.changes.values()]
    alpha = next((value for value in alphas if value), 0.0)
    if not alpha:
        raise ConversionError("The adapter does nothing", "Its lora_alpha is 0.", "Choose another adapter.")
    if not math.isfinite(np.float32(alpha)) or not np.float32(alpha):
        raise ConversionError(
            "adapter_config.json is not valid", f"lora_alpha gives {alpha!r}.", "Copy the adapter folder again, or use another checkpoint."
        )

    # rank and scale are rounded on the way: the number that the file states is the exact one.
    stated = adapter.config.get("lora_alpha")
    if not adapter.config.get("use_rslora") and isinstance(stated, int | float) and stated:
        return float(stated)
    return float(np.float32(alpha))


def _pairs(adapter: Adapter, tensors: list[TensorPlan], alpha: float) -> list[Pair]:
    """The pairs in the adapter's own order. Every tensor must come from one of the base's by reordering its rows."""
    pairs = []
    checked = set()
    for name, change in adapter.changes.items():
        for tensor in tensors:
            if name not in [source for source, _ in tensor.sources]:
                continue

            # Layers are alike but for their number, so one of each kind is tried.
            key = (re.sub(r"\d+", "", tensor.name), tensor.shape)
            if key not in checked:
                if len(tensor.sources) != 1 or len(tensor.shape) != 2 or not _moves_rows_only(tensor, change):
                    raise ConversionError(
                        "A GGUF LoRA cannot represent this adapter",
                        f"{tensor.name} is not {name} with reordered rows.",
                        MERGE_INSTEAD,
                    )
                checked.add(key)
            gain = change.scale * change.rank / alpha
            pairs.append(Pair(tensor.name, change, 1.0 if math.isclose(gain, 1.0, rel_tol=1e-7) else gain, tensor.build))
    return pairs


def _moves_rows_only(tensor: TensorPlan, change: ModuleChange) -> bool:
    """Whether build(b·a) = build(b)·a, tried on one random pair of vectors; for embeddings, whether build changes nothing."""
    shape = tensor.sources[0][1]
    random = np.random.default_rng(0)
    column, row = (random.standard_normal(size, np.float32) for size in (shape[::-1] if change.transposed else shape))
    product = np.outer(row, column) if change.transposed else np.outer(column, row)
    built = tensor.build(product)
    if change.embedding:
        return np.array_equal(built, product)

    try:
        moved = tensor.build(column[None] if change.transposed else column[:, None])
    except (ValueError, IndexError):
        return False
    return moved.shape == (tensor.shape[0], 1) and np.allclose(np.outer(moved[:, 0], row), built, rtol=1e-5)
