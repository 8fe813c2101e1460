"""Models that also see: their text part alone is read, and computes for text what the whole model does."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from converters import convert, lora
from converters.archs import architecture
from converters.errors import ConversionError
from converters.text_part import VISION_LANGUAGE_TYPES, text_configuration, text_name
from converters.weights import read_folder
from tests.converters.adapters import LINEAR, train
from tests.converters.conftest import MakeModel
from tests.converters.reference import assert_same_model, gguf_logits, mean_kl, torch_logits, write_gguf
from tests.converters.small_models import WRAPPERS, wrapped
from tests.converters.test_archs import IDS, limit, tiny

PAIRS = [*((kind, text) for kind, (text, _) in WRAPPERS.items()), ("mistral3", "mistral")]


def whole(folder: Path) -> Any:
    """The whole model in a folder, as transformers loads it."""
    from transformers import AutoModelForImageTextToText

    return AutoModelForImageTextToText.from_pretrained(folder, dtype="float32").eval()


def rewritten(folder: Path, target: Path, change: Any) -> Path:
    """A copy of a model folder whose config.json `change` gave."""
    shutil.copytree(folder, target)
    (target / "config.json").write_text(json.dumps(change(json.loads((folder / "config.json").read_text()))))
    return target


pytestmark = pytest.mark.filterwarnings("ignore")  # PEFT and transformers talk about versions to come


@pytest.mark.parametrize(("kind", "text"), PAIRS)
def test_the_text_part_computes_what_the_whole_model_does(
    make_model: MakeModel, llama_cpp: Any, tmp_path: Path, kind: str, text: str
) -> None:
    folder = make_model(wrapped(kind, tiny(text)))
    plan = write_gguf(folder, tmp_path / "m.gguf", "F32")
    assert plan.architecture == architecture({"model_type": text}).GGUF_NAME
    ours = sum(np.prod(shape) for tensor in plan.tensors for _, shape in tensor.sources)
    stored = read_folder(folder)
    count, size = len(stored), sum(tensor.size for tensor in stored.values())
    left = count - sum(bool(tensor.sources) for tensor in plan.tensors)
    assert [note for note in plan.notes if f"({left} tensors, {(size - 4 * ours) / 2**20:.1f} MiB)" in note], plan.notes
    assert_same_model(torch_logits(whole(folder), IDS), gguf_logits(llama_cpp, tmp_path / "m.gguf", IDS), limit(text))


def test_the_text_part_has_the_same_file_whatever_stands_before_its_names(make_model: MakeModel, tmp_path: Path) -> None:
    """transformers 5 saves two of these forms, and earlier versions all of them."""
    from safetensors.numpy import load_file, save_file

    source = make_model(wrapped("mistral3", tiny("mistral")))
    write_gguf(source, tmp_path / "m.gguf", "F16")
    weights = load_file(source / "model.safetensors")
    for number, form in enumerate(("model.language_model.", "language_model.model.", "language_model.", "model.language_model.model.")):
        folder = shutil.copytree(source, tmp_path / str(number))
        head = "lm_head." if number == 0 else "language_model.lm_head."
        renamed = {name.replace("language_model.model.", form).replace("language_model.lm_head.", head): weights[name] for name in weights}
        assert len(renamed) == len(weights) and (renamed != weights or number == 1)
        save_file(renamed, folder / "model.safetensors")
        write_gguf(folder, tmp_path / "other.gguf", "F16")
        assert (tmp_path / "other.gguf").read_bytes() == (tmp_path / "m.gguf").read_bytes()


@pytest.mark.parametrize("kind", VISION_LANGUAGE_TYPES)
def test_what_a_whole_models_configuration_leaves_out_means_what_it_means_to_transformers(kind: str) -> None:
    """The type of the text part, and whether embeddings and output matrix are one."""
    from transformers import CONFIG_MAPPING

    for text in ({}, {"tie_word_embeddings": True}):
        given = {"model_type": kind, "text_config": text}
        config, _ = text_configuration(given)
        theirs = CONFIG_MAPPING[kind](text_config=dict(text))
        assert config["model_type"] == theirs.text_config.model_type
        assert config["tie_word_embeddings"] == (theirs.tie_word_embeddings or bool(text))
    for said in (True, False):
        config, _ = text_configuration({"model_type": kind, "tie_word_embeddings": said, "text_config": {"tie_word_embeddings": not said}})
        assert config["tie_word_embeddings"] is said
    assert text_configuration({"model_type": "lfm2_vl", "tie_embedding": False, "text_config": {}})[0]["tie_word_embeddings"] is False


def test_gemma_3s_configuration_of_six_keys_is_read(make_model: MakeModel, llama_cpp: Any, tmp_path: Path) -> None:
    """As the 4B model is published, sizes cut: heads, context, epsilon and windows' layers are the defaults of transformers."""
    text = {"hidden_size": 64, "intermediate_size": 96, "model_type": "gemma3_text", "num_hidden_layers": 7, "sliding_window": 16}
    short = text | {"vocab_size": 300} | {"rope_scaling": {"factor": 8.0, "rope_type": "linear"}}
    full = make_model(wrapped("gemma3", short | {"tie_word_embeddings": True}), "bfloat16")
    outer = {"model_type": "gemma3", "eos_token_id": [1, 106], "text_config": short, "torch_dtype": "bfloat16"}
    folder = rewritten(full, tmp_path / "m", lambda config: outer | {"vision_config": config["vision_config"]})
    plan = write_gguf(folder, tmp_path / "m.gguf", "F32")
    keys = {
        key: plan.metadata("F32")[f"gemma3.{key}"].data for key in ("attention.head_count", "attention.head_count_kv", "context_length")
    }
    assert keys == {"attention.head_count": 8, "attention.head_count_kv": 4, "context_length": 131072}
    assert_same_model(torch_logits(whole(folder), IDS), gguf_logits(llama_cpp, tmp_path / "m.gguf", IDS), limit("gemma3_text"))


