"""Tensors of a model folder's safetensors files, checked before they are used and read from the mapped bytes as float32."""

import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from converters.errors import ConversionError
from converters.weight_files import weight_files

FLOAT_DTYPES: dict[str, np.dtype[Any]] = {"F32": np.dtype("<f4"), "F16": np.dtype("<f2"), "BF16": np.dtype("<u2")}
TORCH_DTYPES = {"bfloat16": "BF16", "float16": "F16", "float32": "F32"}
"""torch's names of floating-point types to GGUF's and safetensors'."""
DTYPE_BYTES = {
    "BOOL": 1,
    "U8": 1,
    "I8": 1,
    "F8_E4M3": 1,
    "F8_E5M2": 1,
    "F8_E8M0": 1,
    "I16": 2,
    "U16": 2,
    "F16": 2,
    "BF16": 2,
    "I32": 4,
    "U32": 4,
    "F32": 4,
    "I64": 8,
    "U64": 8,
    "F64": 8,
}
JsonObject = dict[str, Any]
MAX_SAFETENSORS_HEADER = 100_000_000
"""The limit of the safetensors library itself."""
MAX_JSON = 512 * 2**20
MAX_TENSORS = 1_000_000
RowSelection = slice | np.ndarray
"""Some rows of a tensor: a range, or row numbers in any order."""
FINITE_CHECK_CHUNK = 2**13
"""Weights checked together for finiteness, so few that as many zeros stay in the nearest cache."""


@dataclass(frozen=True)
class StoredTensor:
    """A tensor's location in a file. shape: as PyTorch has it. start: byte offset in the file. transposed: stored the other way round."""

    path: Path
    name: str
    dtype: str
    shape: tuple[int, ...]
    start: int
    size: int
    transposed: bool = field(default=False, kw_only=True)

    def same_as(self, other: "StoredTensor") -> bool:
        """Whether another tensor holds the same bytes in the same form."""
        own, others = ((one.dtype, one.shape, one.transposed) for one in (self, other))
        return own == others and (not self.size or np.array_equal(self.raw(), other.raw()))

    def raw(self) -> np.ndarray:
        """The stored bytes (uint8), mapped."""
        return np.memmap(self.path, np.uint8, "r", self.start, (self.size,))

    def load(self, rows: RowSelection = slice(None), check: bool = True) -> np.ndarray:
        """The tensor, or some rows of its first dimension, in float32, a copy of its own.

        Raises ConversionError where it holds NaN or infinity, unless told not to `check`.
        """
        flat = self.raw().view(FLOAT_DTYPES[self.dtype])
        stored: np.ndarray = (flat.reshape(self.shape[::-1]).T if self.transposed else flat.reshape(self.shape))[rows]
        values = np.array(stored, np.uint32 if self.dtype == "BF16" else np.float32, subok=False, order="C")
        if self.dtype == "BF16":
            values = np.left_shift(values, 16, out=values).view(np.float32)
        if check:
            check_finite(values, self.name, self.path)
        return values


def check_finite(values: np.ndarray, name: str, path: Path | None = None) -> None:
    """Refuse NaN and infinity, naming the tensor."""
    if not finite(values):
        where = f" in {path.name}" if path else ""
        raise ConversionError(
            "The weights hold NaN or infinity",
            f"The tensor {name}{where} is not finite.",
            "The training diverged or the file is damaged: use an earlier checkpoint or download the model again.",
        )


def finite(values: np.ndarray) -> bool:
    """Whether no float is NaN or infinite: times zero, these alone do not give zero."""
    flat = np.ascontiguousarray(values).reshape(-1)
    zeros = np.zeros(FINITE_CHECK_CHUNK, values.dtype)
    parts = (flat[start : start + FINITE_CHECK_CHUNK] for start in range(0, flat.size, FINITE_CHECK_CHUNK))
    with np.errstate(invalid="ignore"):
        return all(np.dot(part, zeros[: part.size]) == 0 for part in parts)


