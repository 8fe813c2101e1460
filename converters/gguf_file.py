"""GGUF files: a streaming writer, and a reader that checks everything it reads (the format: ggml/docs/gguf.md)."""

import mmap
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

from converters.errors import ConversionError

MAGIC = b"GGUF"
GGUF_VERSION = 3
ALIGNMENT = 32
"""Tensor data starts at multiples of this many bytes unless `general.alignment` says otherwise."""

U8, I8, U16, I16, U32, I32, F32, BOOL, STRING, ARRAY, U64, I64, F64 = range(13)
NUMBER_DTYPES = {U8: "<u1", I8: "<i1", U16: "<u2", I16: "<i2", U32: "<u4", I32: "<i4", F32: "<f4", U64: "<u8", I64: "<i8", F64: "<f8"}
NUMBER_STRUCTS = {kind: struct.Struct(f"<{letter}") for kind, letter in zip(NUMBER_DTYPES, "BbHhIifQqd", strict=True)}

MAX_ENTRIES = 65_536
"""Metadata keys and tensors of any real model are far fewer."""
MAX_STRINGS = 4_194_304
MAX_STRING = 64 * 2**20
MAX_GGUF_HEADER = 2**29


class BlockType(NamedTuple):
    """How ggml stores a tensor: its number in the file, weights in a block, bytes of a block (ggml/src/ggml.c, type_traits)."""

    id: int
    weights: int
    size: int


GGML_TYPES = {
    "F32": BlockType(0, 1, 4),
    "F16": BlockType(1, 1, 2),
    "BF16": BlockType(30, 1, 2),
    "F64": BlockType(28, 1, 8),
    "I8": BlockType(24, 1, 1),
    "I16": BlockType(25, 1, 2),
    "I32": BlockType(26, 1, 4),
    "I64": BlockType(27, 1, 8),
    "Q4_0": BlockType(2, 32, 18),
    "Q4_1": BlockType(3, 32, 20),
    "Q5_0": BlockType(6, 32, 22),
    "Q5_1": BlockType(7, 32, 24),
    "Q8_0": BlockType(8, 32, 34),
    "Q2_K": BlockType(10, 256, 84),
    "Q3_K": BlockType(11, 256, 110),
    "Q4_K": BlockType(12, 256, 144),
    "Q5_K": BlockType(13, 256, 176),
    "Q6_K": BlockType(14, 256, 210),
    "Q8_K": BlockType(15, 256, 292),
    "IQ2_XXS": BlockType(16, 256, 66),
    "IQ2_XS": BlockType(17, 256, 74),
    "IQ3_XXS": BlockType(18, 256, 98),
    "IQ1_S": BlockType(19, 256, 50),
    "IQ4_NL": BlockType(20, 32, 18),
    "IQ3_S": BlockType(21, 256, 110),
    "IQ2_S": BlockType(22, 256, 82),
    "IQ4_XS": BlockType(23, 256, 136),
    "IQ1_M": BlockType(29, 256, 56),
    "TQ1_0": BlockType(34, 256, 54),
    "TQ2_0": BlockType(35, 256, 66),
    "MXFP4": BlockType(39, 32, 17),
}
TYPE_NAMES = {block.id: name for name, block in GGML_TYPES.items()}


class Value(NamedTuple):
    """One metadata value: its GGUF kind (`item` for the kind inside an array) and the Python value."""

    kind: int
    data: Any
    item: int = STRING


def u32(number: int) -> Value:
    """An unsigned 32-bit number."""
    return Value(U32, number)


def f32(number: float) -> Value:
    """A 32-bit float."""
    return Value(F32, number)


def boolean(flag: bool) -> Value:
    """True or false."""
    return Value(BOOL, flag)


def text(value: str) -> Value:
    """A UTF-8 string."""
    return Value(STRING, value)


def strings(values: Iterable[str]) -> Value:
    """An array of UTF-8 strings."""
    return Value(ARRAY, list(values), STRING)


