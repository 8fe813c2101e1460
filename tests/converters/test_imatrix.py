"""Importance matrices: the bytes that llama.cpp writes, both forms read, and files that lie refused."""

import ctypes
import io
import random
import struct
import time
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from converters import convert, imatrix
from converters.errors import ConversionError
from converters.ggml import library
from converters.gguf_file import Value, Writer, lay_out, read_header, strings, text, u32
from converters.imatrix import Entry, ImportanceMatrix
from tests.converters.quantizer import importance_of, over_counts, quantize_file, write_model
from tests.converters.reference import write_gguf
from tests.converters.test_quantize import llama

CONFIG = llama(2, 64, 96, (4, 2), 16)
MATRIX = ImportanceMatrix(
    {
        "blk.10.attn_q.weight": Entry(np.array([[2]], np.float32), np.array([3])),
        "blk.0.attn_q.weight": Entry(np.array([[1.5, 0, 3, 1e-3, 7]], np.float32), np.array([12])),
        "blk.0.ffn_down_exps.weight": Entry(np.array([[1, 2], [3, 4], [0, 0]], np.float32), np.array([2, 5, 0])),
    },
    ("texts/über.txt", "more.txt"),
    7,
    512,
    "m.gguf",
)


def written(path: Path, matrix: ImportanceMatrix = MATRIX) -> Path:
    """The matrix as a file."""
    with open(path, "wb") as file:
        imatrix.write_imatrix(file, matrix)
    return path


def assert_same_matrix(one: ImportanceMatrix, other: ImportanceMatrix) -> None:
    assert one.entries.keys() == other.entries.keys()
    for name, entry in one.entries.items():
        assert entry.sums.dtype == np.float32 and np.array_equal(entry.sums, other.entries[name].sums), name
        assert np.array_equal(entry.counts, other.entries[name].counts), name
    assert (one.datasets, one.chunks, one.chunk_size, one.name) == (other.datasets, other.chunks, other.chunk_size, other.name)


def ggml_writes(path: Path, matrix: ImportanceMatrix) -> None:
    """Write a matrix through ggml's own GGUF functions, called as llama-imatrix calls them (tools/imatrix/imatrix.cpp, `save_imatrix`)."""

    class Params(ctypes.Structure):
        _fields_ = [("size", ctypes.c_size_t), ("buffer", ctypes.c_void_p), ("no_alloc", ctypes.c_bool)]

    ggml, pointer = library(), ctypes.c_void_p
    ggml.gguf_init_empty.restype = ggml.ggml_init.restype = ggml.ggml_new_tensor_2d.restype = ggml.ggml_get_data.restype = pointer
    ggml.ggml_init.argtypes = [Params]
    ggml.ggml_new_tensor_2d.argtypes = [pointer, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]
    ggml.gguf_set_arr_str.argtypes = [pointer, ctypes.c_char_p, pointer, ctypes.c_size_t]
    gguf, context = pointer(ggml.gguf_init_empty()), pointer(ggml.ggml_init(Params(2**20, None, False)))
    ggml.gguf_set_val_str(gguf, b"general.type", b"imatrix")
    names = (ctypes.c_char_p * len(matrix.datasets))(*(name.encode() for name in matrix.datasets))
    ggml.gguf_set_arr_str(gguf, b"imatrix.datasets", names, len(names))
    ggml.gguf_set_val_u32(gguf, b"imatrix.chunk_count", ctypes.c_uint32(matrix.chunks))
    ggml.gguf_set_val_u32(gguf, b"imatrix.chunk_size", ctypes.c_uint32(matrix.chunk_size))
    for name, entry in sorted(matrix.entries.items()):
        for end, values in ((".in_sum2", entry.sums), (".counts", entry.counts[:, None].astype(np.float32))):
            tensor = pointer(ggml.ggml_new_tensor_2d(context, 0, values.shape[1], values.shape[0]))
            ggml.ggml_set_name(tensor, (name + end).encode())
            ctypes.memmove(ggml.ggml_get_data(tensor), values.ctypes.data, values.nbytes)
            ggml.gguf_add_tensor(gguf, tensor)
    assert ggml.gguf_write_to_file(gguf, str(path).encode(), False)
    ggml.gguf_free(gguf)
    ggml.ggml_free(context)


