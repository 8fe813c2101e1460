"""How each tensor of a file is rounded: to nearest, so that a change of a base that lies on the type's grid stays, or not at all."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from converters.archs import TensorPlan
from converters.errors import ConversionError
from converters.gguf_file import GGML_TYPES, Header, read_header
from converters.gguf_model import dequantized
from converters.grid import MEASURED_WEIGHTS, GridFigures, grid_figures, has_grid, keep_change, sample_slices, stretch_for
from converters.quantize import quantize_tensor
from converters.slabs import Load, built_by_rows
from converters.weights import RowSelection, StoredTensor, read_json

ROUNDING_KEY, KEEPS_CHANGE = "edgetune.rounding", "keeps the change of a base that was quantized before"
"""The metadata key of how a file was rounded, where that was not to nearest throughout, and what it begins with."""
ORIGIN = "imported_from.json"
"""A file of an imported model folder: where the GGUF lay that it was made of."""


def read_origin(model_dir: Path) -> Header | None:
    """The GGUF that a model folder was imported from, where it is still there. What it holds is held against the folder's weights before
    it is used."""
    try:
        path = Path(str(read_json(model_dir / ORIGIN, 2**16).get("gguf")))
        return read_header(path) if path.is_file() else None
    except (ConversionError, OSError, ValueError):
        return None


@dataclass(frozen=True)
class Rounding:
    """What the base of a conversion says about rounding.

    tensors: of the file. base: the model's tensors before training, by the model's own names. changed: whether training changed one.
    origin: the GGUF that the base was imported from.
    """

    tensors: tuple[TensorPlan, ...]
    base: Mapping[str, StoredTensor]
    changed: Callable[[str], bool]
    origin: Header | None
    _figures: dict[tuple[str, str], GridFigures] = field(default_factory=dict)

    def touched(self, tensor: TensorPlan) -> bool:
        """Whether training changed anything of a tensor of the file."""
        return any(self.changed(name) for name, _ in tensor.sources)

    def on_grid(self, types: Mapping[str, str]) -> dict[str, GridFigures]:
        """The trained tensors that lie on a grid, each with what tells it. types: of each tensor of the file.

        One tensor of each role is looked at first, so that a base without a grid, as most are, costs hardly any time.
        """
        by_role: dict[tuple[str, str], list[TensorPlan]] = {}
        for tensor in self.tensors:
            type_name = types.get(tensor.name, "")  # a damaged file may lack it
            if has_grid(type_name) and built_by_rows(tensor) and tensor.sources[0][0] in self.base and self.touched(tensor):
                role = tensor.name.split(".", 2)[-1]
                by_role.setdefault((role, type_name), []).append(tensor)

        lying: dict[str, GridFigures] = {}
        for (_, type_name), tensors in by_role.items():
            if self._look(tensors[len(tensors) // 2], type_name).on_grid:
                figures = {tensor.name: self._look(tensor, type_name) for tensor in tensors}
                lying |= {name: seen for name, seen in figures.items() if seen.on_grid}
        return lying

    def _look(self, tensor: TensorPlan, type_name: str) -> GridFigures:
        key = tensor.name, type_name
        if key not in self._figures:
            stored = self.base[tensor.sources[0][0]]
            pieces = [stored.load(rows) for rows in sample_slices(stored.shape[0], int(np.prod(stored.shape[1:])))]
            values = np.concatenate(pieces).reshape(-1, stored.shape[-1])
            if tensor.build.within_rows:
                values = tensor.build(values)
            self._figures[key] = grid_figures(values, type_name)
        return self._figures[key]

    def before(self, name: str, rows: RowSelection = slice(None)) -> np.ndarray:
        """One of the model's tensors, or some of its rows, before training."""
        return self.base[name].load(rows)

    def original(self, tensor: TensorPlan, type_name: str, values: np.ndarray, first: int) -> np.ndarray | None:
        """The bytes that the GGUF of origin has for some rows, where they give exactly these values in the folder's type; else None.

        values: float32 [rows, row length], which training left alone. first: their first row's number in the tensor.
        """
        info = self.origin.tensors.get(tensor.name) if self.origin else None
        stored = self.base.get(tensor.sources[0][0]) if tensor.sources else None
        if not self.origin or info is None or stored is None or info.type != type_name or info.shape[::-1] != tensor.shape:
            return None
        row_weights = int(np.prod(tensor.shape[1:]))
        row_bytes = row_weights // GGML_TYPES[type_name].weights * GGML_TYPES[type_name].size
        raw = self.origin.raw(tensor.name)[first * row_bytes : (first + len(values)) * row_bytes]
        held = quantize_tensor(dequantized(raw.reshape(len(values), -1), type_name), stored.dtype, threads=1)
        ours = quantize_tensor(values.reshape(len(values), -1), stored.dtype, threads=1)
        return np.array(raw) if np.array_equal(held, ours) else None

    def stretch(self, tensor: TensorPlan, type_name: str, merged: Load) -> float:
        """By how much a change is made larger, so that rounding to nearest leaves the right one on another quantization's grid.

        merged: some rows of one of the model's tensors after training.
        """
        name, shape = tensor.sources[0]
        pieces = list(sample_slices(shape[0], int(np.prod(shape[1:])), MEASURED_WEIGHTS))
        before, after = (np.concatenate([load(name, rows) for rows in pieces]) for load in (self.before, merged))
        if tensor.build.within_rows:
            before, after = tensor.build(before), tensor.build(after)
        return stretch_for(before, after, type_name)

    def quantized(
        self,
        tensor: TensorPlan,
        type_name: str,
        values: np.ndarray,
        before: np.ndarray | None,
        stretch: float | None,
        importance: np.ndarray | None,
        first: int,
    ) -> np.ndarray:
        """Some rows of a tensor as bytes of a type. before: the rows before training, where the change is to be kept.

        stretch: by how much it is made larger on another quantization's grid; None on the type's own. first: the first row's number.
        """
        if has_grid(type_name) and before is None and not self.touched(tensor):
            original = self.original(tensor, type_name, values, first)
            if original is not None:
                return original
        if before is not None and stretch is not None and stretch != 1:
            values = before + np.float32(stretch) * (values - before)
        blocks = quantize_tensor(values, type_name, tensor.name, 1, importance)
        return blocks if before is None or stretch is not None else keep_change(blocks, type_name, values, before, tensor.name, first)
