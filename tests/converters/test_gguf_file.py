"""Files written are read back by gguf-py; files that lie are refused before anything is allocated."""

import random
import struct
import time
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from converters.errors import ConversionError
from converters.gguf_file import (
    MAX_GGUF_HEADER,
    TensorInfo,
    Value,
    Writer,
    boolean,
    encode_header,
    f32,
    f32s,
    i32s,
    lay_out,
    read_header,
    scalar_value,
    strings,
    text,
    u32,
)

METADATA = {
    "general.architecture": text("llama"),
    "a.number": u32(7),
    "a.float": f32(0.5),
    "a.flag": boolean(True),
    "none": strings([]),
    "tokens": strings(["é", "", "b" * 300]),
    "scores": f32s([0.0, -1.5]),
    "types": i32s([1, -2, 3]),
    "big": scalar_value(-5),
}


def write(path: Path) -> dict[str, np.ndarray]:
    """A small file of two tensors; returns their bytes."""
    data: dict[str, np.ndarray] = {"one.weight": np.arange(64, dtype=np.float32), "two.weight": np.arange(68, dtype=np.uint8)}
    with open(path, "wb") as file:
        writer = Writer(file, METADATA, lay_out([("one.weight", (16, 4), "F32"), ("two.weight", (32, 2), "Q8_0")]))
        for name, values in data.items():
            writer.write(name, values)
        writer.finish()
    return {name: values.view(np.uint8) for name, values in data.items()}


def test_gguf_py_and_we_read_what_was_written(tmp_path: Path) -> None:
    import gguf

    data = write(tmp_path / "m.gguf")
    header = read_header(tmp_path / "m.gguf")
    theirs = gguf.GGUFReader(tmp_path / "m.gguf")
    assert header.metadata["tokens"] == ["é", "", "b" * 300] == theirs.fields["tokens"].contents()
    assert header.metadata["types"].tolist() == [1, -2, 3] == theirs.fields["types"].contents()
    assert [header.metadata[key] for key in ("a.number", "a.float", "a.flag", "big", "none")] == [7, 0.5, True, -5, []]
    assert [theirs.fields[key].contents() for key in ("a.number", "a.float", "a.flag", "big")] == [7, 0.5, True, -5]
    for tensor in theirs.tensors:
        info = header.tensors[tensor.name]
        assert (info.type, list(info.shape)) == (tensor.tensor_type.name, tensor.shape.tolist())
        assert info.offset + header.data_start == tensor.data_offset
        assert np.array_equal(header.raw(tensor.name), data[tensor.name])


def refused(path: Path, raw: bytes) -> ConversionError:
    """Write the bytes and read them: refused, quickly and in little memory."""
    path.write_bytes(raw)
    tracemalloc.start()
    started = time.monotonic()
    with pytest.raises(ConversionError) as refusal:
        read_header(path)
    assert time.monotonic() - started < 2
    assert tracemalloc.get_traced_memory()[1] < 20e6
    tracemalloc.stop()
    return refusal.value


def start(tensors: int, keys: int) -> bytes:
    """The fixed part of a header."""
    return b"GGUF" + struct.pack("<IQQ", 3, tensors, keys)


