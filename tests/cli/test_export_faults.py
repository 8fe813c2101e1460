"""`edgetune export` on what is damaged or does not belong together: named, without a traceback, with nothing half-written."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from converters.errors import ConversionError
from converters.weights import read_folder, read_safetensors
from edgetune.bases import find
from edgetune.errors import EdgeTuneError
from tests.conftest import ROOT

Call = Callable[..., tuple[int, str, str]]
UP = "model.layers.2.mlp.up_proj.weight"


def header(path: Path) -> tuple[dict[str, Any], bytes]:
    """A safetensors file's header and data."""
    raw = path.read_bytes()
    length = int.from_bytes(raw[:8], "little")
    return json.loads(raw[8 : 8 + length]), raw[8 + length :]


def rewrite(path: Path, entries: Any, data: bytes) -> None:
    """A safetensors file of any header."""
    encoded = entries if isinstance(entries, bytes) else json.dumps(entries).encode()
    path.write_bytes(len(encoded).to_bytes(8, "little") + encoded + data)


def _entry(**changes: Any) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        entries, data = header(folder / "model.safetensors")
        entries[UP] |= changes
        rewrite(folder / "model.safetensors", entries, data)

    return change


def _cut(count: int) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        raw = (folder / "model.safetensors").read_bytes()
        (folder / "model.safetensors").write_bytes(raw[:count])

    return change


def _length(folder: Path) -> None:
    raw = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes((2**62).to_bytes(8, "little") + raw[8:])


def _nested(folder: Path) -> None:
    rewrite(folder / "model.safetensors", b"[" * 200_000, b"")


def _without(folder: Path) -> None:
    entries, data = header(folder / "model.safetensors")
    start, end = entries.pop(UP)["data_offsets"]
    for name, entry in entries.items():
        if name != "__metadata__" and entry["data_offsets"][0] >= end:
            entry["data_offsets"] = [place - (end - start) for place in entry["data_offsets"]]
    rewrite(folder / "model.safetensors", entries, data[:start] + data[end:])


def _not_finite(folder: Path) -> None:
    entries, data = header(folder / "model.safetensors")
    start, changed = entries[UP]["data_offsets"][0], bytearray(data)
    changed[start + 6 : start + 8] = b"\xc0\x7f"  # NaN in bfloat16
    rewrite(folder / "model.safetensors", entries, bytes(changed))


def _sharded(folder: Path) -> None:
    """Two shards and an index instead of one file."""
    entries, data = header(folder / "model.safetensors")
    entries.pop("__metadata__", None)
    names, places = sorted(entries), {}
    for number, part in enumerate((names[::2], names[1::2]), 1):
        shard, own, rest = f"model-0000{number}-of-00002.safetensors", {}, b""
        for name in part:
            start, end = entries[name]["data_offsets"]
            own[name] = entries[name] | {"data_offsets": [len(rest), len(rest) + end - start]}
            rest += data[start:end]
            places[name] = shard
        rewrite(folder / shard, own, rest)
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": places}))


def _shard(change: Callable[[Path], Any]) -> Callable[[Path], None]:
    def both(folder: Path) -> None:
        _sharded(folder)
        change(folder / "model-00002-of-00002.safetensors")

    return both


def _index(change: Callable[[dict[str, Any]], Any]) -> Callable[[Path], None]:
    def both(folder: Path) -> None:
        _sharded(folder)
        path = folder / "model.safetensors.index.json"
        index = json.loads(path.read_text())
        change(index["weight_map"])
        path.write_text(json.dumps(index))

    return both


def _listed(folder: Path) -> None:
    _sharded(folder)
    (folder / "model.safetensors.index.json").write_text("[]")


def _tokenizer(change: Callable[[dict[str, Any]], Any]) -> Callable[[Path], None]:
    def both(folder: Path) -> None:
        document = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
        change(document)
        (folder / "tokenizer.json").write_text(json.dumps(document), encoding="utf-8")

    return both


def _shrink(document: dict[str, Any]) -> None:
    """A quarter of the vocabulary."""
    ids = {token: number for token, number in document["model"]["vocab"].items() if number < 512}
    document["model"].update(vocab=ids, merges=[pair for pair in document["model"]["merges"] if "".join(pair) in ids])