def test_the_file_is_the_one_ggml_writes_and_is_read_back(tmp_path: Path) -> None:
    ggml_writes(tmp_path / "theirs.gguf", MATRIX)
    assert written(tmp_path / "m.gguf").read_bytes() == (tmp_path / "theirs.gguf").read_bytes()
    assert_same_matrix(imatrix.read_imatrix(tmp_path / "m.gguf"), MATRIX)


def test_importance_is_the_mean_square_and_one_where_nothing_was_seen() -> None:
    experts = MATRIX.entries["blk.0.ffn_down_exps.weight"].importance()
    assert experts.dtype == np.float32
    assert experts.tolist() == [0.5, 1, np.float32(3) / np.float32(5), np.float32(4) / np.float32(5), 1, 1]


def older(*entries: tuple[bytes, int, list[float]], end: bytes = b"", count: int | None = None) -> bytes:
    """A file of the older form."""
    parts = [struct.pack("<i", len(entries) if count is None else count)]
    for name, chunks, values in entries:
        parts += [struct.pack("<i", len(name)), name, struct.pack("<ii", chunks, len(values)), np.array(values, "<f4").tobytes()]
    return b"".join(parts) + end


ONE = (b"blk.0.attn_q.weight", 3, [6.0, 0.0, 1.0])
END = struct.pack("<ii", 40, 8) + b"some.txt"


def test_the_older_form_is_read(tmp_path: Path) -> None:
    path = tmp_path / "m.dat"
    for raw, datasets, chunks in (
        (older(ONE, (b"output.weight", 0, [5.0])), (), 0),
        (older(ONE, (b"output.weight", 0, [5.0]), end=END[:4]), (), 40),
        (older(ONE, (b"output.weight", 0, [5.0]), end=END), ("some.txt",), 40),
    ):
        path.write_bytes(raw)
        matrix = imatrix.read_imatrix(path)
        assert (matrix.datasets, matrix.chunks, matrix.name) == (datasets, chunks, "m.dat")
        assert matrix.entries["blk.0.attn_q.weight"].importance().tolist() == [2, 0, np.float32(1) / np.float32(3)]
        assert matrix.entries["output.weight"].importance().tolist() == [5]
        written(tmp_path / "m.gguf", matrix)
        assert imatrix.read_imatrix(tmp_path / "m.gguf").entries["output.weight"].importance().tolist() == [5]


def gguf(tensors: dict[str, Any], drop: str = "", **changes: Value) -> bytes:
    """A GGUF with the keys of an importance matrix, some changed or left out."""
    keys = {"datasets": strings(["t"]), "chunk_count": u32(1), "chunk_size": u32(2)} | changes
    metadata = {"general.type": text("imatrix")} | {f"imatrix.{key}": value for key, value in keys.items() if key != drop}
    arrays = {name: np.atleast_2d(np.asarray(values)) for name, values in tensors.items()}
    kinds = {name: "F32" if values.dtype == np.float32 else "I32" for name, values in arrays.items()}
    file = io.BytesIO()
    writer = Writer(file, metadata, lay_out((name, values.shape[::-1], kinds[name]) for name, values in arrays.items()))
    for name, values in arrays.items():
        writer.write(name, values)
    return file.getvalue()


def floats(*values: float) -> np.ndarray:
    return np.array(values, np.float32)


PAIR = {"a.in_sum2": floats(1, 2), "a.counts": floats(1)}