def f32s(values: Iterable[float]) -> Value:
    """An array of 32-bit floats."""
    return Value(ARRAY, np.asarray(list(values), "<f4"), F32)


def i32s(values: Iterable[int]) -> Value:
    """An array of signed 32-bit numbers."""
    return Value(ARRAY, np.asarray(list(values), "<i4"), I32)


def booleans(values: Iterable[bool]) -> Value:
    """An array of true and false."""
    return Value(ARRAY, list(values), BOOL)


def scalar_value(value: str | int | float | bool) -> Value:
    """A Python value as metadata of the smallest fitting kind: bool, u32 (i64 outside its range), f32 or string."""
    if isinstance(value, bool):
        return boolean(value)
    if isinstance(value, int):
        return u32(value) if 0 <= value < 2**32 else Value(I64, value)
    return f32(value) if isinstance(value, float) else text(value)


@dataclass(frozen=True)
class TensorInfo:
    """A tensor in a file. shape: in ggml's order, the row length first. offset: bytes from the start of the tensor data."""

    name: str
    shape: tuple[int, ...]
    type: str
    offset: int
    size: int


def data_size(shape: tuple[int, ...], type_name: str) -> int:
    """Bytes of a tensor; its rows (shape[0]) must be whole blocks."""
    block = GGML_TYPES[type_name]
    count = 1
    for length in shape:
        count *= length
    assert shape[0] % block.weights == 0, (shape, type_name)
    return count // block.weights * block.size


