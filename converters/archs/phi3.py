"""Phi-3, Phi-3.5 and Phi-4-mini: queries, keys and values in one matrix, gate and up in another, in the model as in the GGUF."""

import math
from typing import Any

import numpy as np

from converters.archs import TensorPlan, config_error, integer, sizes
from converters.decoder import TensorPlans, decoder_configuration, decoder_metadata, heads, layer_count, refuse_windows
from converters.errors import ConversionError
from converters.gguf_file import Value, f32, u32
from converters.gguf_model import GgufModel, shortest_float
from converters.rope import positive_number, rope_settings

GGUF_NAME = "phi3"
CLASS = "Phi3ForCausalLM"
DEFAULTS = sizes(32064, 3072, 8192, 32, 32) | {
    "max_position_embeddings": 4096,
    "original_max_position_embeddings": 4096,
    "rms_norm_eps": 1e-5,
    "sliding_window": None,
    "tie_word_embeddings": False,
}
VOCABULARY = {"added_first": True}
"""Its </s> is a token like others."""
TINY = {
    "model_type": "phi3",
    "vocab_size": 96,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "max_position_embeddings": 512,
    "original_max_position_embeddings": 32,
    "rms_norm_eps": 1e-5,
    "tie_word_embeddings": False,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "rope_parameters": {
        "rope_type": "longrope",
        "rope_theta": 20000.0,
        "original_max_position_embeddings": 32,
        "partial_rotary_factor": 0.75,
        "short_factor": [1 + 0.1 * i for i in range(12)],
        "long_factor": [1.5 + 0.3 * i for i in range(12)],
    },
}


def _rotated(config: dict[str, Any], rope: dict[str, Any]) -> int:
    """How much of a head is rotated (modeling_phi3.py, `Phi3RotaryEmbedding`)."""
    return int(heads(config, own_size=False).size * positive_number(rope, "partial_rotary_factor", default=1.0))


def _rope(config: dict[str, Any]) -> dict[str, Any]:
    """The rope settings, LongRoPE by its only present name (configuration_phi3.py, `convert_rope_params_to_dict`)."""
    rope = rope_settings(config)
    if rope["rope_type"] in ("su", "yarn"):
        rope["rope_type"] = "longrope"
    rope.setdefault("original_max_position_embeddings", config["original_max_position_embeddings"])
    if rope["rope_type"] not in ("default", "longrope"):
        raise ConversionError(
            f"Rope scaling '{rope['rope_type']}' is not supported",
            "Phi-3 is converted with: default, longrope.",
            "Use a base model without it.",
        )
    return rope


def _attention_factor(config: dict[str, Any], rope: dict[str, Any]) -> float:
    """What rotated queries and keys are multiplied by (LongRoPE, arXiv 2402.13753; modeling_rope_utils.py)."""
    original = positive_number(rope, "original_max_position_embeddings")
    if original <= 1:
        raise config_error(f"The rope setting original_max_position_embeddings is {original:g}.")

    factor = positive_number(rope, "factor", default=integer(config, "max_position_embeddings") / original)
    return positive_number(rope, "attention_factor", default=math.sqrt(1 + math.log(factor) / math.log(original)) if factor > 1 else 1.0)


def metadata(config: dict[str, Any]) -> dict[str, Value]:
    """Hyper-parameters; llama.cpp's Phi-3 has no sliding window (src/models/phi3.cpp), which a zero says."""
    refuse_windows(config, GGUF_NAME)
    rope = _rope(config)
    keys = {
        "rope.dimension_count": u32(_rotated(config, rope)),
        "rope.freq_base": f32(positive_number(rope, "rope_theta")),
        "rope.scaling.original_context_length": u32(integer(rope, "original_max_position_embeddings")),
        "attention.sliding_window": u32(config["sliding_window"] or 0),
    }
    if rope["rope_type"] == "longrope":
        keys["rope.scaling.attn_factor"] = f32(_attention_factor(config, rope))
    return decoder_metadata(config, GGUF_NAME, head_size=False) | {f"{GGUF_NAME}.{key}": value for key, value in keys.items()}


def configuration(file: GgufModel) -> dict[str, Any]:
    """Hyper-parameters from a file."""
    config = decoder_configuration(file, own_size=False)
    share = file.integer("rope.dimension_count") / (config["hidden_size"] // config["num_attention_heads"])
    original = file.integer("rope.scaling.original_context_length")

    rope: dict[str, Any] = {"rope_type": "default", "rope_theta": file.number("rope.freq_base"), "partial_rotary_factor": share}
    if file.has("rope_factors_long.weight"):
        rope |= {"rope_type": "longrope", "original_max_position_embeddings": original}
        rope |= {
            f"{kind}_factor": [shortest_float(factor) for factor in file.tensor(f"rope_factors_{kind}.weight")]
            for kind in ("short", "long")
        }
        rope["attention_factor"] = file.number("rope.scaling.attn_factor")

    return config | {
        "original_max_position_embeddings": original,
        "partial_rotary_factor": share,
        "rope_parameters": rope,
        "sliding_window": file.integer("attention.sliding_window", 0, minimum=0) or None,
    }


def _factors(rope: dict[str, Any], key: str, count: int) -> np.ndarray:
    """One of the two lists of what rotary frequencies are divided by, float32 [count]."""
    values = rope.get(key)
    if not isinstance(values, list) or len(values) != count:
        raise config_error(f"The rope setting {key} is not a list of {count} numbers.")
    return np.array([positive_number({key: value}, key) for value in values], np.float32)


def tensors(config: dict[str, Any], tied: bool) -> list[TensorPlan]:
    """Every tensor, in llama.cpp's order."""
    head = heads(config)
    rope = _rope(config)
    plans = TensorPlans(GGUF_NAME, layer_count(config))
    hidden, inner = plans.start(config)
    if rope["rope_type"] == "longrope":
        plans.add_computed("rope_factors_long.weight", _factors(rope, "long_factor", _rotated(config, rope) // 2))
        plans.add_computed("rope_factors_short.weight", _factors(rope, "short_factor", _rotated(config, rope) // 2))

    for layer in range(plans.layers):
        prefix = f"model.layers.{layer}"
        plans.add(f"{prefix}.input_layernorm.weight", hidden)
        plans.linear(f"{prefix}.self_attn.qkv_proj", (head.query + 2 * head.kv) * head.size, hidden)
        plans.linear(f"{prefix}.self_attn.o_proj", hidden, head.query * head.size)
        plans.add(f"{prefix}.post_attention_layernorm.weight", hidden)
        plans.linear(f"{prefix}.mlp.gate_up_proj", 2 * inner, hidden)
        plans.linear(f"{prefix}.mlp.down_proj", hidden, inner)

    plans.end(config, tied)
    return plans
