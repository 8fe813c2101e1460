"""Vision-language checkpoints: their text part computes what the whole model does for text, and is converted only when told so."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from converters import convert
from converters.archs import architecture
from converters.errors import ConversionError
from converters.weights import read_folder
from tests.converters.reference import assert_same_model, byte_level_tokenizer, gguf_logits, qwen2_steps, torch_logits, write_gguf
from tests.converters.test_archs import IDS, limit, tiny

SMALL: dict[str, Any] = {"hidden_size": 32, "intermediate_size": 48}
LAYERS: dict[str, Any] = SMALL | {"num_hidden_layers": 2, "num_attention_heads": 2}
VISION: dict[str, dict[str, Any]] = {
    "gemma3": LAYERS | {"image_size": 28, "patch_size": 14},
    "gemma4": LAYERS | {"num_key_value_heads": 2, "head_dim": 16},
    "mistral3": LAYERS | {"head_dim": 16, "image_size": 28, "patch_size": 14},
    "qwen3_5": SMALL | {"depth": 2, "num_heads": 2, "out_hidden_size": 64, "num_position_embeddings": 16},
    "lfm2_vl": LAYERS | {"num_patches": 16},
}
TEXTS = {"gemma3": "gemma3_text", "gemma4": "gemma4_text", "mistral3": "ministral3", "qwen3_5": "qwen3_5_text", "lfm2_vl": "lfm2"}


def whole(kind: str, text: str, folder: Path) -> Any:
    """A small random vision-language model, saved; gives it as loaded again."""
    import torch
    from transformers import CONFIG_MAPPING, AutoModelForImageTextToText

    torch.set_num_threads(1)
    torch.manual_seed(0)
    fields = {"text_config": tiny(text), "vision_config": VISION[kind], "tie_word_embeddings": tiny(text)["tie_word_embeddings"]}
    for name in ("image_token_id", "image_token_index", "video_token_id", "vision_start_token_id", "vision_end_token_id", "boi_token_index",
                 "eoi_token_index", "boi_token_id", "eoi_token_id", "audio_token_id", "boa_token_id", "eoa_token_index"):  # fmt: skip
        fields[name] = 299  # none of the tokens compared
    config = CONFIG_MAPPING[kind](**fields)
    model = AutoModelForImageTextToText.from_config(config, dtype=torch.float32)
    for weight in model.parameters():
        weight.data = weight.data * 4 if weight.dim() > 1 else weight.data + 0.1 * torch.randn_like(weight)
    model.save_pretrained(folder)
    byte_level_tokenizer(folder, 300, qwen2_steps())
    return AutoModelForImageTextToText.from_pretrained(folder)


@pytest.mark.parametrize(("kind", "text"), [*TEXTS.items(), ("mistral3", "mistral")])
def test_the_text_part_computes_what_the_whole_model_does(llama_cpp: Any, tmp_path: Path, kind: str, text: str) -> None:
    folder = tmp_path / "m"
    model = whole(kind, text, folder)
    with pytest.raises(ConversionError) as refusal:
        convert.plan_gguf(folder, None, ["F32"], chat_template=None, name="n", extra={})
    assert kind in refusal.value.title and "--text-only" in refusal.value.remedy
    plan = write_gguf(folder, tmp_path / "m.gguf", "F32", text_only=True)
    assert plan.architecture == architecture({"model_type": text}).GGUF_NAME
    ours = sum(np.prod(shape) for tensor in plan.tensors for _, shape in tensor.sources)
    stored = read_folder(folder)
    count, size = len(stored), sum(tensor.size for tensor in stored.values())
    left = count - sum(bool(tensor.sources) for tensor in plan.tensors)
    assert any(f"{left} tensors ({size - 4 * ours} bytes)" in note for note in plan.notes), plan.notes
    assert_same_model(torch_logits(model, IDS), gguf_logits(llama_cpp, tmp_path / "m.gguf", IDS), limit(text))


def test_older_names_of_the_text_part_give_the_same_file(tmp_path: Path) -> None:
    """As Gemma 3 and Mistral 3 were first published."""
    from safetensors.numpy import load_file, save_file

    whole("gemma3", "gemma3_text", tmp_path / "m")
    write_gguf(tmp_path / "m", tmp_path / "m.gguf", "F16", text_only=True)
    weights = load_file(tmp_path / "m/model.safetensors")
    for older in ("language_model.model.", "language_model."):
        folder = shutil.copytree(tmp_path / "m", tmp_path / older)
        save_file({name.replace("model.language_model.", older): value for name, value in weights.items()}, folder / "model.safetensors")
        write_gguf(folder, tmp_path / "older.gguf", "F16", text_only=True)
        assert (tmp_path / "older.gguf").read_bytes() == (tmp_path / "m.gguf").read_bytes()


def test_the_command_says_what_is_left_out(edgetune: Any, tmp_path: Path) -> None:
    whole("gemma3", "gemma3_text", tmp_path / "m")
    code, out, err = edgetune("export", tmp_path / "m", "--type", "F16", "--out", tmp_path / "out")
    assert code and out == "" and "--text-only" in err and not (tmp_path / "out").exists()
    code, out, err = edgetune("export", tmp_path / "m", "--type", "F16", "--out", tmp_path / "out", "--text-only")
    assert code == 0 and Path(out.strip()).is_file()
    assert "left out: multi_modal_projector, vision_tower" in err


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
        convert.plan_gguf(tmp_path, None, ["F16"], chat_template=None, name="n", extra={}, text_only=True)
    assert named in f"{refusal.value.title} {refusal.value.cause}"
