"""safetensors folders: right bytes, and nothing that lies."""

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from converters.errors import ConversionError
from converters.weights import read_folder, read_safetensors


def raw_file(header: Any, data: bytes = b"\0" * 16) -> bytes:
    """A safetensors file of this header, true or not."""
    encoded = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(encoded).to_bytes(8, "little") + encoded + data


GOOD = {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]}


def test_values_of_every_float_type_equal_torch(tmp_path: Path) -> None:
    import torch
    from safetensors.torch import save_file

    wanted = {
        str(dtype): torch.randn(5, 3, generator=torch.Generator().manual_seed(0)).to(dtype)
        for dtype in (torch.float32, torch.float16, torch.bfloat16)
    }
    save_file(wanted, tmp_path / "m.safetensors", metadata={"format": "pt"})
    for name, stored in read_safetensors(tmp_path / "m.safetensors").items():
        assert np.array_equal(stored.load(), wanted[name].float().numpy())
        stored.load()[:] = 0  # a copy: the file stays as it is


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\0" * 7,
        (2**62).to_bytes(8, "little") + b"{}",
        (50).to_bytes(8, "little") + b"{}",
        raw_file(b"[]", b""),
        raw_file(b"{", b""),
        raw_file(b"[" * 100_000, b""),
        raw_file(b"\xff\xff", b""),
        raw_file({"a": 3}),
        raw_file({"a": GOOD | {"dtype": "F13"}}),
        raw_file({"a": GOOD | {"shape": [2, 3]}}),
        raw_file({"a": GOOD | {"shape": [-2, -2]}}),
        raw_file({"a": GOOD | {"shape": [2**70, 0]}}),
        raw_file({"a": GOOD | {"data_offsets": [16, 0]}}),
        raw_file({"a": GOOD | {"data_offsets": [0, 10**15]}}),
        raw_file({"a": GOOD | {"data_offsets": [0]}}),
        raw_file({"a": GOOD | {"shape": [True, 4]}}),
        raw_file({"a": GOOD | {"more": 1}}),
        raw_file({"a": GOOD, "b": GOOD}),
        raw_file({"a": GOOD}, b"\0" * 15),
        raw_file({"a": GOOD}, b"\0" * 17),
        raw_file(b'{"a": ' + json.dumps(GOOD).encode() + b', "a": ' + json.dumps(GOOD).encode() + b"}"),
    ],
    ids=range(22),
)
def test_lying_headers_are_refused(tmp_path: Path, raw: bytes) -> None:
    (tmp_path / "m.safetensors").write_bytes(raw)
    with pytest.raises(ConversionError):
        read_safetensors(tmp_path / "m.safetensors")


def test_flipped_bytes_never_crash(tmp_path: Path) -> None:
    raw, rng = raw_file({"a": GOOD, "b": {"dtype": "BF16", "shape": [4], "data_offsets": [16, 24]}}, b"\0" * 24), random.Random(0)
    (tmp_path / "m.safetensors").write_bytes(raw)
    assert set(read_safetensors(tmp_path / "m.safetensors")) == {"a", "b"}
    for _ in range(500):
        flipped = bytearray(raw)
        flipped[rng.randrange(len(raw) - 24)] ^= 1 << rng.randrange(8)
        (tmp_path / "m.safetensors").write_bytes(flipped)
        try:
            read_safetensors(tmp_path / "m.safetensors")
        except ConversionError:
            continue


@pytest.mark.parametrize(
    "index",
    [
        {},
        {"weight_map": {}},
        {"weight_map": {"a": 3}},
        {"weight_map": {"a": "../one.safetensors"}},
        {"weight_map": {"a": "/etc/passwd"}},
        {"weight_map": {"a": "one.bin"}},
        {"weight_map": {"a": "two.safetensors"}},
        {"weight_map": {"b": "one.safetensors"}},
        {"weight_map": {"a": "x\\one.safetensors"}},
    ],
    ids=range(9),
)
def test_lying_indexes_are_refused(tmp_path: Path, index: dict[str, Any]) -> None:
    (tmp_path / "one.safetensors").write_bytes(raw_file({"a": GOOD}))
    (tmp_path / "one.bin").write_bytes(b"")
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": "one.safetensors"}}))
    assert set(read_folder(tmp_path)) == {"a"}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(ConversionError):
        read_folder(tmp_path)


def test_pickled_weights_are_never_read(tmp_path: Path) -> None:
    (tmp_path / "pytorch_model.bin").write_bytes(b"\x80\x04.")
    with pytest.raises(ConversionError) as refusal:
        read_folder(tmp_path)
    assert "safetensors" in refusal.value.remedy