FAULTS: dict[str, tuple[Callable[[Path], Any], str]] = {
    "cut in the data": (_cut(-100), "model.safetensors"),
    "cut in the header": (_cut(600), "model.safetensors"),
    "cut in its length": (_cut(5), "model.safetensors"),
    "empty": (_cut(0), "model.safetensors"),
    "header longer than the file": (_length, "model.safetensors"),
    "header nested without end": (_nested, "model.safetensors"),
    "header that is a list": (lambda folder: rewrite(folder / "model.safetensors", [1], b""), "model.safetensors"),
    "shape larger than the data": (_entry(shape=[769, 256]), UP),
    "shape of words": (_entry(shape=["a", "b"]), "model.safetensors"),
    "shape that is a table": (_entry(shape={"a": 1}), "model.safetensors"),
    "shape below zero": (_entry(shape=[-768, -256]), "model.safetensors"),
    "offsets of words": (_entry(data_offsets=["a", "b"]), "model.safetensors"),
    "offsets past the end": (_entry(data_offsets=[2**60, 2**60 + 393216]), "model.safetensors"),
    "offsets over another tensor": (_entry(data_offsets=[0, 393216]), "model.safetensors"),
    "unknown type": (_entry(dtype="F13"), UP),
    "whole numbers": (_entry(dtype="I16"), UP),
    "missing tensor": (_without, UP),
    "NaN": (_not_finite, UP),
    "cut shard": (_shard(lambda path: path.write_bytes(path.read_bytes()[:-8])), "model-00002-of-00002.safetensors"),
    "missing shard": (_shard(Path.unlink), "model-00002-of-00002.safetensors"),
    "index with a path": (_index(lambda places: places.update({UP: "../other.safetensors"})), "other.safetensors"),
    "index of more than there is": (_index(lambda places: places.update({UP + "s": "model-00002-of-00002.safetensors"})), UP + "s"),
    "config nested without end": (lambda folder: (folder / "config.json").write_text('{"a":' * 200_000), "config.json"),
    "tokenizer nested without end": (lambda folder: (folder / "tokenizer.json").write_text('{"a":' * 200_000), "okenizer"),
    "tokenizer's settings that are a list": (lambda folder: (folder / "tokenizer_config.json").write_text("[1]"), "okenizer"),
    "index that is a list": (_listed, "index.json"),
    "tokenizer of a larger model": (_tokenizer(lambda one: one["model"]["vocab"].update({"new": 2048})), "tokens"),
    "tokenizer of a smaller model": (_tokenizer(_shrink), "512"),
    "tokenizer that is none": (_tokenizer(lambda one: one.update(model={"type": "Unigram", "vocab": []})), "okenizer"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_damaged_folder_is_named_and_leaves_nothing(edgetune: Call, nano: Path, tmp_path: Path, fault: str) -> None:
    change, named = FAULTS[fault]
    folder = shutil.copytree(nano, tmp_path / "m")
    if "index" in fault or "shard" in fault:  # sound shards export
        _sharded(shutil.copytree(nano, tmp_path / "sound"))
        assert len(read_folder(tmp_path / "sound")) == len(read_safetensors(nano / "model.safetensors"))
    change(folder)
    code, out, err = edgetune("export", folder, "--type", "Q8_0", "--type", "Q4_0", "--out", tmp_path / "out")
    assert code in (1, 2) and out == "" and "Traceback" not in err
    assert named in err and "do:" in err, err
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())


def _adapter(folder: Path, rows: int, columns: int, nan: bool = False, name: str = "q_proj") -> Path:
    """A LoRA of rank 4 on one matrix of the second layer."""
    from safetensors.numpy import save_file

    folder.mkdir()
    prefix = f"base_model.model.model.layers.1.self_attn.{name}"
    weights = {f"{prefix}.lora_A.weight": np.ones((4, columns), np.float32), f"{prefix}.lora_B.weight": np.ones((rows, 4), np.float32)}
    if nan:
        weights[f"{prefix}.lora_B.weight"][1, 1] = np.nan
    save_file(weights, folder / "adapter_model.safetensors")
    config = {"peft_type": "LORA", "r": 4, "lora_alpha": 8, "target_modules": [name], "bias": "none", "task_type": "CAUSAL_LM"}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    return folder


@pytest.mark.parametrize("only", [False, True])
def test_an_adapter_that_does_not_fit_is_named_and_leaves_nothing(edgetune: Call, nano: Path, tmp_path: Path, only: bool) -> None:
    words, out = (["--adapter-only"] if only else ["--type", "Q8_0"]), tmp_path / "out"
    assert edgetune("export", nano, "--adapter", _adapter(tmp_path / "good", 256, 256), *words, "--out", tmp_path / "good-out")[0] == 0
    cut = _adapter(tmp_path / "cut", 256, 256)
    (cut / "adapter_model.safetensors").write_bytes((cut / "adapter_model.safetensors").read_bytes()[:-40])
    for adapter, named in (
        (_adapter(tmp_path / "wider", 64, 64), "q_proj"),
        (_adapter(tmp_path / "other", 256, 256, name="query"), "query"),
        (_adapter(tmp_path / "nan", 256, 256, nan=True), "q_proj"),
        (cut, "adapter_model.safetensors"),
    ):
        code, text, err = edgetune("export", nano, "--adapter", adapter, *words, "--out", out)
        assert code in (1, 2) and text == "" and "Traceback" not in err
        assert named in err and "do:" in err, err
        assert not out.exists() or not list(out.iterdir())


def test_changed_header_bytes_never_give_another_error(tmp_path: Path, nano: Path) -> None:
    """Both readers of safetensors headers on 300 damaged ones."""
    folder = shutil.copytree(nano, tmp_path / "m")
    path = folder / "model.safetensors"
    raw, rng, refused = path.read_bytes(), np.random.default_rng(0), 0
    end = 8 + int.from_bytes(raw[:8], "little")
    for _ in range(300):
        bad = bytearray(raw)
        for place in rng.integers(0, end, rng.integers(1, 4)):
            bad[place] = int(rng.choice(list(b'"[]{}:,0-9e.xn \xff')))
        path.write_bytes(bad)
        for read in (lambda: find.describe_base(folder), lambda: read_folder(folder)):
            try:
                read()
            except (EdgeTuneError, ConversionError) as error:
                refused += 1
                assert error.title and error.cause and error.remedy
    assert refused > 300


FILL = """
import sys
from pathlib import Path
from edgetune.gguf import import_file, write
from edgetune.storage import files
check, disk = write.need_space, Path(sys.argv[1])
def then_fill(*words):
    check(*words)
    with open(disk / "other", "wb") as file:
        file.write(bytes(files.free_bytes(disk) - 2**20))
write.need_space = import_file.need_space = then_fill
sys.argv[1:2] = []
from edgetune.__main__ import main
main()
"""
"""The command, on a disk that another program fills once the room on it was checked."""


@pytest.mark.parametrize("size", ["5m", "24m"])
@pytest.mark.parametrize("back", [False, True], ids=["export", "import"])
def test_a_full_disk_is_named_and_leaves_nothing(edgetune: Call, nano: Path, tmp_path: Path, size: str, back: bool) -> None:
    """Too small from the start, and filled meanwhile, with an older file of the same name on it."""
    disk, script = tmp_path / "disk", tmp_path / "fill.py"
    action: list[object] = ["export", nano, "--type", "Q8_0", "--out", disk]
    if back:
        assert edgetune("export", nano, "--type", "Q8_0", "--out", tmp_path / "n.gguf")[0] == 0
        action = ["import", tmp_path / "n.gguf", "--out", disk / "folder"]
    disk.mkdir()
    script.write_text(FILL)
    mount = f'mount -t tmpfs -o size={size} tmpfs "$0" && echo old > "$0/nano-Q8_0.gguf" && '
    words = ["unshare", "-rm", "sh", "-c", mount + '"$@"; code=$?; ls -A "$0"; cat "$0/nano-Q8_0.gguf"; exit $code', str(disk)]
    if not shutil.which("unshare") or subprocess.run([*words, "true"], capture_output=True, check=False).returncode:
        pytest.skip("no small disk can be mounted here")
    command = [sys.executable, str(script), str(disk), *map(str, action)]
    variables = {**os.environ, "PYTHONPATH": str(ROOT), "EDGETUNE_WORKSPACE": str(tmp_path / "w")}
    done = subprocess.run([*words, *command], capture_output=True, text=True, check=False, env=variables, timeout=120)
    assert done.returncode == 1 and "Traceback" not in done.stderr, done.stderr
    assert ("Not enough disk space" if size == "5m" else "The disk is full") in done.stderr
    assert done.stdout.split() == [*(["nano-Q8_0.gguf"] if size == "5m" else ["nano-Q8_0.gguf", "other"]), "old"]
