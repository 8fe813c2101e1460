"""Qwen3 (dense): heads of a size of their own, whose queries and keys are normalized."""

from typing import Any

from converters.archs import TensorPlan, refuse_unless, sizes
from converters.decoder import TensorPlans, decoder_configuration, decoder_metadata, heads, layer_count, refuse_layers_but
from converters.gguf_file import Value
from converters.gguf_model import GgufModel
from converters.rope import rope_configuration, rope_metadata, rope_settings

GGUF_NAME = "qwen3"
CLASS = "Qwen3ForCausalLM"
DEFAULTS = sizes(151936, 4096, 22016, 32, 32) | {
    "num_key_value_heads": 32,
    "head_dim": 128,
    "max_position_embeddings": 32768,
    "rms_norm_eps": 1e-6,
    "attention_bias": False,
    "use_sliding_window": False,
    "tie_word_embeddings": False,
}
TINY = {
    "model_type": "qwen3",
    "vocab_size": 96,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 24,
    "max_position_embeddings": 512,
    "rms_norm_eps": 1e-5,
    "tie_word_embeddings": True,
    "rope_parameters": {"rope_type": "default", "rope_theta": 20000.0},
}


def metadata(config: dict[str, Any]) -> dict[str, Value]:
    """Hyper-parameters; all layers attend to everything before, and projections have no biases (src/models/qwen3.cpp)."""
    refuse_unless(config, "use_sliding_window", False)
    refuse_unless(config, "attention_bias", False)
    refuse_layers_but(config, "full_attention")
    return decoder_metadata(config, GGUF_NAME) | rope_metadata(rope_settings(config), GGUF_NAME, ("linear", "yarn"))


def configuration(file: GgufModel) -> dict[str, Any]:
    """Hyper-parameters from a file."""
    size = file.shape("blk.0.attn_q_norm.weight")[0]
    return decoder_configuration(file) | {"head_dim": size, "rope_parameters": rope_configuration(file)}


def tensors(config: dict[str, Any], tied: bool) -> list[TensorPlan]:
    """Every tensor, in llama.cpp's order."""
    head = heads(config)
    plans = TensorPlans(GGUF_NAME, layer_count(config))
    hidden, inner = plans.start(config)
    for layer in range(plans.layers):
        prefix = f"model.layers.{layer}"
        plans.add(f"{prefix}.input_layernorm.weight", hidden)
        plans.attention(f"{prefix}.self_attn", hidden, head)
        plans.add(f"{prefix}.self_attn.q_norm.weight", head.size)
        plans.add(f"{prefix}.self_attn.k_norm.weight", head.size)
        plans.add(f"{prefix}.post_attention_layernorm.weight", hidden)
        plans.gated_mlp(f"{prefix}.mlp", hidden, inner)
    plans.end(config, tied)
    return plans
