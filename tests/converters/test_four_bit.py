"""Bases stored in 4 bits: read as bitsandbytes itself reads them, bit for bit, and refused where their parts do not belong together."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from converters import convert, four_bit
from converters.archs import llama
from converters.errors import ConversionError
from converters.gguf_file import read_header
from converters.weights import read_folder, read_safetensors
from tests.converters.reference import byte_level_tokenizer, qwen2_steps, write_gguf

CASES = [(kind, nested, dtype) for kind in ("nf4", "fp4") for nested in (False, True) for dtype in ("float32", "bfloat16", "float16")]


def quantized(path: Path, shape: tuple[int, ...], kind: str, nested: bool, dtype: str, block: int = 64) -> np.ndarray:
    """Save random weights as transformers saves those of bitsandbytes; gives what bitsandbytes makes of them, float32."""
    import torch
    from bitsandbytes.functional import dequantize_4bit, quantize_4bit
    from safetensors.torch import save_file

    torch.manual_seed(0)
    weights = (torch.randn(shape) * torch.rand(shape[0], 1)).to(getattr(torch, dtype))
    packed, state = quantize_4bit(weights, blocksize=block, compress_statistics=nested, quant_type=kind)
    save_file({"w": packed, **{f"w.{name}": value for name, value in state.as_dict(packed=True).items()}}, path)
    result: np.ndarray = dequantize_4bit(packed, state).float().numpy()
    return result


@pytest.mark.parametrize(("kind", "nested", "dtype"), CASES)
@pytest.mark.parametrize(("shape", "block"), [((96, 64), 64), ((520, 128), 64), ((37, 50), 64), ((70, 24), 128)])
def test_weights_are_bitsandbytes_own(tmp_path: Path, kind: str, nested: bool, dtype: str, shape: tuple[int, int], block: int) -> None:
    expected = quantized(tmp_path / "w.safetensors", shape, kind, nested, dtype, block)
    found = four_bit.unpack(dict(read_safetensors(tmp_path / "w.safetensors")))
    assert list(found) == ["w"] and found["w"].shape == shape
    assert np.array_equal(found["w"].load(), expected)
    for rows in (slice(0, 1), slice(3, 17), slice(30, 1000), slice(5, 5)):
        assert np.array_equal(found["w"].load(rows), expected[rows])


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A small Llama saved by transformers in NF4 with double quantization, and its weights as transformers dequantizes them.

    Its rows are whole blocks of 64 weights: where their length is a multiple of 16 but not of 64, bitsandbytes 0.50 takes the wrong
    scales on processors with AVX-512.
    """
    import torch
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig, LlamaConfig

    folder = tmp_path_factory.mktemp("bases")
    sizes = {"vocab_size": 300, "intermediate_size": 128, "head_dim": 32}
    fields = {name: value for name, value in (llama.TINY | sizes).items() if name != "model_type"}
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(LlamaConfig(**fields), dtype=torch.bfloat16).save_pretrained(folder / "full")
    settings = BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True, bnb_4bit_compute_dtype=torch.bfloat16
    )
    model = AutoModelForCausalLM.from_pretrained(folder / "full", quantization_config=settings, dtype=torch.bfloat16)
    model.save_pretrained(folder / "small")
    byte_level_tokenizer(folder / "small", 300, qwen2_steps())
    weights = AutoModelForCausalLM.from_pretrained(folder / "small").dequantize().state_dict()
    return folder / "small", {name: value.float().numpy() for name, value in weights.items()}


