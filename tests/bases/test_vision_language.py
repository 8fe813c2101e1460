"""Bases that also see: what is known, read and loaded of them is the text part."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from edgetune.bases import find, model_shapes
from edgetune.bases.load import load_model
from edgetune.bases.tokenizer import load_tokenizer
from edgetune.config.recipe import Recipe
from edgetune.errors import EdgeTuneError, InputError
from edgetune.estimate import fit
from tests.converters.conftest import MakeModel, make_model
from tests.converters.reference import torch_logits
from tests.converters.small_models import WRAPPERS, wrapped
from tests.converters.test_archs import IDS, tiny

__all__ = ["make_model"]

pytestmark = pytest.mark.filterwarnings("ignore")


def wrapper(make: MakeModel, kind: str, dtype: str = "float32", **changes: Any) -> Path:
    """A small vision-language model with the text part of its type."""
    return make(wrapped(kind, tiny(WRAPPERS[kind][0], **changes)), dtype)


def changed(folder: Path, target: Path, **settings: Any) -> Path:
    """A copy of a folder with other settings in its config.json; None takes one out."""
    shutil.copytree(folder, target)
    config = json.loads((folder / "config.json").read_text()) | settings
    (target / "config.json").write_text(json.dumps({key: value for key, value in config.items() if value is not None}))
    return target


@pytest.mark.parametrize("kind", WRAPPERS)
def test_it_is_described_as_its_text_part(make_model: MakeModel, kind: str) -> None:
    """Held against the text model that transformers takes out of it."""
    from transformers import AutoModelForImageTextToText

    folder = wrapper(make_model, kind)
    base, shapes = find.describe_base(folder), model_shapes.read_shapes(find.describe_base(folder))
    whole = AutoModelForImageTextToText.from_pretrained(folder)
    text = sum(weight.numel() for weight in whole.model.language_model.state_dict().values())
    everything = sum(weight.size for weight in load_file(folder / "model.safetensors").values())
    assert (base.architecture, base.parameters) == (WRAPPERS[kind][0], text) and text < everything
    assert shapes.linear_weights + shapes.other == text and shapes.layers == whole.config.text_config.num_hidden_layers
    assert base.context == whole.config.text_config.max_position_embeddings
    assert base.bytes < folder.joinpath("model.safetensors").stat().st_size - 4 * (everything - text) + 1
    assert "only the text part of this model is used" in base.left_out and f"{4 * (everything - text) / 2**20:.1f} MiB" in base.left_out


@pytest.mark.parametrize("kind", WRAPPERS)
@pytest.mark.parametrize("quantization", ["none", "nf4"])
def test_its_text_part_alone_is_loaded(make_model: MakeModel, kind: str, quantization: str) -> None:
    from transformers import AutoModelForImageTextToText, BitsAndBytesConfig

    folder = wrapper(make_model, kind)
    model = load_model(folder, "cpu", "float32", quantization)
    assert not [name for name, _ in model.named_modules() if "vision" in name or "visual" in name or "multi_modal" in name]
    assert not type(model).__name__.endswith("ForConditionalGeneration")
    if quantization == "none":
        reference = torch_logits(AutoModelForImageTextToText.from_pretrained(folder), IDS)
        assert np.abs(torch_logits(model, IDS) - reference).max() < 1e-5
        return
    packed = [name for name, module in model.named_modules() if type(module).__name__ == "Linear4bit"]
    settings = BitsAndBytesConfig(load_in_4bit=True)
    theirs = AutoModelForImageTextToText.from_pretrained(folder, quantization_config=settings, device_map={"": "cpu"}).model.language_model
    all_theirs = {f"model.{name}" for name, module in theirs.named_modules() if type(module).__name__ == "Linear4bit"}
    assert packed and set(packed) <= all_theirs


def test_it_is_predicted_to_take_what_the_text_model_takes(make_model: MakeModel) -> None:
    text, whole = make_model(tiny("gemma3_text")), wrapper(make_model, "gemma3")
    changes: tuple[dict[str, Any], ...] = ({"quantization": "none"}, {"quantization": "nf4"}, {"lora": False, "quantization": "none"})
    for change in changes:
        recipe = Recipe(**{"base": "x", "max_length": 128, **change})
        one, other = (fit.training_memory(recipe, find.describe_base(folder), "cpu") for folder in (text, whole))
        assert other.total == pytest.approx(one.total, rel=1e-3)


def test_gemma_3s_six_keys_are_enough(make_model: MakeModel, tmp_path: Path) -> None:
    short = {"hidden_size": 64, "intermediate_size": 96, "model_type": "gemma3_text", "num_hidden_layers": 7, "vocab_size": 300}
    full = make_model(wrapped("gemma3", short | {"tie_word_embeddings": True}))
    folder = changed(full, tmp_path / "m", text_config=short, tie_word_embeddings=None)
    base = find.describe_base(folder)
    shapes = model_shapes.read_shapes(base)
    assert (base.context, shapes.heads, shapes.kv_heads, shapes.head_size, shapes.layers) == (131072, 8, 4, 256, 7)


def test_marks_and_template_are_found_where_such_models_have_them(make_model: MakeModel, tmp_path: Path) -> None:
    """The end of text in the inner configuration; the template beside the processor's settings, in each of the forms."""
    source = wrapper(make_model, "qwen3_5", eos_token_id=2)
    template = "{% for m in messages %}<{{ m.content }}>{% endfor %}"
    forms = {"chat_template.jinja": template} | dict.fromkeys(
        ("chat_template.json", "processor_config.json"), json.dumps({"chat_template": template})
    )
    for name, text in forms.items():
        folder = changed(source, tmp_path / name)
        settings = json.loads((folder / "tokenizer_config.json").read_text())
        (folder / "tokenizer_config.json").write_text(json.dumps({key: value for key, value in settings.items() if key != "eos_token"}))
        (folder / name).write_text(text)
        tokenizer = load_tokenizer(folder, "2026-01-01")
        assert (tokenizer.eos_id, tokenizer.origin, tokenizer.template.source) == (2, "model", template)


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"quantization_config": {"quant_method": "fp8", "activation_scheme": "static", "weight_block_size": None}}, "-BF16"),
        ({"quantization_config": {"quant_method": "compressed-tensors"}}, "-BF16"),
        ({}, "-BF16"),
    ],
)
def test_weights_in_8_bits_are_refused_with_what_to_get(
    make_model: MakeModel, tmp_path: Path, settings: dict[str, Any], named: str
) -> None:
    """As Ministral 3 is published: fp8 weights with a scale each; also where config.json says nothing of it."""
    import torch
    from safetensors import torch as tensors

    folder = changed(wrapper(make_model, "mistral3"), tmp_path / "m", **settings)
    weights = tensors.load_file(folder / "model.safetensors")
    for name in [name for name in weights if "_proj" in name and "language_model" in name]:
        weights[name] = weights[name].to(torch.float8_e4m3fn)
        weights[f"{name}_scale_inv"] = torch.tensor(0.01)
    tensors.save_file(weights, folder / "model.safetensors")
    with pytest.raises(InputError) as refusal:
        find.refuse_quantized(folder, find.describe_base(folder).config)
    assert named in refusal.value.remedy and "Ministral 3" in refusal.value.remedy


def test_a_base_without_some_of_its_weights_is_not_made_up(make_model: MakeModel, tmp_path: Path) -> None:
    """transformers fills in random numbers, with a warning."""
    from safetensors.numpy import save_file

    for kind in ("gemma3", "llama"):
        source = wrapper(make_model, kind) if kind in WRAPPERS else make_model(tiny(kind))
        folder = shutil.copytree(source, tmp_path / kind)
        weights = load_file(folder / "model.safetensors")
        lost = next(name for name in weights if "layers.1.mlp.up_proj" in name and "vision" not in name)
        save_file({name: value for name, value in weights.items() if name != lost}, folder / "model.safetensors")
        with pytest.raises(EdgeTuneError, match="not complete") as refusal:
            load_model(folder, "cpu", "float32")
        assert "model.layers.1.mlp.up_proj.weight" in refusal.value.cause


def test_a_model_around_a_text_part_that_is_not_known_is_refused(make_model: MakeModel, tmp_path: Path) -> None:
    folder = changed(wrapper(make_model, "gemma3"), tmp_path / "m", model_type="gemma3n")
    with pytest.raises(InputError, match="gemma3n") as refusal:
        find.describe_base(folder)
    assert "mistral3" in refusal.value.remedy