@pytest.mark.parametrize(
    "raw",
    {
        "empty": b"",
        "three bytes": b"GGU",
        "text": b"This is no importance matrix, it is a text.\n" * 9,
        "no entries": older(),
        "negative number of entries": older(ONE, count=-1),
        "more entries than there are": older(ONE, count=2),
        "endless entries": older(ONE, count=2**31 - 1),
        "endless name": struct.pack("<ii", 1, 2**31 - 1) + b"x" * 99,
        "negative name": struct.pack("<ii", 1, -5) + b"x" * 99,
        "name not UTF-8": older((b"\xff\xfe", 1, [1.0])),
        "endless values": struct.pack("<iiciii", 1, 1, b"a", 0, 1, 2**31 - 1) + b"x" * 99,
        "no values": older((b"a", 1, [])),
        "negative chunks": older((b"a", -1, [1.0])),
        "twice": older(ONE, ONE),
        "older with NaN": older((b"a", 1, [1.0, float("nan")])),
        "older below zero": older((b"a", 1, [-1.0])),
        "half an end": older(ONE, end=END[:6]),
        "endless text name": older(ONE, end=struct.pack("<ii", 40, 9) + b"some.txt"),
        "more after the end": older(ONE, end=END + b"!"),
        "a GGUF cut short": gguf(PAIR)[:-40],
        "no tensors": gguf({}),
        "other tensors": gguf({"output.weight": floats(1)}),
        "no counts": gguf({"a.in_sum2": floats(1, 2)}),
        "no sums": gguf({"a.counts": floats(1)}),
        "whole numbers": gguf({"a.in_sum2": np.array([1, 2], np.int32), "a.counts": floats(1)}),
        "counts that do not divide": gguf({"a.in_sum2": floats(1, 2, 3), "a.counts": floats(1, 1)}),
        "more counts than sums": gguf({"a.in_sum2": floats(1, 2), "a.counts": floats(1, 1, 1)}),
        "a count below zero": gguf({"a.in_sum2": floats(1, 2), "a.counts": floats(-1)}),
        "a count of NaN": gguf({"a.in_sum2": floats(1, 2), "a.counts": floats(np.nan)}),
        "a count of infinity": gguf({"a.in_sum2": floats(1, 2), "a.counts": floats(np.inf)}),
        "NaN": gguf({"a.in_sum2": floats(1, np.nan), "a.counts": floats(1)}),
        "infinity": gguf({"a.in_sum2": floats(1, np.inf), "a.counts": floats(1)}),
        "below zero": gguf({"a.in_sum2": floats(1, -1), "a.counts": floats(1)}),
        "no datasets": gguf(PAIR, drop="datasets"),
        "no chunk count": gguf(PAIR, drop="chunk_count"),
        "no chunk size": gguf(PAIR, drop="chunk_size"),
        "datasets of one string": gguf(PAIR, datasets=text("t")),
        "chunk count of text": gguf(PAIR, chunk_count=text("1")),
        "chunk count below zero": gguf(PAIR, chunk_count=Value(5, -1)),
    }.items(),
    ids=lambda item: item[0],
)
def test_what_is_no_importance_matrix_is_refused(tmp_path: Path, raw: tuple[str, bytes]) -> None:
    """By name, quickly and in little memory."""
    (tmp_path / "m.gguf").write_bytes(raw[1])
    tracemalloc.start()
    started = time.monotonic()
    with pytest.raises(ConversionError, match=r"m\.gguf") as refusal:
        imatrix.read_imatrix(tmp_path / "m.gguf")
    assert time.monotonic() - started < 2 and tracemalloc.get_traced_memory()[1] < 20e6
    tracemalloc.stop()
    assert refusal.value.cause and refusal.value.remedy


def test_a_sound_file_of_the_refused_kind_is_read(tmp_path: Path) -> None:
    """So that the refusals above come from what each of them names."""
    (tmp_path / "m.gguf").write_bytes(gguf(PAIR))
    assert imatrix.read_imatrix(tmp_path / "m.gguf").entries["a"].importance().tolist() == [1, 2]


def test_files_larger_than_any_are_refused_unread(tmp_path: Path) -> None:
    with open(tmp_path / "m.dat", "wb") as file:
        file.write(older(ONE))
        file.truncate(imatrix.MAX_SIZE + 1)
    tracemalloc.start()
    with pytest.raises(ConversionError, match=r"m\.dat"):
        imatrix.read_imatrix(tmp_path / "m.dat")
    assert tracemalloc.get_traced_memory()[1] < 20e6
    tracemalloc.stop()
    with pytest.raises(ConversionError, match="nothing here"):
        imatrix.read_imatrix(tmp_path / "nothing here")


