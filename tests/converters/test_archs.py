"""Every architecture: what is written computes what the model computes, what is left out means the same, what cannot be is refused."""

import ctypes
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from converters import convert
from converters.archs import architecture, supported, with_defaults
from converters.errors import ConversionError
from converters.file_types import FILE_TYPES
from converters.gguf_file import read_header
from tests.converters.conftest import MakeModel
from tests.converters.reference import assert_same_model, gguf_logits, torch_logits, write_gguf

IDS = np.random.default_rng(0).integers(3, 90, 64).tolist()
SIZE = {"vocab_size": 300}
SLIDING, FULL = "sliding_attention", "full_attention"
SHORT: dict[str, Any] = {
    "rope_type": "longrope",
    "rope_theta": 20000.0,
    "original_max_position_embeddings": 300,
    "short_factor": [1 + 0.1 * i for i in range(16)],
    "long_factor": [1.5 + 0.3 * i for i in range(16)],
}
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "qwen2-untied": ("qwen2", {"tie_word_embeddings": False, "rope_parameters": {"rope_type": "default", "rope_theta": 20000.0}}),
    "phi3-plain": ("phi3", {"rope_parameters": {"rope_type": "default", "rope_theta": 20000.0}, "tie_word_embeddings": True}),
    "phi3-short": ("phi3", {"original_max_position_embeddings": 300, "rope_parameters": SHORT}),
    "gemma3-plain": ("gemma3_text", {"final_logit_softcapping": 20.0, "rope_parameters": None}),
    "gemma4-plain": (
        "gemma4_text",
        {
            "hidden_size_per_layer_input": 0,
            "num_kv_shared_layers": 0,
            "use_double_wide_mlp": False,
            "attention_k_eq_v": False,
            "final_logit_softcapping": None,
            "per_layer_config": {"3": {"head_dim": 48}, "5": {"head_dim": 48}},
        },
    ),
    "qwen3.5-equal-heads": ("qwen3_5_text", {"linear_num_value_heads": 2, "tie_word_embeddings": False}),
    "gpt2-untied": ("gpt2", {"tie_word_embeddings": False, "n_inner": None}),
    "lfm2-untied": ("lfm2", {"tie_word_embeddings": False, "block_auto_adjust_ff_dim": False}),
}


def tiny(kind: str, **changes: Any) -> dict[str, Any]:
    """An architecture's small configuration with room for a byte-level vocabulary."""
    config: dict[str, Any] = architecture({"model_type": kind}).TINY | SIZE | changes
    return config | {"vocab_size_per_layer_input": config["vocab_size"]} if kind == "gemma4_text" else config


def limit(kind: str) -> float:
    """Mean KL that an architecture's logits may have: more where it computes GELU, which ggml looks up in a table of F16."""
    from transformers import CONFIG_MAPPING

    config = CONFIG_MAPPING[kind]().to_dict()
    gelu = any("gelu" in str(config.get(key)) for key in ("hidden_act", "hidden_activation", "activation_function"))
    return 5e-6 if kind == "gemma4_text" else 1e-6 if gelu else 1e-9


def check_logits(folder: Path, library: Any, path: Path, kind: str) -> None:
    """transformers on the folder and llama.cpp on the F32 file."""
    from transformers import AutoModelForCausalLM

    write_gguf(folder, path, "F32")
    reference = torch_logits(AutoModelForCausalLM.from_pretrained(folder), IDS)
    assert_same_model(reference, gguf_logits(library, path, IDS), limit(kind))


@pytest.mark.parametrize("kind", supported())
def test_llama_cpp_computes_what_transformers_does(make_model: MakeModel, llama_cpp: Any, tmp_path: Path, kind: str) -> None:
    check_logits(make_model(tiny(kind)), llama_cpp, tmp_path / "m.gguf", kind)


@pytest.mark.parametrize("variant", VARIANTS)
def test_llama_cpp_computes_variants(make_model: MakeModel, llama_cpp: Any, tmp_path: Path, variant: str) -> None:
    kind, changes = VARIANTS[variant]
    check_logits(make_model(tiny(kind, **changes)), llama_cpp, tmp_path / "m.gguf", kind)