def test_a_base_in_four_bits_is_exported_as_transformers_dequantizes_it(base: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    folder, weights = base
    assert "model.layers.1.mlp.up_proj.weight.quant_state.bitsandbytes__nf4" in read_safetensors(folder / "model.safetensors")
    plan = write_gguf(folder, tmp_path / "m.gguf", "F32")
    assert "4 bits" in plan.notes[0]
    ours = dict(plan.merged())
    assert ours.keys() == weights.keys()
    for name in ours:
        assert np.array_equal(ours[name], weights[name]), name
    raw = read_header(tmp_path / "m.gguf").raw("blk.1.ffn_up.weight")
    assert np.array_equal(raw.view("<f4").reshape(128, 64), weights["model.layers.1.mlp.up_proj.weight"])


def test_the_commands_say_it_aloud(base: tuple[Path, dict[str, Any]], edgetune: Any, facts: Path, tmp_path: Path) -> None:
    """Export dequantizes; training, which needs full weights, is refused with the way to them, which works."""
    folder, weights = base
    code, out, err = edgetune("export", folder, "--type", "BF16", "--out", tmp_path / "full.gguf")
    assert (code, out) == (0, f"{tmp_path / 'full.gguf'}\n") and "4 bits" in err
    code, _, err = edgetune("train", "--base", folder, "--data", facts, "--name", "x")
    assert code == 2 and "stored quantized" in err and "edgetune import" in err
    assert edgetune("import", tmp_path / "full.gguf", "--out", tmp_path / "full")[0] == 0
    found = read_folder(tmp_path / "full")
    assert found.keys() == weights.keys()
    assert all(np.array_equal(found[name].load(), weights[name]) for name in found)


def test_other_quantizations_stay_refused(base: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    folder = shutil.copytree(base[0], tmp_path / "m")
    config = json.loads((folder / "config.json").read_text())
    for settings in ({"quant_method": "bitsandbytes", "load_in_8bit": True}, {"quant_method": "gptq", "load_in_4bit": True}):
        (folder / "config.json").write_text(json.dumps(config | {"quantization_config": settings}))
        with pytest.raises(ConversionError, match="stored quantized") as refusal:
            convert.plan_gguf(folder, None, ["F16"], chat_template=None, name="n", extra={})
        assert str(settings["quant_method"]) in refusal.value.cause and "in 16 bits" in refusal.value.remedy


def _state(**changes: Any) -> Callable[[dict[str, np.ndarray]], Any]:
    def change(weights: dict[str, np.ndarray]) -> None:
        name = next(one for one in weights if "quant_state" in one)
        state = json.loads(weights[name].tobytes()) | changes
        weights[name] = np.frombuffer(json.dumps(state).encode(), np.uint8)

    return change


@pytest.mark.parametrize(
    "change",
    [
        _state(shape=[96, 65]),
        _state(shape=[2**40, 64]),
        _state(shape="a"),
        _state(blocksize=0),
        _state(blocksize=63),
        _state(dtype="int8"),
        _state(nested_blocksize=0),
        _state(nested_offset=float("inf")),
        _state(nested_offset="a"),
        lambda weights: weights.pop("w.absmax"),
        lambda weights: weights.pop("w.nested_absmax"),
        lambda weights: weights.pop("w"),
        lambda weights: weights.update({"w.absmax": weights["w.absmax"][:-1]}),
        lambda weights: weights.update({"w.quant_map": weights["w.quant_map"][:8]}),
        lambda weights: weights.update({"w.nested_quant_map": weights["w.nested_quant_map"] * np.float32(np.nan)}),
        lambda weights: weights.update({"w.quant_state.bitsandbytes__nf4": np.frombuffer(b"[" * 1000, np.uint8)}),
    ],
)
def test_parts_that_do_not_belong_together_are_refused(tmp_path: Path, change: Callable[[dict[str, np.ndarray]], Any]) -> None:
    from safetensors.numpy import load_file, save_file

    quantized(tmp_path / "w.safetensors", (96, 64), "nf4", True, "bfloat16")
    weights = load_file(tmp_path / "w.safetensors")
    change(weights)
    save_file(weights, tmp_path / "w.safetensors")
    with pytest.raises(ConversionError) as refusal:
        four_bit.unpack(dict(read_safetensors(tmp_path / "w.safetensors")))["w"].load()
    assert "w" in refusal.value.cause and refusal.value.remedy