def padded(size: int, alignment: int = ALIGNMENT) -> int:
    """The next multiple of the alignment."""
    return -(-size // alignment) * alignment


def lay_out(tensors: Iterable[tuple[str, tuple[int, ...], str]]) -> list[TensorInfo]:
    """Give every (name, shape, type) its offset, one after the other."""
    infos = []
    offset = 0
    for name, shape, type_name in tensors:
        size = data_size(shape, type_name)
        infos.append(TensorInfo(name, shape, type_name, offset, size))
        offset += padded(size)
    return infos


def _string(value: str) -> bytes:
    encoded = value.encode("utf-8")
    return struct.pack("<Q", len(encoded)) + encoded


def _encoded(value: Value) -> bytes:
    if value.kind == STRING:
        return _string(value.data)
    if value.kind == BOOL:
        return struct.pack("<?", value.data)
    if value.kind != ARRAY:
        return np.asarray(value.data).astype(NUMBER_DTYPES[value.kind]).tobytes()
    head = struct.pack("<IQ", value.item, len(value.data))
    if value.item == STRING:
        return head + b"".join(_string(text) for text in value.data)
    return head + np.asarray(value.data).astype("<u1" if value.item == BOOL else NUMBER_DTYPES[value.item]).tobytes()


def encode_header(metadata: dict[str, Value], tensors: list[TensorInfo]) -> bytes:
    """Everything before the tensor data, padded to the alignment."""
    parts = [MAGIC, struct.pack("<IQQ", GGUF_VERSION, len(tensors), len(metadata))]
    for key, value in metadata.items():
        parts += [_string(key), struct.pack("<I", value.kind), _encoded(value)]

    for tensor in tensors:
        parts += [
            _string(tensor.name),
            struct.pack("<I", len(tensor.shape)),
            struct.pack(f"<{len(tensor.shape)}Q", *tensor.shape),
            struct.pack("<IQ", GGML_TYPES[tensor.type].id, tensor.offset),
        ]

    header = b"".join(parts)
    return header + b"\0" * (padded(len(header)) - len(header))


class Sink(Protocol):
    """The target of a GGUF: an open binary file, or an object that passes the bytes on to one."""

    def write(self, data: Any, /) -> Any:
        """Add bytes."""


class Writer:
    """Write a GGUF: the header at once, then each tensor's bytes in the order announced, front to back."""

    def __init__(self, file: Sink, metadata: dict[str, Value], tensors: list[TensorInfo]) -> None:
        self._file = file
        self._remaining = list(reversed(tensors))
        self._written = 0
        file.write(encode_header(metadata, tensors))

    def write(self, name: str, data: np.ndarray) -> None:
        """Append the tensor announced next, or its next part; `data` holds the bytes."""
        info = self._remaining[-1]
        raw = np.ascontiguousarray(data).reshape(-1).view(np.uint8)
        self._file.write(raw.data)
        self._written += raw.nbytes
        assert info.name == name and self._written <= info.size, (info, name, self._written)
        if self._written == info.size:
            self._file.write(b"\0" * (padded(info.size) - info.size))
            self._remaining.pop()
            self._written = 0

    def finish(self) -> None:
        """Check that every tensor announced was written."""
        assert not self._remaining, [info.name for info in self._remaining]


@dataclass(frozen=True)
class Header:
    """The part of a GGUF file before its tensor data.

    metadata: Python values, arrays as list[str] or numpy arrays. kinds: the GGUF kind of each value.
    """

    path: Path
    version: int
    metadata: dict[str, Any]
    tensors: dict[str, TensorInfo]
    data_start: int
    kinds: dict[str, int] = field(default_factory=dict)

    def raw(self, name: str) -> np.ndarray:
        """A tensor's bytes (uint8), mapped from the file."""
        info = self.tensors[name]
        return np.memmap(self.path, np.uint8, "r", self.data_start + info.offset, (info.size,))


class _Bytes:
    """A cursor that never reads past the end and never allocates more than the file can hold."""

    def __init__(self, data: mmap.mmap, path: Path) -> None:
        self.data = data
        self.path = path
        self.position = 0

    def damaged(self, cause: str) -> ConversionError:
        return ConversionError(f"{self.path.name} is not a valid GGUF file", cause, "Download the file again, or create it again.")

    def take(self, size: int, field: str) -> bytes:
        if size > len(self.data) - self.position:
            raise self.damaged(
                f"{field} needs {size} bytes at offset {self.position}, but the file ends (or its header passes {MAX_GGUF_HEADER} bytes)."
            )
        self.position += size
        return self.data[self.position - size : self.position]

    def number(self, kind: int, field: str) -> Any:
        form = NUMBER_STRUCTS[kind]
        return form.unpack(self.take(form.size, field))[0]

    def count(self, field: str, item_bytes: int, limit: int) -> int:
        number: int = self.number(U64, field)
        if number > limit or number * item_bytes > len(self.data) - self.position:
            raise self.damaged(f"{field} claims {number} items, more than the file can hold.")
        return number

    def string(self, field: str, limit: int = MAX_STRING) -> str:
        length = self.number(U64, field)
        if length > limit:
            raise self.damaged(f"{field} claims {length} bytes.")
        try:
            return self.take(length, field).decode("utf-8")
        except UnicodeDecodeError as error:
            raise self.damaged(f"{field} is not UTF-8: {error}.") from error

    def value(self, key: str) -> tuple[int, Any]:
        kind = self.number(U32, key)
        return kind, self._array(key) if kind == ARRAY else self._scalar(kind, key)

    def _scalar(self, kind: int, key: str) -> Any:
        if kind == STRING:
            return self.string(key)
        if kind == BOOL:
            flag = self.number(U8, key)
            if flag > 1:
                raise self.damaged(f"{key} is neither true nor false.")
            return bool(flag)
        if kind not in NUMBER_DTYPES:
            raise self.damaged(f"{key} has the unknown kind {kind}.")
        return self.number(kind, key)

    def _array(self, key: str) -> Any:
        item = self.number(U32, key)
        if item == STRING:
            return [self.string(key) for _ in range(self.count(key, 8, MAX_STRINGS))]
        if item != BOOL and item not in NUMBER_DTYPES:
            raise self.damaged(f"{key} is an array of the unknown kind {item}.")
        dtype = np.dtype("<u1" if item == BOOL else NUMBER_DTYPES[item])
        size = self.count(key, dtype.itemsize, MAX_GGUF_HEADER) * dtype.itemsize
        return np.frombuffer(self.take(size, key), dtype)


def read_header(path: Path) -> Header:
    """Read metadata and tensor infos; every count, length and offset is checked against the file's size before it is used.

    Raises ConversionError when the file is not a GGUF, is cut short, or contradicts itself.
    """
    try:
        with open(path, "rb") as file:
            size = file.seek(0, 2)
            if size < 24:
                raise ConversionError(f"{path.name} is not a GGUF file", f"It has only {size} bytes.", "Choose a .gguf file.")
            with mmap.mmap(file.fileno(), min(size, MAX_GGUF_HEADER), access=mmap.ACCESS_READ) as data:
                return _parsed(_Bytes(data, path), size)
    except OSError as error:
        raise ConversionError(f"{path.name} cannot be read", str(error), "Check that the path exists and that you may read it.") from error


def _parsed(reader: _Bytes, file_size: int) -> Header:
    if reader.take(4, "the magic") != MAGIC:
        raise ConversionError(f"{reader.path.name} is not a GGUF file", "It does not start with 'GGUF'.", "Choose a .gguf file.")
    version = reader.number(U32, "the version")
    if version not in (2, 3):
        raise reader.damaged(f"Version {version} is not supported; 2 and 3 are.")

    n_tensors = reader.count("the number of tensors", 32, MAX_ENTRIES)
    n_keys = reader.count("the number of metadata keys", 13, MAX_ENTRIES)

    metadata: dict[str, Any] = {}
    kinds: dict[str, int] = {}
    for _ in range(n_keys):
        key = reader.string("a metadata key", 65_535)
        if key in metadata:
            raise reader.damaged(f"The key {key!r} appears twice.")
        kinds[key], metadata[key] = reader.value(key)

    alignment = metadata.get("general.alignment", ALIGNMENT)
    if not isinstance(alignment, int) or not 1 <= alignment <= 65_536 or alignment & (alignment - 1):
        raise reader.damaged(f"The alignment {alignment!r} is not a power of two up to 65536.")

    tensors = {info.name: info for info in _tensor_infos(reader, n_tensors, alignment)}
    if len(tensors) != n_tensors:
        raise reader.damaged("Two tensors have the same name.")

    start = padded(reader.position, alignment)
    _check_offsets(reader, list(tensors.values()), file_size - start)
    return Header(reader.path, version, metadata, tensors, start, kinds)


def _tensor_infos(reader: _Bytes, count: int, alignment: int) -> Iterator[TensorInfo]:
    for _ in range(count):
        name = reader.string("a tensor's name", 63)
        dimensions = reader.number(U32, name)
        if not 1 <= dimensions <= 4:
            raise reader.damaged(f"{name} has {dimensions} dimensions.")

        shape = tuple(reader.number(U64, name) for _ in range(dimensions))
        type_name = TYPE_NAMES.get(reader.number(U32, name))
        offset = reader.number(U64, name)

        # A plain product: numpy's would overflow silently on a shape that no file can hold.
        total = 1
        for length in shape:
            total *= length
        if type_name is None or not 0 < total < 2**62 or shape[0] % GGML_TYPES[type_name].weights or offset % alignment:
            raise reader.damaged(f"{name} has an impossible type, shape {shape} or offset {offset}.")
        yield TensorInfo(name, shape, type_name, offset, data_size(shape, type_name))


def _check_offsets(reader: _Bytes, tensors: list[TensorInfo], available: int) -> None:
    end = 0
    previous = ""
    for info in sorted(tensors, key=lambda info: info.offset):
        if info.offset < end:
            raise reader.damaged(f"{info.name} overlaps {previous}.")
        end = info.offset + info.size
        previous = info.name
        if end > available:
            raise reader.damaged(f"{info.name} ends {end - available} bytes after the file does.")