@pytest.mark.parametrize("form", ["gguf", "older"])
def test_every_truncation_is_refused_and_no_flipped_byte_crashes(tmp_path: Path, form: str) -> None:
    path = tmp_path / "m"
    raw = written(path).read_bytes() if form == "gguf" else older(ONE, (b"output.weight", 2, [5.0]), end=END)
    sound = {len(raw), len(raw) - len(END), len(raw) - len(END) + 4} if form == "older" else set()
    padding = 28 if form == "gguf" else 0
    for length in set(range(len(raw) - padding)) - sound:
        path.write_bytes(raw[:length])
        with pytest.raises(ConversionError):
            imatrix.read_imatrix(path)
    rng = random.Random(0)
    for _ in range(500):
        flipped = bytearray(raw)
        flipped[rng.randrange(len(raw))] ^= 1 << rng.randrange(8)
        path.write_bytes(flipped)
        try:
            imatrix.read_imatrix(path)
        except ConversionError:
            continue


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small model folder."""
    return write_model(tmp_path_factory.mktemp("model") / "m", CONFIG)


def plan(model: Path, matrix: ImportanceMatrix | None) -> convert.Plan:
    return convert.plan_gguf(model, None, ["Q4_0"], chat_template=None, name="n", extra={}, imatrix=matrix)


def test_another_models_matrix_is_refused_as_llama_cpp_refuses_it(model: Path, llama_cpp: Any, tmp_path: Path) -> None:
    write_gguf(model, tmp_path / "f32.gguf", "F32")
    right = importance_of(CONFIG)
    other = importance_of(llama(2, 128, 96, (4, 2), 16))
    assert quantize_file(llama_cpp, tmp_path / "f32.gguf", tmp_path / "q.gguf", "Q4_0", over_counts(right))
    assert not quantize_file(llama_cpp, tmp_path / "f32.gguf", tmp_path / "q.gguf", "Q4_0", over_counts(other))
    plan(model, right)
    with pytest.raises(ConversionError, match="another model") as refusal:
        plan(model, other)
    assert "blk.0.attn_k.weight" in refusal.value.cause
    with pytest.raises(ConversionError, match="another model"):
        plan(model, MATRIX)


@pytest.mark.parametrize("value", [0, 1e-42, 3e38])
@pytest.mark.parametrize("type_name", ["Q6_K", "Q4_K_M", "Q4_0", "IQ4_NL", "Q2_K"])
def test_extreme_importance_ends_as_in_llama_cpp(tmp_path: Path, llama_cpp: Any, value: float, type_name: str) -> None:
    """In the same bytes, or refused by both and the matrix named."""
    wide, folder = llama(1, 256, 96, (4, 2), 16), tmp_path
    write_gguf(write_model(folder / "m", wide), folder / "f32.gguf", "F32")
    entries = {name: Entry(np.full_like(entry.sums, value), np.array([1])) for name, entry in importance_of(wide).entries.items()}
    matrix = ImportanceMatrix(entries)
    if quantize_file(llama_cpp, folder / "f32.gguf", folder / "theirs.gguf", type_name, over_counts(matrix)):
        write_gguf(folder / "m", folder / "ours.gguf", type_name, imatrix=matrix)
        ours, theirs = read_header(folder / "ours.gguf"), read_header(folder / "theirs.gguf")
        assert all(np.array_equal(ours.raw(name), theirs.raw(name)) for name in theirs.tensors)
    else:
        with pytest.raises(ConversionError, match=r"blk\.0.*importance matrix"):
            write_gguf(folder / "m", folder / "ours.gguf", type_name, imatrix=matrix)


def test_what_it_is_silent_of_is_noted(model: Path) -> None:
    (note,) = plan(model, importance_of(CONFIG)).notes
    assert "blk.0.ffn_up.weight" in note
    assert not plan(model, importance_of(CONFIG, without="output.weight")).notes
    assert not plan(model, None).notes


def test_quantized_files_say_which_matrix_they_were_made_with(model: Path, tmp_path: Path) -> None:
    """Under llama.cpp's keys, without anyone's folders."""
    matrix = importance_of(CONFIG)
    write_gguf(model, tmp_path / "q.gguf", "Q4_0", imatrix=ImportanceMatrix(matrix.entries, (r"C:\me\a.txt",), 3, 512, "/home/me/m.gguf"))
    found = {key: value for key, value in read_header(tmp_path / "q.gguf").metadata.items() if key.startswith("quantize.")}
    assert found == {
        "quantize.imatrix.file": "m.gguf",
        "quantize.imatrix.dataset": "a.txt",
        "quantize.imatrix.entries_count": len(matrix.entries),
        "quantize.imatrix.chunks_count": 3,
    }
    for type_name, given in (("Q4_0", None), ("F16", matrix)):
        write_gguf(model, tmp_path / "f.gguf", type_name, imatrix=given)
        assert not [key for key in read_header(tmp_path / "f.gguf").metadata if key.startswith("quantize.")]
