"""Gemma 3 (text): Gemma 2's norms, normalized queries and keys instead of caps, and two rotary bases."""

from typing import Any

from converters.archs import TensorPlan, config_error, integer, refuse_unless, sizes
from converters.archs.gemma2 import ACTIVATION, FULL, SLIDING, check_shape, normed_tensors, windowed_configuration
from converters.decoder import PLUS_ONE, TensorPlans, decoder_metadata, heads
from converters.gguf_file import Value, f32, u32
from converters.gguf_model import GgufModel
from converters.rope import positive_number, rope_configuration, rope_metadata

GGUF_NAME = "gemma3"
CLASS = "Gemma3ForCausalLM"
THETAS = {FULL: 1000000.0, SLIDING: 10000.0}
DEFAULTS = sizes(262208, 2304, 9216, 26, 8) | {
    "num_key_value_heads": 4,
    "head_dim": 256,
    "max_position_embeddings": 131072,
    "rms_norm_eps": 1e-6,
    "attention_bias": False,
    "query_pre_attn_scalar": 256,
    "sliding_window": 4096,
    "tie_word_embeddings": True,
}
TINY = {
    "model_type": "gemma3_text",
    "vocab_size": 96,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 7,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 24,
    "query_pre_attn_scalar": 24,
    "max_position_embeddings": 512,
    "sliding_window": 16,
    "rms_norm_eps": 1e-5,
    "tie_word_embeddings": True,
    "rope_parameters": {
        FULL: {"rope_type": "linear", "factor": 3.0, "rope_theta": 50000.0},
        SLIDING: {"rope_type": "default", "rope_theta": 20000.0},
    },
}


def ropes(config: dict[str, Any], defaults: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The rope settings of each type of layer; the older form names two bases and one scaling (configuration_gemma3.py)."""
    by_kind = config.get("rope_parameters") or {}
    older = {
        FULL: {"rope_theta": config.get("rope_theta"), **(config.get("rope_scaling") or {})},
        SLIDING: {"rope_theta": config.get("rope_local_base_freq")},
    }

    # A null in the file means "not set", so it must not hide the older form or the default.
    merged = {}
    for kind, default in defaults.items():
        settings = {key: value for key, value in (older[kind] | (by_kind.get(kind) or {})).items() if value is not None}
        settings.setdefault("rope_type", settings.get("type", default["rope_type"]))
        merged[kind] = default | settings

    unknown = sorted(set(by_kind) - set(defaults))
    if unknown:
        raise config_error(f"rope_parameters is not by type of layer, but has {', '.join(unknown)[:100]}.")
    return merged


def metadata(config: dict[str, Any]) -> dict[str, Value]:
    """Hyper-parameters, the window and both rotary bases; only the layers that attend to everything are scaled."""
    if config.get("layer_types") is None:
        refuse_unless(config, "sliding_window_pattern", 6, default=6)
    check_shape(config, 6, largest=62)
    refuse_unless(config, "attn_logit_softcapping", None)

    rope = ropes(config, {kind: {"rope_type": "default", "rope_theta": theta} for kind, theta in THETAS.items()})
    refuse_unless(rope[SLIDING], "rope_type", "default")

    keys = decoder_metadata(config, GGUF_NAME, activation=ACTIVATION) | rope_metadata(rope[FULL], GGUF_NAME, ("linear",))
    keys[f"{GGUF_NAME}.rope.freq_base_swa"] = f32(positive_number(rope[SLIDING], "rope_theta"))
    keys[f"{GGUF_NAME}.attention.sliding_window"] = u32(integer(config, "sliding_window"))
    if config.get("final_logit_softcapping") is not None:
        keys[f"{GGUF_NAME}.final_logit_softcapping"] = f32(positive_number(config, "final_logit_softcapping"))
    return keys


def configuration(file: GgufModel) -> dict[str, Any]:
    """Hyper-parameters from a file."""
    sliding = {"rope_type": "default", "rope_theta": file.number("rope.freq_base_swa", THETAS[SLIDING])}
    return windowed_configuration(file, largest=62) | {"rope_parameters": {FULL: rope_configuration(file, THETAS[FULL]), SLIDING: sliding}}


def tensors(config: dict[str, Any], tied: bool) -> list[TensorPlan]:
    """Gemma 2's, and the norms of queries and keys."""
    size = heads(config).size

    def norms(plans: TensorPlans, prefix: str) -> None:
        plans.add(f"{prefix}.q_norm.weight", size, build=PLUS_ONE)
        plans.add(f"{prefix}.k_norm.weight", size, build=PLUS_ONE)

    return normed_tensors(config, tied, GGUF_NAME, norms)
