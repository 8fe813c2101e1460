"""OLMo 2: norms after attention and MLP instead of before, and over all queries and all keys at once."""

from typing import Any

from converters.archs import TensorPlan, refuse_unless, sizes
from converters.decoder import TensorPlans, equal_share_configuration, equal_share_metadata, heads, layer_count
from converters.gguf_file import Value
from converters.gguf_model import GgufModel

GGUF_NAME = "olmo2"
CLASS = "Olmo2ForCausalLM"
DEFAULTS = sizes(50304, 4096, 11008, 32, 32) | {
    "max_position_embeddings": 2048,
    "rms_norm_eps": 1e-5,
    "attention_bias": False,
    "tie_word_embeddings": False,
}
TINY = {
    "model_type": "olmo2",
    "vocab_size": 96,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
    "rms_norm_eps": 1e-5,
    "tie_word_embeddings": False,
    "pad_token_id": 0,
    "eos_token_id": 2,
    "rope_parameters": {"rope_type": "default", "rope_theta": 20000.0},
}


def metadata(config: dict[str, Any]) -> dict[str, Value]:
    """Hyper-parameters; heads as large as their share of the hidden size, without biases (src/models/olmo2.cpp)."""
    refuse_unless(config, "attention_bias", False)
    return equal_share_metadata(config, GGUF_NAME)


def configuration(file: GgufModel) -> dict[str, Any]:
    """Hyper-parameters from a file."""
    return equal_share_configuration(file)


def tensors(config: dict[str, Any], tied: bool) -> list[TensorPlan]:
    """Every tensor, in llama.cpp's order. It needs an output matrix even where that is the embeddings'."""
    head, plans = heads(config), TensorPlans(GGUF_NAME, layer_count(config))
    hidden, inner = plans.start(config)
    for layer in range(plans.layers):
        prefix = f"model.layers.{layer}"
        plans.attention(f"{prefix}.self_attn", hidden, head)
        plans.add(f"{prefix}.self_attn.q_norm.weight", head.query * head.size)
        plans.add(f"{prefix}.self_attn.k_norm.weight", head.kv * head.size)
        plans.add(f"{prefix}.post_attention_layernorm.weight", hidden)
        plans.gated_mlp(f"{prefix}.mlp", hidden, inner)
        plans.add(f"{prefix}.post_feedforward_layernorm.weight", hidden)
    plans.end(config, False)
    return plans
