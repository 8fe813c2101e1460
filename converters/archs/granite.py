"""Granite 3: a Llama with multipliers on embeddings, attention, residuals and logits."""

from typing import Any

from converters.archs import TensorPlan, llama
from converters.decoder import heads
from converters.gguf_file import Value, f32
from converters.gguf_model import GgufModel
from converters.rope import positive_number

GGUF_NAME = "granite"
CLASS = "GraniteForCausalLM"
DEFAULTS = llama.DEFAULTS | {"embedding_multiplier": 1.0, "attention_multiplier": 1.0, "residual_multiplier": 1.0, "logits_scaling": 1.0}
TINY = {
    "model_type": "granite",
    "vocab_size": 96,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
    "rms_norm_eps": 1e-5,
    "tie_word_embeddings": True,
    "attention_bias": True,
    "embedding_multiplier": 6.0,
    "attention_multiplier": 0.1,
    "residual_multiplier": 0.22,
    "logits_scaling": 2.0,
    "rope_parameters": {"rope_type": "default", "rope_theta": 20000.0},
}
SCALES = {
    "attention.scale": "attention_multiplier",
    "embedding_scale": "embedding_multiplier",
    "residual_scale": "residual_multiplier",
    "logit_scale": "logits_scaling",
}


def metadata(config: dict[str, Any]) -> dict[str, Value]:
    """Llama's and the multipliers; a head is as large as its share of the hidden size."""
    heads(config, own_size=False)
    scales = {f"{GGUF_NAME}.{key}": f32(positive_number(config, name)) for key, name in SCALES.items()}
    return llama.metadata(config, GGUF_NAME, head_size=False) | scales


def configuration(file: GgufModel) -> dict[str, Any]:
    """Hyper-parameters from a file."""
    config = {key: value for key, value in llama.configuration(file).items() if key != "head_dim"}
    return config | {name: file.number(key) for key, name in SCALES.items()}


def tensors(config: dict[str, Any], tied: bool) -> list[TensorPlan]:
    """Llama's."""
    return llama.tensors(config, tied, GGUF_NAME)
