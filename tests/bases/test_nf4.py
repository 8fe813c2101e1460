"""A base held in NF4 computes with its own weights, whatever their shapes and whatever processor this is."""

import json
from pathlib import Path

import pytest

from converters.archs import gpt2, llama
from edgetune.bases import find, nf4
from edgetune.bases.load import load_model
from edgetune.bases.nf4 import is_misread
from edgetune.config.recipe import build_recipe
from edgetune.errors import EdgeTuneError
from edgetune.estimate import fit
from edgetune.machine import hardware

WORST = 0.17
"""Of a block's largest weight, how far NF4 may round: half its widest gap, 0.3038 between -1 and -0.6962 (QLoRA, appendix E), and a bit
for the scales, which are rounded too."""


@pytest.fixture(params=["llama", "gpt2"])
def base(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A small model some of whose matrices have rows of one and a half blocks."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    sizes = {"llama": llama.TINY | {"vocab_size": 300, "intermediate_size": 96}, "gpt2": gpt2.TINY | {"vocab_size": 300, "n_inner": 96}}
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(AutoConfig.for_model(**sizes[request.param])).save_pretrained(tmp_path)
    return tmp_path


def test_every_matrix_is_what_it_was(base: Path) -> None:
    import torch
    from bitsandbytes.nn import Linear4bit
    from transformers import AutoModelForCausalLM
    from transformers.pytorch_utils import Conv1D

    real = dict(AutoModelForCausalLM.from_pretrained(base, dtype="float32").named_modules())
    packed, whole = 0, 0
    for name, module in load_model(base, "cpu", "float32", "nf4").named_modules():
        if not isinstance(module, torch.nn.Linear | Conv1D) or name == "lm_head":
            continue
        original = real[name]
        columns = original.nx if isinstance(original, Conv1D) else original.in_features
        with torch.no_grad():
            inputs = torch.eye(columns)
            used, expected = (layer(inputs) - layer(torch.zeros(1, columns)) for layer in (module, original))
        used, expected = used.T.contiguous(), expected.T.contiguous()
        if isinstance(module, Linear4bit):
            scales = expected.reshape(-1, 64).abs().amax(1, keepdim=True)
            assert ((used - expected).reshape(-1, 64).abs() / scales).max() < WORST, name
            packed += 1
        else:
            assert torch.equal(used, expected) and is_misread(columns, "cpu"), name
            whole += 1
    assert packed and whole


def test_fit_counts_what_stays_whole(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from bitsandbytes.nn import Linear4bit

    monkeypatch.setattr(hardware, "choose_dtype", lambda device: hardware.Choice("float32", "asked for"))
    description = find.describe_base(base)
    recipe, _ = build_recipe({"base": str(base), "quantization": "nf4"})
    here, there = (fit.training_memory(recipe, description, device).weights for device in ("cpu", "cuda"))
    modules = dict(load_model(base, "cpu", "float32", "nf4").named_modules())
    inside = [module for name, module in modules.items() if nf4.row_width(module) and name != "lm_head"]
    whole = sum(module.weight.numel() for module in inside if not isinstance(module, Linear4bit))
    assert whole and here - there == pytest.approx(whole * (4 - fit.NF4_BYTES), abs=2)


def test_a_base_of_an_unknown_kind_is_refused_in_words(base: Path) -> None:
    config = json.loads((base / "config.json").read_text(encoding="utf-8"))
    (base / "config.json").write_text(json.dumps(config | {"model_type": "nosuch"}), encoding="utf-8")
    with pytest.raises(EdgeTuneError, match="cannot be loaded"):
        load_model(base, "cpu", "float32", "nf4")


@pytest.mark.parametrize("shape", [(32, 96), (48, 80), (7, 172), (64, 64)])
def test_what_is_stored_in_four_bits_is_proven_rightly(shape: tuple[int, int], tmp_path: Path) -> None:
    import torch
    from bitsandbytes.functional import quantize_4bit
    from safetensors.torch import save_file

    from edgetune.gguf.proof.merged import stored_tensors

    torch.manual_seed(0)
    weights = torch.randn(shape)
    packed, state = quantize_4bit(weights, compress_statistics=True, quant_type="nf4")
    save_file({"w": packed, **{f"w.{name}": value for name, value in state.as_dict(packed=True).items()}}, tmp_path / "model.safetensors")
    blocks = torch.nn.functional.pad(weights.flatten(), (0, -weights.numel() % 64)).reshape(-1, 64)
    scales = blocks.abs().amax(1, keepdim=True).expand(-1, 64).flatten()[: weights.numel()].reshape(shape)
    assert ((torch.from_numpy(stored_tensors(tmp_path, "")("w")) - weights).abs() / scales).max() < WORST