@pytest.mark.parametrize("kind", supported())
def test_quantized_bytes_equal_llama_model_quantize(make_model: MakeModel, llama_cpp: Any, tmp_path: Path, kind: str) -> None:
    source, target = tmp_path / "f32.gguf", tmp_path / "theirs.gguf"
    folder = make_model(tiny(kind))
    write_gguf(folder, source, "F32")
    params = llama_cpp.llama_model_quantize_default_params()
    params.ftype, params.nthread = FILE_TYPES["Q4_K_M"][0], 1
    assert llama_cpp.llama_model_quantize(str(source).encode(), str(target).encode(), ctypes.byref(params)) == 0
    write_gguf(folder, tmp_path / "ours.gguf", "Q4_K_M")
    ours, theirs = read_header(tmp_path / "ours.gguf"), read_header(target)
    assert {name: info.type for name, info in ours.tensors.items()} == {name: info.type for name, info in theirs.tensors.items()}
    for name in ours.tensors:
        assert np.array_equal(ours.raw(name), theirs.raw(name)), name


@pytest.mark.parametrize("kind", supported())
def test_left_out_settings_mean_what_they_mean_to_transformers(kind: str) -> None:
    from transformers import CONFIG_MAPPING

    # What transformers has by default and llama.cpp does not compute is None in TINY.
    given = {key: None for key, value in architecture({"model_type": kind}).TINY.items() if value is None}
    full = with_defaults(CONFIG_MAPPING[kind](**given).to_dict())
    sparse = with_defaults({"model_type": kind} | given)
    assert sparse["vocab_size"] == full["vocab_size"]
    module = architecture(full)
    assert _comparable(module.metadata(sparse)) == _comparable(module.metadata(full))
    assert sparse["tie_word_embeddings"] == full["tie_word_embeddings"]
    ours, theirs = (module.tensors(config, full["tie_word_embeddings"]) for config in (sparse, full))
    assert [(one.name, one.shape, one.sources) for one in ours] == [(one.name, one.shape, one.sources) for one in theirs]


def _comparable(metadata: dict[str, Any]) -> dict[str, Any]:
    return {key: np.asarray(value.data).tolist() for key, value in metadata.items()}


def test_older_forms_of_gemma3s_rotary_settings_mean_the_same() -> None:
    module, config = architecture({"model_type": "gemma3_text"}), with_defaults(tiny("gemma3_text"))
    older = {key: value for key, value in config.items() if key != "rope_parameters"}
    older |= {"rope_theta": 50000.0, "rope_local_base_freq": 20000.0, "rope_scaling": {"rope_type": "linear", "factor": 3.0}}
    assert module.metadata(older) == module.metadata(config)


REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("mistral", {"sliding_window": 16}, "sliding_window"),
    ("mistral", {"num_local_experts": 8}, "num_local_experts"),
    ("qwen2", {"use_sliding_window": True}, "use_sliding_window"),
    ("qwen2", {"layer_types": [FULL, SLIDING]}, SLIDING),
    ("qwen2", {"head_dim": 24}, "head_dim"),
    ("qwen2", {"rope_parameters": {"rope_type": "llama3", "rope_theta": 1e4}}, "llama3"),
    ("qwen3", {"attention_bias": True}, "attention_bias"),
    ("qwen3", {"rope_parameters": {"rope_type": "default", "rope_theta": 1e4, "partial_rotary_factor": 0.5}}, "partial_rotary_factor"),
    ("qwen3_5_text", {"linear_value_head_dim": 64}, "linear_value_head_dim"),
    ("qwen3_5_text", {"linear_num_key_heads": 4}, "key heads"),
    ("qwen3_5_text", {"num_experts": 8}, "num_experts"),
    ("qwen3_5_text", {"rms_norm_eps": 1e-5}, "rms_norm_eps"),
    ("gemma2", {"query_pre_attn_scalar": 100}, "query_pre_attn_scalar"),
    ("gemma2", {"layer_types": [FULL] * 4}, "layer_types"),
    ("gemma2", {"final_logit_softcapping": None}, "final_logit_softcapping"),
    ("gemma2", {"hidden_activation": "gelu"}, "hidden_activation"),
    ("gemma2", {"use_bidirectional_attention": True}, "use_bidirectional_attention"),
    ("gemma2", {"tie_word_embeddings": False}, "embeddings"),
    ("gemma3_text", {"layer_types": [SLIDING, FULL] * 3 + [SLIDING]}, "layer_types"),
    ("gemma3_text", {"attn_logit_softcapping": 50.0}, "attn_logit_softcapping"),
    ("gemma3_text", {"rope_parameters": {SLIDING: {"rope_type": "linear", "rope_theta": 1e4, "factor": 2.0}}}, "rope_type"),
    ("gemma4_text", {"enable_moe_block": True}, "enable_moe_block"),
    ("gemma4_text", {"vocab_size_per_layer_input": 100}, "vocab_size_per_layer_input"),
    ("gemma4_text", {"use_bidirectional_attention": "all"}, "use_bidirectional_attention"),
    ("gemma4_text", {"layer_types": [FULL] * 6, "per_layer_config": None}, "layer_types"),
    ("gemma4_text", {"per_layer_config": {"1": {"head_dim": 48}}}, "per_layer_config"),
    ("phi3", {"sliding_window": 16}, "sliding_window"),
    ("phi3", {"rope_parameters": {"rope_type": "linear", "rope_theta": 1e4, "factor": 2.0}}, "linear"),
    ("phi3", {"rope_parameters": SHORT | {"long_factor": [1.0]}}, "long_factor"),
    ("phi3", {"rope_parameters": SHORT | {"original_max_position_embeddings": 1}}, "original_max_position_embeddings"),
    ("smollm3", {"no_rope_layers": [1] * 5}, "no_rope_layers"),
    ("smollm3", {"no_rope_layer_interval": 3, "no_rope_layers": None}, "no_rope_layers"),
    ("smollm3", {"attention_bias": True}, "attention_bias"),
    ("smollm3", {"use_sliding_window": True, "sliding_window": 16}, "use_sliding_window"),
    ("olmo2", {"attention_bias": True}, "attention_bias"),
    ("granite", {"head_dim": 24}, "head_dim"),
    ("lfm2", {"conv_bias": True}, "conv_bias"),
    ("lfm2", {"layer_types": ["conv", SLIDING, FULL, "conv"]}, "layer_types"),
    ("gpt2", {"activation_function": "relu"}, "activation_function"),
    ("gpt2", {"scale_attn_by_inverse_layer_idx": True}, "scale_attn_by_inverse_layer_idx"),
    ("ministral3", {"rope_parameters": {"rope_type": "default", "rope_theta": 1e4}}, "rope_type"),
]


