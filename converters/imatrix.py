"""Importance matrices: how strongly each input channel of a model's matrices is used, so that quantization keeps what matters.

llama.cpp's files are read in both forms: the GGUF it writes now, and the older binary one. (Source: tools/imatrix/imatrix.cpp,
common/imatrix-loader.cpp; how the quantizer uses them: tools/quantize/quantize.cpp, `load_imatrix`.)
"""

import struct
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import BinaryIO

import numpy as np

from converters.errors import ConversionError
from converters.gguf_file import MAGIC, MAX_ENTRIES, Header, Value, Writer, lay_out, read_header, strings, text, u32
from converters.quantize import EMBEDDING_MATRICES

SUMS, COUNTS = ".in_sum2", ".counts"
DATASETS, CHUNK_COUNT, CHUNK_SIZE = "imatrix.datasets", "imatrix.chunk_count", "imatrix.chunk_size"
MAX_SIZE = 2**30
"""Bytes; that of a dense model of 400 billion weights has 80 million."""
MAX_NAME = 4096
MAX_COUNT = 2**53


@dataclass(frozen=True)
class Entry:
    """The statistics of one matrix's input; of several matrices for a stack of experts.

    sums: float32 [matrices, channels], each input's square summed over the tokens. counts: int64 [matrices], the tokens.
    """

    sums: np.ndarray
    counts: np.ndarray

    def importance(self) -> np.ndarray:
        """The mean squares, float32 [matrices * channels]; one everywhere for an expert that saw no token."""
        seen = self.counts[:, None] > 0
        counts = np.where(seen, self.counts[:, None], 1).astype(np.float32)
        return np.where(seen, self.sums / counts, np.float32(1)).reshape(-1)


@dataclass(frozen=True)
class ImportanceMatrix:
    """An importance matrix. entries: by llama.cpp's name of the matrix (`blk.0.attn_q.weight`). datasets: the texts it was gathered on, as
    the file names them. chunks, chunk_size: the number of text chunks and their tokens (0: unknown). name: the file's own."""

    entries: dict[str, Entry]
    datasets: tuple[str, ...] = ()
    chunks: int = 0
    chunk_size: int = 0
    name: str = "imatrix"

    def check(self, shapes: dict[str, tuple[int, ...]]) -> list[str]:
        """Check it against a model's matrices (name to shape, rows last), and list those that it should have values for and has not.

        Raises ConversionError where it belongs to another model. Like llama.cpp, it ignores embeddings that it does not fit: llama-imatrix
        gathers nothing for them and for the output matrix by default.
        """
        known = self.entries.keys() & shapes.keys()
        remedy = "Use an importance matrix of this model, or none."

        if not known:
            raise ConversionError(
                "The importance matrix belongs to another model",
                f"None of its {len(self.entries)} entries has the name of one of the model's matrices.",
                remedy,
            )

        for name in sorted(known):
            channels = int(np.prod(shapes[name])) // shapes[name][-2]
            if self.entries[name].sums.size != channels and name not in EMBEDDING_MATRICES:
                raise ConversionError(
                    "The importance matrix belongs to another model",
                    f"It has {self.entries[name].sums.size} values for {name}, which has {channels} inputs.",
                    remedy,
                )

        return sorted(shapes.keys() - known - {*EMBEDDING_MATRICES, "output.weight"})

    def importance(self, name: str, channels: int) -> np.ndarray | None:
        """The mean squares of a matrix's inputs, float32 [channels]; None without an entry that fits."""
        entry = self.entries.get(name)
        return entry.importance() if entry and entry.sums.size == channels else None

    def metadata(self) -> dict[str, Value]:
        """The keys about it in a quantized file (tools/quantize/quantize.cpp), file names without their folders."""
        keys = {"file": text(_base_name(self.name))}
        if self.datasets:
            keys["dataset"] = text(_base_name(self.datasets[0]))
        keys["entries_count"] = u32(len(self.entries))
        if self.chunks:
            keys["chunks_count"] = u32(self.chunks)
        return {f"quantize.imatrix.{key}": value for key, value in keys.items()}


def _base_name(path: str) -> str:
    return PurePosixPath(PureWindowsPath(path).as_posix()).name


def write_imatrix(file: BinaryIO, matrix: ImportanceMatrix) -> None:
    """Write llama.cpp's GGUF form into an open file, the same bytes that it writes."""
    metadata = {
        "general.type": text("imatrix"),
        DATASETS: strings(matrix.datasets),
        CHUNK_COUNT: u32(matrix.chunks),
        CHUNK_SIZE: u32(matrix.chunk_size),
    }

    # llama.cpp writes the entries in the order of their names' bytes.
    tensors: dict[str, np.ndarray] = {}
    for name, entry in sorted(matrix.entries.items(), key=lambda item: item[0].encode()):
        tensors[name + SUMS] = entry.sums.astype("<f4")
        tensors[name + COUNTS] = entry.counts[:, None].astype("<f4")

    shapes = ((name, values.shape[::-1] if len(values) > 1 else values.shape[1:], "F32") for name, values in tensors.items())
    writer = Writer(file, metadata, lay_out(shapes))
    for name, values in tensors.items():
        writer.write(name, values)
    writer.finish()


