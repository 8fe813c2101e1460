"""Qwen2 and Qwen2.5: biases on queries, keys and values, and halves of a head rotated, so nothing is reordered."""

from typing import Any

from converters.archs import TensorPlan, refuse_unless, sizes
from converters.decoder import TensorPlans, equal_share_configuration, equal_share_metadata, heads, layer_count, refuse_layers_but
from converters.gguf_file import Value
from converters.gguf_model import GgufModel

GGUF_NAME = "qwen2"
CLASS = "Qwen2ForCausalLM"
DEFAULTS = sizes(151936, 4096, 22016, 32, 32) | {
    "num_key_value_heads": 32,
    "max_position_embeddings": 32768,
    "rms_norm_eps": 1e-6,
    "use_sliding_window": False,
    "tie_word_embeddings": False,
}
TINY = {
    "model_type": "qwen2",
    "vocab_size": 96,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
    "rms_norm_eps": 1e-5,
    "tie_word_embeddings": True,
    "rope_parameters": {"rope_type": "yarn", "rope_theta": 20000.0, "factor": 4.0, "original_max_position_embeddings": 128},
}


def is_70b(config: dict[str, Any]) -> bool:
    """Whether llama.cpp gives it Llama-2-70B's types: it does so by the number of layers alone (src/models/qwen2.cpp)."""
    return layer_count(config) == 80


def metadata(config: dict[str, Any]) -> dict[str, Value]:
    """Hyper-parameters; a head is as large as its share of the hidden size, and all layers attend to everything before."""
    refuse_unless(config, "use_sliding_window", False)
    refuse_layers_but(config, "full_attention")
    return equal_share_metadata(config, GGUF_NAME)


def configuration(file: GgufModel) -> dict[str, Any]:
    """Hyper-parameters from a file."""
    return equal_share_configuration(file)


def tensors(config: dict[str, Any], tied: bool) -> list[TensorPlan]:
    """Every tensor, in llama.cpp's order."""
    head, plans = heads(config), TensorPlans(GGUF_NAME, layer_count(config))
    hidden, inner = plans.start(config)
    for layer in range(plans.layers):
        prefix = f"model.layers.{layer}"
        plans.add(f"{prefix}.input_layernorm.weight", hidden)
        plans.attention(f"{prefix}.self_attn", hidden, head, (True, False))
        plans.add(f"{prefix}.post_attention_layernorm.weight", hidden)
        plans.gated_mlp(f"{prefix}.mlp", hidden, inner)
    plans.end(config, tied)
    return plans
