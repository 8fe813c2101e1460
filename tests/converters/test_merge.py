"""Merged tensors equal PEFT's, and what PEFT's maths is not done for is refused by name."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from converters import convert, merge
from converters.archs import gpt2, llama, phi3
from converters.errors import ConversionError
from tests.converters.conftest import MakeModel
from tests.converters.reference import assert_same_model, gguf_logits, torch_logits, write_gguf

pytestmark = pytest.mark.filterwarnings("ignore")  # PEFT and transformers talk about versions to come
BASE = llama.TINY | {"vocab_size": 300}
TIED = BASE | {"tie_word_embeddings": True}
LINEAR = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
IDS = np.random.default_rng(0).integers(3, 90, 64).tolist()


def train(folder: Path, target: Path, **options: Any) -> Any:
    """A PEFT model whose adapter acts, saved to `target`."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(1)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    settings: dict[str, Any] = {"r": 4, "lora_alpha": 8, "task_type": "CAUSAL_LM"} | options
    tuned = get_peft_model(model, LoraConfig(**settings))
    for name, weight in tuned.named_parameters():
        if "magnitude" in name:
            weight.data *= 1 + 0.1 * torch.randn_like(weight)
        elif weight.requires_grad:
            weight.data += 0.1 * torch.randn_like(weight)
    tuned.save_pretrained(str(target))
    return tuned


CASES: dict[str, dict[str, Any]] = {
    "plain": {"target_modules": LINEAR},
    "patterns-rslora": {
        "target_modules": LINEAR,
        "use_rslora": True,
        "rank_pattern": {"q_proj": 8, r"layers\.1\..*\.up_proj": 2},
        "alpha_pattern": {"v_proj": 3, "0.mlp.down_proj": 40},
    },
    "no-task": {"target_modules": LINEAR, "task_type": None},
    "dora": {"target_modules": LINEAR, "use_dora": True},
    "dora-embedding": {"target_modules": ["embed_tokens", "q_proj", "lm_head"], "use_dora": True, "rank_pattern": {"embed_tokens": 3}},
    "embedding": {"target_modules": ["embed_tokens", "o_proj"]},
    "orthogonal": {"target_modules": LINEAR, "init_lora_weights": "orthogonal"},
    "mica": {"target_modules": LINEAR, "init_lora_weights": "mica"},
    "saved-head": {"target_modules": ["v_proj"], "modules_to_save": ["lm_head", "embed_tokens"]},
}


@pytest.mark.parametrize("case", CASES)
def test_merged_tensors_equal_peft(make_model: MakeModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: str) -> None:
    monkeypatch.setattr(merge, "MERGE_ROWS", 7)
    folder = make_model(BASE)
    theirs = train(folder, tmp_path / "a", **CASES[case]).merge_and_unload().state_dict()
    ours = dict(convert.plan_gguf(folder, tmp_path / "a", ["F32"], chat_template=None, name="n", extra={}).merged())
    assert ours.keys() == theirs.keys()
    for name, weight in theirs.items():
        assert np.abs(ours[name] - weight.numpy()).max() <= 1e-6 * np.abs(weight.numpy()).max(), name


OTHERS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "phi3-fused": (phi3.TINY, {"target_modules": ["qkv_proj", "gate_up_proj", "o_proj", "down_proj"]}),
    "gpt2": (gpt2.TINY, {"target_modules": ["c_attn", "c_proj", "c_fc"], "fan_in_fan_out": True}),
    "gpt2-unsaid": (gpt2.TINY | {"tie_word_embeddings": False}, {"target_modules": ["c_attn", "lm_head"]}),
    "gpt2-dora": (gpt2.TINY, {"target_modules": ["c_attn", "c_fc"], "use_dora": True, "fan_in_fan_out": True}),
    "llama-fan-in": (BASE, {"target_modules": LINEAR, "fan_in_fan_out": True}),
}


@pytest.mark.parametrize("case", OTHERS)
def test_fused_and_transposed_weights_equal_peft(make_model: MakeModel, llama_cpp: Any, tmp_path: Path, case: str) -> None:
    """Phi-3's joined projections, and GPT-2's weights stored as [in, out]; the merged model computes the same from the GGUF."""
    config, options = OTHERS[case]
    folder = make_model(config | {"vocab_size": 300})
    merged = train(folder, tmp_path / "a", **options).merge_and_unload()
    theirs, ours = merged.state_dict(), dict(write_gguf(folder, tmp_path / "m.gguf", "F32", tmp_path / "a").merged())
    assert theirs.keys() - ours.keys() <= {"lm_head.weight"}
    for name, weight in ours.items():
        assert np.abs(weight - theirs[name].numpy()).max() <= 1e-6 * np.abs(weight).max(), name
    limit = 1e-6 if config["model_type"] == "gpt2" else 1e-9
    assert_same_model(torch_logits(merged, IDS), gguf_logits(llama_cpp, tmp_path / "m.gguf", IDS), limit)