def read_imatrix(path: Path) -> ImportanceMatrix:
    """Read a file of either form. Raises ConversionError when it is not one, is cut short, or holds impossible values."""
    try:
        with open(path, "rb") as file:
            raw = file.read(len(MAGIC))
            size = file.seek(0, 2)
            if size > MAX_SIZE:
                raise _invalid(path, f"It has {size} bytes, more than the {MAX_SIZE} allowed.")
            if raw != MAGIC:
                file.seek(0)
                raw = file.read(size)
    except OSError as error:
        raise ConversionError(f"{path.name} cannot be read", str(error), "Check that the path exists and that you may read it.") from error

    matrix = _from_gguf(read_header(path), path) if raw == MAGIC else _older(raw, path)
    for name, entry in matrix.entries.items():
        if not np.isfinite(entry.sums).all() or (entry.sums < 0).any():
            raise _invalid(path, f"{name} has values that are not sums of squares.")
    return matrix


def _invalid(path: Path, cause: str) -> ConversionError:
    return ConversionError(f"{path.name} is not a valid importance matrix", cause, "Download the file again, or create it again.")


def _from_gguf(header: Header, path: Path) -> ImportanceMatrix:
    """The current form: two F32 tensors per matrix, its sums [channels, matrices] and its counts [1, matrices]."""
    datasets = header.metadata.get(DATASETS)
    chunks = header.metadata.get(CHUNK_COUNT)
    size = header.metadata.get(CHUNK_SIZE)
    if not isinstance(datasets, list) or any(type(number) is not int or not 0 <= number < 2**32 for number in (chunks, size)):
        raise _invalid(path, f"It lacks {DATASETS}, {CHUNK_COUNT} or {CHUNK_SIZE}.")
    assert isinstance(chunks, int) and isinstance(size, int)

    entries = {}
    names = {name.removesuffix(end) for end in (SUMS, COUNTS) for name in header.tensors if name.endswith(end)}
    for name in sorted(names):
        pair = [header.tensors.get(name + end) for end in (SUMS, COUNTS)]
        if any(info is None or info.type != "F32" for info in pair):
            raise _invalid(path, f"{name} lacks its sums or its counts, or they are not F32.")
        sums, counts = (header.raw(name + end).view("<f4") for end in (SUMS, COUNTS))
        if sums.size % counts.size or not ((counts >= 0) & (counts < MAX_COUNT)).all():
            raise _invalid(path, f"{name} has {counts.size} counts for {sums.size} sums, or impossible counts.")
        entries[name] = Entry(np.array(sums.reshape(counts.size, -1)), np.floor(counts.astype(np.float64) + 0.5).astype(np.int64))
    if not entries:
        raise _invalid(path, "It has no entries.")
    return ImportanceMatrix(entries, tuple(datasets), chunks, size, path.name)


def _older(raw: bytes, path: Path) -> ImportanceMatrix:
    """The older form, little-endian 32-bit numbers: the number of entries; for each its name's length and name, the number of chunks, the
    number of values, and the values (means times chunks); except in the oldest files, the total of chunks and the text's name follow."""
    position = 0

    def take(size: int, field: str) -> bytes:
        nonlocal position
        if not 0 <= size <= len(raw) - position:
            raise _invalid(path, f"{field} needs {size} bytes at offset {position} of {len(raw)}.")
        position += size
        return raw[position - size : position]

    def number(field: str, limit: int = 2**31 - 1) -> int:
        value: int = struct.unpack("<i", take(4, field))[0]
        if not 0 <= value <= limit:
            raise _invalid(path, f"{field} is {value}, where a number from 0 to {limit} belongs.")
        return value

    def name(field: str) -> str:
        try:
            return take(number(f"The length of {field}", MAX_NAME), field).decode("utf-8")
        except UnicodeDecodeError as error:
            raise _invalid(path, f"{field} is not UTF-8: {error}.") from error

    entries: dict[str, Entry] = {}
    for _ in range(number("The number of entries", MAX_ENTRIES)):
        key = name("an entry's name")
        chunks = number(f"The chunks of {key}")
        values = number(f"The values of {key}")
        if key in entries or not values:
            raise _invalid(path, f"{key} appears twice or has no values.")
        sums = np.frombuffer(take(4 * values, key), "<f4").astype(np.float32).reshape(1, -1)
        entries[key] = Entry(sums, np.array([max(chunks, 1)]))
    if not entries:
        raise _invalid(path, "It has no entries.")

    total = number("The total of chunks") if position < len(raw) else 0
    datasets = (name("the text's name"),) if position < len(raw) else ()
    if position != len(raw):
        raise _invalid(path, f"It has {len(raw) - position} bytes after its end.")
    return ImportanceMatrix(entries, tuple(filter(None, datasets)), total, 0, path.name)
