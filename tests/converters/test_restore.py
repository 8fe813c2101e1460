"""From a GGUF back to a model folder: the way there and back loses nothing, and transformers computes from the folder what the file says."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from converters import restore
from converters.archs import architecture, supported, with_defaults
from converters.archs.qwen3_5_text import DEFAULTS  # noqa: F401
from converters.errors import ConversionError
from converters.gguf_file import read_header
from converters.quantize import FILE_TYPES
from converters.weights import read_folder
from tests.converters.conftest import MakeModel
from tests.converters.reference import write_gguf
from tests.converters.test_archs import VARIANTS, tiny


def restored(path: Path, folder: Path, dtype: str | None = None, shard: int = restore.SHARD) -> restore.Restoration:
    """The folder of a file, written without the care that edgetune takes."""
    plan = restore.plan(path, dtype, shard)
    folder.mkdir()
    for name, content in (("config", plan.config), ("tokenizer", plan.tokenizer.tokenizer), ("tokenizer_config", plan.tokenizer.settings),
                          ("generation_config", plan.generation), ("model.safetensors.index", plan.index)):
        if content:
            (folder / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")
    if plan.tokenizer.pieces:
        (folder / "tokenizer.model").write_bytes(plan.tokenizer.pieces)
    plan.check_vocabulary(folder)
    for one in plan.shards:
        with open(folder / one.name, "wb") as file:
            plan.write(one, file)
    return plan


ALL = {**{kind: (kind, {}) for kind in supported()}, **VARIANTS}


@pytest.mark.parametrize("name", ALL)
def test_there_and_back(make_model: MakeModel, tmp_path: Path, name: str) -> None:
    kind, changes = ALL[name]
    folder = make_model(tiny(kind, **changes))
    write_gguf(folder, tmp_path / "m.gguf", "F32")
    restored(tmp_path / "m.gguf", tmp_path / "back")
    before, after = read_folder(folder), read_folder(tmp_path / "back")
    assert before.keys() == after.keys()
    for tensor in before:
        one, other = before[tensor].load(), after[tensor].load()
        if "norm" in tensor or "A_log" in tensor:  # one was added, or an exponential taken, and rounded
            np.testing.assert_allclose(other, one, rtol=0, atol=2e-7, err_msg=tensor)
        else:
            assert one.shape == other.shape and one.tobytes() == other.tobytes(), tensor
    write_gguf(tmp_path / "back", tmp_path / "again.gguf", "F32")
    assert (tmp_path / "again.gguf").read_bytes() == (tmp_path / "m.gguf").read_bytes()