@pytest.mark.parametrize(("kind", "changes", "named"), REFUSED, ids=[f"{kind}-{next(iter(changes))}" for kind, changes, _ in REFUSED])
def test_what_llama_cpp_cannot_be_told_is_refused_by_name(
    make_model: MakeModel, tmp_path: Path, kind: str, changes: dict[str, Any], named: str
) -> None:
    folder = shutil.copytree(make_model(tiny(kind)), tmp_path / "m")
    (folder / "config.json").write_text(json.dumps(json.loads((folder / "config.json").read_text()) | changes))
    with pytest.raises(ConversionError) as refusal:
        convert.plan_gguf(folder, None, ["F16"], chat_template=None, name="n", extra={})
    assert named in f"{refusal.value.title} {refusal.value.cause}"
    assert refusal.value.remedy


@pytest.mark.parametrize("kind", ["gpt2", "qwen2"])
def test_folders_saved_without_an_output_matrix(make_model: MakeModel, tmp_path: Path, kind: str) -> None:
    """Their tensors' names lack the first part, as in the first GPT-2."""
    from safetensors.numpy import load_file, save_file

    folder = make_model(tiny(kind))
    bare = shutil.copytree(folder, tmp_path / "m")
    weights = {name.partition(".")[2]: weight for name, weight in load_file(folder / "model.safetensors").items()}
    if kind == "gpt2":
        weights["h.0.attn.bias"] = np.ones((1, 1, 8, 8), np.float32)
    save_file(weights, bare / "model.safetensors")
    write_gguf(folder, tmp_path / "a.gguf", "F16")
    write_gguf(bare, tmp_path / "b.gguf", "F16")
    assert (tmp_path / "a.gguf").read_bytes() == (tmp_path / "b.gguf").read_bytes()


def test_tensors_that_nothing_needs_may_be_there(make_model: MakeModel, tmp_path: Path) -> None:
    """Qwen3.5's second-token layer; keys and values that Gemma 4's layers reuse from others."""
    from safetensors.numpy import load_file, save_file

    for kind, name in (("qwen3_5_text", "mtp.fc.weight"), ("gemma4_text", "model.layers.5.self_attn.k_proj.weight")):
        folder = shutil.copytree(make_model(tiny(kind)), tmp_path / kind)
        weights = load_file(folder / "model.safetensors")
        save_file(weights | {name: np.ones((2, 2), np.float32)}, folder / "model.safetensors")
        convert.plan_gguf(folder, None, ["F16"], chat_template=None, name="n", extra={})
        save_file(weights | {name.replace("fc", "x").replace("mtp", "other"): np.ones((2, 2), np.float32)}, folder / "model.safetensors")
        if kind == "qwen3_5_text":
            with pytest.raises(ConversionError, match="weights"):
                convert.plan_gguf(folder, None, ["F16"], chat_template=None, name="n", extra={})