MATRICES = [*LINEAR, "fc1", "fc2"]
"""Of the language model, and some that only the vision tower has."""
FORMS = ("model.language_model.", "language_model.", "language_model.model.", "model.language_model.model.")
"""How names of the text part begin in adapters, by the version of transformers that they were trained with."""


def train_whole(folder: Path, adapter: Path, form: str = FORMS[0], **changes: Any) -> Any:
    """An adapter on a whole model, as PEFT saves it, its text part's names begun as in `form`. Gives the model with it."""
    from safetensors.numpy import load_file, save_file

    tuned = train(folder, adapter, model=whole(folder), **({"target_modules": MATRICES} | changes)).eval()
    weights = load_file(adapter / "adapter_model.safetensors")
    renamed = {name.replace(f"base_model.model.{FORMS[0]}", f"base_model.model.{form}"): value for name, value in weights.items()}
    assert renamed != weights or form == FORMS[0]
    save_file(renamed, adapter / "adapter_model.safetensors")
    return tuned


@pytest.mark.parametrize("form", FORMS)
def test_an_adapter_trained_on_the_whole_model_is_taken(make_model: MakeModel, llama_cpp: Any, tmp_path: Path, form: str) -> None:
    """For text it computes what the whole model with it does; what it changes in the vision tower is left out, and said."""
    folder = make_model(wrapped("gemma3", tiny("gemma3_text")))
    tuned = train_whole(folder, tmp_path / "a", form)
    plan = write_gguf(folder, tmp_path / "m.gguf", "F32", tmp_path / "a")
    assert [note for note in plan.notes if "the adapter a also changes vision_tower: left out (12 matrices)" in note], plan.notes
    reference = torch_logits(tuned, IDS)
    assert_same_model(reference, gguf_logits(llama_cpp, tmp_path / "m.gguf", IDS), limit("gemma3_text"))
    write_gguf(folder, tmp_path / "base.gguf", "F32")
    assert mean_kl(reference, gguf_logits(llama_cpp, tmp_path / "base.gguf", IDS)) > 1e-2


def test_its_patterns_mean_the_names_that_it_was_trained_with(make_model: MakeModel, llama_cpp: Any, tmp_path: Path) -> None:
    folder = make_model(wrapped("mistral3", tiny("ministral3")))
    patterns: dict[str, Any] = {
        "target_modules": r".*language_model.*\.(q_proj|v_proj|down_proj)",
        "rank_pattern": {"model.language_model.layers.0.self_attn.q_proj": 2},
        "alpha_pattern": {r"model\.language_model\.layers\.1\..*": 40},
    }
    tuned = train_whole(folder, tmp_path / "a", **patterns)
    plan = write_gguf(folder, tmp_path / "m.gguf", "F32", tmp_path / "a")
    assert not [note for note in plan.notes if "adapter" in note]
    assert_same_model(torch_logits(tuned, IDS), gguf_logits(llama_cpp, tmp_path / "m.gguf", IDS), limit("ministral3"))


def test_as_a_gguf_lora_it_changes_the_base_alike(make_model: MakeModel, llama_cpp: Any, tmp_path: Path) -> None:
    folder = make_model(wrapped("lfm2_vl", tiny("lfm2")))
    tuned = train_whole(folder, tmp_path / "a", target_modules=["q_proj", "v_proj", "w1", "fc1"])
    write_gguf(folder, tmp_path / "base.gguf", "F32")
    plan = lora.plan_lora(folder, tmp_path / "a", "F32", name="n", extra={})
    assert [note for note in plan.notes if "vision_tower" in note], plan.notes
    with open(tmp_path / "a.gguf", "wb") as file:
        plan.write(file)
    logits = gguf_logits(llama_cpp, tmp_path / "base.gguf", IDS, [(tmp_path / "a.gguf", 1.0)])
    assert_same_model(torch_logits(tuned, IDS), logits, limit("lfm2"))


def test_an_adapter_on_the_vision_tower_alone_is_refused(make_model: MakeModel, tmp_path: Path) -> None:
    folder = make_model(wrapped("gemma3", tiny("gemma3_text")))
    train_whole(folder, tmp_path / "a", target_modules=["fc1", "fc2"])
    with pytest.raises(ConversionError) as refusal:
        convert.plan_gguf(folder, tmp_path / "a", ["F16"], chat_template=None, name="n", extra={})
    assert "changes nothing of the text part" in refusal.value.title and "vision_tower" in refusal.value.cause


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"text_config": {"model_type": "llama4_text"}}, "llama4_text"),
        ({"text_config": None}, "text part"),
        ({"text_config": [1]}, "text part"),
        ({"model_type": "gemma3n"}, "gemma3n"),
        ({"model_type": "mistral3"}, "gemma3_text"),
    ],
)
def test_other_checkpoints_are_refused_by_name(tmp_path: Path, changes: dict[str, Any], named: str) -> None:
    config = {"model_type": "gemma3", "text_config": tiny("gemma3_text")} | changes
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ConversionError) as refusal:
        convert.plan_gguf(tmp_path, None, ["F16"], chat_template=None, name="n", extra={})
    assert named in f"{refusal.value.title} {refusal.value.cause}"


def test_names_of_text_models_stay() -> None:
    for name in ("model.layers.0.mlp.up_proj.weight", "lm_head.weight", "transformer.wte.weight", "model.visual.blocks.0.attn.qkv.weight"):
        assert text_name(name) == name
