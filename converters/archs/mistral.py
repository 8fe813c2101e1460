"""Mistral (7B v0.2 and later, Nemo, …): llama.cpp runs it as a Llama."""

from typing import Any

from converters.archs import TensorPlan, llama, sizes
from converters.decoder import refuse_windows
from converters.gguf_file import Value

GGUF_NAME = "llama"
DEFAULTS = sizes(32000, 4096, 14336, 32, 32) | {
    "num_key_value_heads": 8,
    "max_position_embeddings": 131072,
    "rms_norm_eps": 1e-6,
    "sliding_window": 4096,
    "tie_word_embeddings": False,
}
TINY = {
    "model_type": "mistral",
    "vocab_size": 96,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 24,
    "max_position_embeddings": 512,
    "rms_norm_eps": 1e-5,
    "sliding_window": None,
    "tie_word_embeddings": False,
    "rope_parameters": {"rope_type": "default", "rope_theta": 20000.0},
}
is_70b = llama.is_70b


def metadata(config: dict[str, Any]) -> dict[str, Value]:
    """Llama's; llama.cpp's Llama has no sliding window."""
    refuse_windows(config, GGUF_NAME)
    return llama.metadata(config)


def tensors(config: dict[str, Any], tied: bool) -> list[TensorPlan]:
    """Llama's, without biases."""
    return llama.tensors(config | llama.WITHOUT_BIAS, tied)
