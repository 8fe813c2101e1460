"""LFM2: layers of short convolutions between layers of attention."""

from typing import Any

import numpy as np

from converters.archs import Build, TensorPlan, config_error, integer, refuse_unless, sizes
from converters.decoder import TensorPlans, decoder_configuration, decoder_metadata, heads, layer_count
from converters.gguf_file import Value, i32s, u32
from converters.gguf_model import GgufModel
from converters.rope import positive_number, rope_configuration, rope_metadata, rope_settings

GGUF_NAME = "lfm2"
CLASS = "Lfm2ForCausalLM"
CONV, FULL = "conv", "full_attention"
DEFAULTS = sizes(65536, 2560, 12288, 32, 32) | {
    "num_key_value_heads": 8,
    "max_position_embeddings": 128000,
    "norm_eps": 1e-5,
    "rope_theta": 1000000.0,
    "conv_bias": False,
    "conv_L_cache": 3,
    "block_multiple_of": 256,
    "block_ffn_dim_multiplier": 1.0,
    "block_auto_adjust_ff_dim": True,
    "tie_word_embeddings": True,
}
TINY = {
    "model_type": "lfm2",
    "vocab_size": 96,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
    "norm_eps": 1e-4,
    "conv_L_cache": 4,
    "block_multiple_of": 32,
    "layer_types": [CONV, CONV, FULL, CONV],
    "tie_word_embeddings": True,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "rope_parameters": {"rope_type": "default", "rope_theta": 20000.0},
}


def _kinds(config: dict[str, Any]) -> list[str]:
    """Each layer's type."""
    count = layer_count(config)
    full_layers = config.get("full_attn_idxs")
    by_index = [FULL if full_layers is None or layer in full_layers else CONV for layer in range(count)]
    kinds = config.get("layer_types") or by_index
    if len(kinds) != count or set(kinds) - {CONV, FULL}:
        raise config_error(f"layer_types is not a list of {count} of {CONV} and {FULL}.")
    return list(kinds)


def _inner(config: dict[str, Any]) -> int:
    """The size of the MLP (modeling_lfm2.py, `Lfm2MLP`)."""
    inner = integer(config, "block_ff_dim", default=integer(config, "intermediate_size", default=12288))
    if config["block_auto_adjust_ff_dim"]:
        inner = int(2 * inner / 3)
        if config["block_ffn_dim_multiplier"] is not None:
            multiple = integer(config, "block_multiple_of")
            inner = -(-int(positive_number(config, "block_ffn_dim_multiplier") * inner) // multiple) * multiple
    return inner


def _settings(config: dict[str, Any]) -> dict[str, Any]:
    """The configuration with the size of the MLP as other architectures have it."""
    return config | {"intermediate_size": _inner(config)}


def metadata(config: dict[str, Any]) -> dict[str, Value]:
    """Hyper-parameters; a layer of convolutions is one without key-value heads (src/models/lfm2.cpp)."""
    refuse_unless(config, "conv_bias", False)
    refuse_unless(config, "tie_embedding", config["tie_word_embeddings"], default=config["tie_word_embeddings"])
    kv = heads(config, own_size=False).kv
    keys = decoder_metadata(_settings(config), GGUF_NAME, head_size=False, epsilon="norm_eps")
    keys |= {
        f"{GGUF_NAME}.attention.head_count_kv": i32s(kv if kind == FULL else 0 for kind in _kinds(config)),
        f"{GGUF_NAME}.vocab_size": u32(integer(config, "vocab_size")),
        f"{GGUF_NAME}.shortconv.l_cache": u32(integer(config, "conv_L_cache")),
    }
    return keys | rope_metadata(rope_settings(config), GGUF_NAME, ("linear", "yarn"))


def configuration(file: GgufModel) -> dict[str, Any]:
    """Hyper-parameters from a file; the MLP's size is the one it has, with nothing left to adjust."""
    kv = file.per_layer("attention.head_count_kv", file.integer("block_count", maximum=512))
    if not any(kv):
        raise file.invalid("No layer has attention.")
    return decoder_configuration(file, own_size=False, epsilon="norm_eps") | {
        "num_key_value_heads": max(kv),
        "layer_types": [FULL if number else CONV for number in kv],
        "conv_L_cache": file.integer("shortconv.l_cache"),
        "block_auto_adjust_ff_dim": False,
        "rope_parameters": rope_configuration(file),
    }


def _flat(kernel: np.ndarray) -> np.ndarray:
    """A convolution's kernel [channels, 1, length] without its middle."""
    return kernel.reshape(kernel.shape[0], kernel.shape[2])


def _deep(kernel: np.ndarray) -> np.ndarray:
    return kernel[:, None, :]


FLAT_KERNEL = Build(_flat, _deep)
"""A convolution's kernel, which llama.cpp stores as a matrix."""


def tensors(config: dict[str, Any], tied: bool) -> list[TensorPlan]:
    """Every tensor, in llama.cpp's order."""
    head = heads(config)
    length = integer(config, "conv_L_cache")
    plans = TensorPlans(GGUF_NAME, layer_count(config))
    hidden, inner = plans.start(_settings(config))

    for layer, kind in enumerate(_kinds(config)):
        prefix = f"model.layers.{layer}"
        plans.add(f"{prefix}.operator_norm.weight", hidden)
        if kind == CONV:
            plans.linear(f"{prefix}.conv.in_proj", 3 * hidden, hidden)
            plans.add(f"{prefix}.conv.conv.weight", hidden, length, build=FLAT_KERNEL, stored=(hidden, 1, length))
            plans.linear(f"{prefix}.conv.out_proj", hidden, hidden)
        else:
            plans.attention(f"{prefix}.self_attn", hidden, head, output="out_proj")
            plans.add(f"{prefix}.self_attn.q_layernorm.weight", head.size)
            plans.add(f"{prefix}.self_attn.k_layernorm.weight", head.size)
        plans.add(f"{prefix}.ffn_norm.weight", hidden)
        plans.gated_mlp(f"{prefix}.feed_forward", hidden, inner, names=("w1", "w3", "w2"))

    plans.end(config, tied, name="model.embedding_norm")
    return plans