@pytest.mark.parametrize(
    "options",
    [
        {"target_modules": ["embed_tokens"]},
        {"target_modules": ["lm_head", "q_proj"]},
        {"target_modules": ["q_proj"], "modules_to_save": ["embed_tokens"]},
        {"target_modules": ["embed_tokens", "lm_head"], "ensure_weight_tying": True},
    ],
    ids=["embedding", "head", "saved", "both"],
)
def test_tied_bases_compute_what_the_adapter_was_trained_to(
    make_model: MakeModel, llama_cpp: Any, tmp_path: Path, options: dict[str, Any]
) -> None:
    """PEFT's own merge of a tied base changes both matrices, so the running adapter is the reference here."""
    folder = make_model(TIED)
    tuned = train(folder, tmp_path / "a", **options)
    plan = write_gguf(folder, tmp_path / "m.gguf", "F32", tmp_path / "a")
    assert not plan.tied and plan.notes
    assert_same_model(torch_logits(tuned, IDS), gguf_logits(llama_cpp, tmp_path / "m.gguf", IDS))


@pytest.fixture(scope="module")
def adapter(make_model: MakeModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A plain adapter on q_proj and v_proj."""
    folder = tmp_path_factory.mktemp("adapter")
    train(make_model(BASE), folder, target_modules=["q_proj", "v_proj"])
    return folder


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"peft_type": "LOHA"}, "LOHA"),
        ({"bias": "all"}, "bias"),
        ({"lora_bias": True}, "lora_bias"),
        ({"init_lora_weights": "pissa"}, "pissa"),
        ({"init_lora_weights": "loftq"}, "loftq"),
        ({"layer_replication": [[0, 2]]}, "layer_replication"),
        ({"auto_mapping": {"parent_library": "os"}}, "auto_mapping"),
        ({"megatron_config": {"a": 1}}, "megatron_config"),
        ({"a_key_of_the_future": 3}, "a_key_of_the_future"),
        ({"use_dora": True}, "DoRA"),
        ({"r": 5}, "lora_A"),
        ({"r": 0}, "r is 0"),
        ({"lora_alpha": "many"}, "lora_alpha"),
        ({"rank_pattern": {"(": 2}}, "rank_pattern"),
        ({"rank_pattern": {r"([\w.]+)+!": 2}}, "too complex"),
        ({"alpha_pattern": {".*.*.*.*.*!": 2}}, "too complex"),
    ],
)
def test_settings_that_change_the_maths_are_refused_by_name(
    make_model: MakeModel, adapter: Path, tmp_path: Path, changes: dict[str, Any], named: str
) -> None:
    folder = shutil.copytree(adapter, tmp_path / "a")
    config = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps(config | changes))
    with pytest.raises(ConversionError) as refusal:
        convert.plan_gguf(make_model(BASE), folder, ["F16"], chat_template=None, name="n", extra={})
    assert named in f"{refusal.value.title} {refusal.value.cause}"


Q = "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight"


@pytest.mark.parametrize(
    ("lost", "gained", "named"),
    [
        ((), {"base_model.model.model.layers.0.self_attn.q_proj.lora_E": (1, 4)}, "lora_E"),
        ((), {"base_model.model.model.layers.9.mlp.up_proj.lora_A.weight": (4, 64)}, "layers.9"),
        ((), {"model.layers.0.mlp.up_proj.lora_A.weight": (4, 64)}, "up_proj"),
        ((Q,), {}, "q_proj"),
        ((Q,), {Q: (4, 63)}, "q_proj"),
        ((), {"base_model.model.model.norm.weight": (63,)}, "norm"),
    ],
)
def test_every_adapter_tensor_must_belong(
    make_model: MakeModel, adapter: Path, tmp_path: Path, lost: tuple[str, ...], gained: dict[str, tuple[int, ...]], named: str
) -> None:
    from safetensors.numpy import load_file, save_file

    folder = shutil.copytree(adapter, tmp_path / "a")
    tensors = {name: tensor for name, tensor in load_file(folder / "adapter_model.safetensors").items() if name not in lost}
    save_file(tensors | {name: np.ones(shape, np.float32) for name, shape in gained.items()}, folder / "adapter_model.safetensors")
    with pytest.raises(ConversionError) as refusal:
        convert.plan_gguf(make_model(BASE), folder, ["F16"], chat_template=None, name="n", extra={})
    assert named in refusal.value.cause


def test_a_diverged_adapter_and_a_pickled_one_are_refused(make_model: MakeModel, adapter: Path, tmp_path: Path) -> None:
    from safetensors.numpy import load_file, save_file

    folder = shutil.copytree(adapter, tmp_path / "a")
    tensors = load_file(folder / "adapter_model.safetensors")
    tensors[Q][0, 0] = np.inf
    save_file(tensors, folder / "adapter_model.safetensors")
    plan = convert.plan_gguf(make_model(BASE), folder, ["F16"], chat_template=None, name="n", extra={})
    with pytest.raises(ConversionError) as refusal:
        list(plan.merged())
    assert Q in refusal.value.cause
    (folder / "adapter_model.safetensors").rename(folder / "adapter_model.bin")
    with pytest.raises(ConversionError, match="No adapter weights"):
        convert.plan_gguf(make_model(BASE), folder, ["F16"], chat_template=None, name="n", extra={})