def read_json(path: Path, limit: int = MAX_JSON) -> dict[str, Any]:
    """A JSON object from a file of bounded size; ConversionError where it is missing or is not one."""
    try:
        if path.stat().st_size > limit:
            raise ConversionError(
                f"{path.name} is too large",
                f"It has {path.stat().st_size} bytes, more than the {limit} allowed.",
                "Download the file again.",
            )
        value = json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise ConversionError(f"{path.name} is missing", f"{path.parent} has no {path.name}.", "Choose a complete model folder.") from error
    except (OSError, ValueError, RecursionError) as error:
        raise ConversionError(f"{path.name} cannot be read", f"{type(error).__name__}: {error}", "Download the file again.") from error

    if not isinstance(value, dict):
        raise ConversionError(f"{path.name} cannot be read", "It is not a JSON object.", "Download the file again.")
    return value


def _pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(items)) != len(items):
        raise ValueError("a name appears twice")
    return dict(items)


def read_safetensors(path: Path) -> dict[str, StoredTensor]:
    """The tensors of a safetensors file: names, types, shapes and offsets, checked against the file's size.

    The format: https://huggingface.co/docs/safetensors (8 bytes of header length, a JSON header, then the data without gaps).
    Raises ConversionError when the file is inconsistent or cut short.
    """
    remedy = "Download the file again; the copy may be incomplete."

    def damaged(cause: str) -> ConversionError:
        return ConversionError(f"{path.name} is not a valid safetensors file", cause, remedy)

    # The length is held against the file's size first, so that a false one allocates no memory.
    try:
        with open(path, "rb") as file:
            file_size = file.seek(0, 2)
            file.seek(0)
            length = int.from_bytes(file.read(8), "little")
            if file_size < 8 or length > min(file_size - 8, MAX_SAFETENSORS_HEADER):
                raise damaged(f"It claims a header of {length} bytes and has {file_size} bytes in all.")
            header = json.loads(file.read(length), object_pairs_hook=_pairs)
    except OSError as error:
        raise ConversionError(f"{path.name} cannot be read", str(error), "Check that the path exists and that you may read it.") from error
    except (ValueError, RecursionError) as error:
        raise damaged(f"Its header is not JSON: {error}.") from error

    if not isinstance(header, dict) or len(header) > MAX_TENSORS:
        raise damaged("Its header is not a table of tensors.")
    header.pop("__metadata__", None)

    tensors: dict[str, StoredTensor] = {}
    for name, entry in header.items():
        tensor = _stored(path, name, entry, 8 + length)
        if tensor is None:
            raise damaged(f"The entry of the tensor {name!r} is not valid.")
        tensors[name] = tensor

    # The format allows no gaps: a tensor that overlaps another, or data that nobody names, is damage.
    end = 8 + length
    for tensor in sorted(tensors.values(), key=lambda tensor: (tensor.start, tensor.size)):
        if tensor.start != end:
            raise damaged(f"The tensor {tensor.name!r} does not start where the one before it ends.")
        end += tensor.size
    if end != file_size:
        raise damaged(f"Its tensors end at byte {end}, the file at {file_size}.")
    return tensors


def _stored(path: Path, name: str, entry: Any, base: int) -> StoredTensor | None:
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        return None
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in DTYPE_BYTES or not isinstance(shape, list) or not isinstance(offsets, list):
        return None
    if len(offsets) != 2 or not all(type(number) is int and number >= 0 for number in [*shape, *offsets]):
        return None

    size = offsets[1] - offsets[0]
    if math.prod(shape) * DTYPE_BYTES[dtype] != size:
        return None
    return StoredTensor(path, name, dtype, tuple(shape), base + offsets[0], size)


def read_folder(folder: Path) -> dict[str, StoredTensor]:
    """All tensors of a model folder, of the files that hold the model (see `converters.weight_files`). Other weights are never read."""
    files = weight_files(folder)
    tensors = {name: tensor for path in files.paths for name, tensor in read_safetensors(path).items()}
    files.require_all(tensors)
    return tensors