def key(name: bytes, kind: int, rest: bytes) -> bytes:
    """One metadata entry."""
    return struct.pack("<Q", len(name)) + name + struct.pack("<I", kind) + rest


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"GGUF",
        b"GGML" + start(0, 0)[4:] + b"\0" * 100,
        b"GGUF" + struct.pack("<IQQ", 9, 0, 0) + b"\0" * 100,
        start(2**63, 0) + b"\0" * 100,
        start(0, 2**63) + b"\0" * 100,
        start(0, 3) + b"\0" * 10,
        start(0, 1) + struct.pack("<Q", 2**63) + b"\0" * 100,
        start(0, 1) + key(b"k", 8, struct.pack("<Q", 2**40)) + b"\0" * 100,
        start(0, 1) + key(b"k", 8, struct.pack("<Q", 2) + b"\xff\xfe") + b"\0" * 100,
        start(0, 1) + key(b"k", 9, struct.pack("<IQ", 4, 2**62)) + b"\0" * 100,
        start(0, 1) + key(b"k", 9, struct.pack("<IQ", 8, 2**61)) + b"\0" * 100,
        start(0, 1) + key(b"k", 9, struct.pack("<IQ", 9, 1)) + b"\0" * 100,
        start(0, 1) + key(b"k", 99, b"\0" * 8) + b"\0" * 100,
        start(0, 1) + key(b"k", 7, b"\x05") + b"\0" * 100,
        start(0, 2) + key(b"k", 0, b"\1") * 2 + b"\0" * 100,
        start(0, 1) + key(b"general.alignment", 4, struct.pack("<I", 33)) + b"\0" * 100,
        start(0, 1) + key(b"general.alignment", 4, struct.pack("<I", 0)) + b"\0" * 100,
        start(0, 1) + key(b"general.alignment", 8, struct.pack("<Q", 1) + b"x") + b"\0" * 100,
    ],
    ids=range(19),
)
def test_lying_headers_are_refused(tmp_path: Path, raw: bytes) -> None:
    assert refused(tmp_path / "m.gguf", raw).remedy


@pytest.mark.parametrize(
    "infos",
    [
        [TensorInfo("a", (2**40, 2**40), "F32", 0, 0)],
        [TensorInfo("a", (0, 4), "F32", 0, 0)],
        [TensorInfo("a", (33,), "Q8_0", 0, 0)],
        [TensorInfo("a", (32,), "F32", 7, 0)],
        [TensorInfo("a", (32,), "F32", 2**62, 0)],
        [TensorInfo("a", (512,), "F32", 0, 0)],
        [TensorInfo("a", (1,) * 5, "F32", 0, 0)],
        [TensorInfo("a" * 64, (32,), "F32", 0, 0)],
        [TensorInfo("a", (32,), "F32", 0, 0), TensorInfo("a", (32,), "F32", 128, 0)],
        [TensorInfo("a", (32,), "F32", 0, 0), TensorInfo("b", (32,), "F32", 96, 0)],
    ],
    ids=["overflow", "empty", "broken block", "unaligned", "far away", "past the end", "five dimensions", "long name", "twice", "overlap"],
)
def test_lying_tensors_are_refused(tmp_path: Path, infos: list[TensorInfo]) -> None:
    refused(tmp_path / "m.gguf", encode_header({"general.architecture": text("llama")}, infos) + b"\0" * 1024)


def test_every_truncation_is_refused_and_no_flipped_byte_crashes(tmp_path: Path) -> None:
    write(tmp_path / "m.gguf")
    raw = (tmp_path / "m.gguf").read_bytes()
    padding = 28
    for length in range(0, len(raw) - padding, 3):
        refused(tmp_path / "cut.gguf", raw[:length])
    rng = random.Random(0)
    for _ in range(400):
        flipped = bytearray(raw)
        flipped[rng.randrange(read_header(tmp_path / "m.gguf").data_start)] ^= 1 << rng.randrange(8)
        (tmp_path / "flip.gguf").write_bytes(flipped)
        try:
            read_header(tmp_path / "flip.gguf")
        except ConversionError:
            continue


def test_headers_larger_than_any_are_refused(tmp_path: Path) -> None:
    """A sparse file that is big enough for its lie: half a gigabyte of header."""
    with open(tmp_path / "m.gguf", "wb") as file:
        file.write(start(0, 1) + key(b"k", 9, struct.pack("<IQ", 4, MAX_GGUF_HEADER // 4)))
        file.truncate(MAX_GGUF_HEADER * 2)
    with pytest.raises(ConversionError):
        read_header(tmp_path / "m.gguf")


def test_whole_numbers_keep_their_kind() -> None:
    assert scalar_value(True) == boolean(True) and scalar_value(2**32 - 1) == u32(2**32 - 1)
    assert scalar_value(-1) == Value(11, -1) and scalar_value(0.25) == f32(0.25) and scalar_value("x") == text("x")
