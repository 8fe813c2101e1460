"""SmolLM3: a Llama whose every fourth layer knows no positions."""

from typing import Any

from converters.archs import TensorPlan, integer, llama, refuse_unless, sizes
from converters.decoder import decoder_configuration, layer_count, refuse_layers_but
from converters.errors import ConversionError
from converters.gguf_file import Value
from converters.gguf_model import GgufModel
from converters.rope import rope_configuration

GGUF_NAME = "smollm3"
CLASS = "SmolLM3ForCausalLM"
DEFAULTS = sizes(128256, 2048, 11008, 36, 16) | {
    "num_key_value_heads": 4,
    "max_position_embeddings": 32768,
    "rms_norm_eps": 1e-6,
    "attention_bias": False,
    "mlp_bias": False,
    "rope_theta": 2000000.0,
    "use_sliding_window": False,
    "no_rope_layer_interval": 4,
    "tie_word_embeddings": True,
}
TINY = {
    "model_type": "smollm3",
    "vocab_size": 96,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 5,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
    "rms_norm_eps": 1e-5,
    "tie_word_embeddings": True,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "rope_parameters": {"rope_type": "default", "rope_theta": 20000.0},
}
NO_ROPE_INTERVAL = 4
"""llama.cpp leaves out the positions of every fourth layer, and can be told of no other (src/models/smollm3.cpp)."""


def _rotated(config: dict[str, Any]) -> list[bool]:
    listed = config.get("no_rope_layers")
    if listed is None:
        interval = integer(config, "no_rope_layer_interval")
        return [bool((layer + 1) % interval) for layer in range(layer_count(config))]
    return [bool(rotated) for rotated in listed] if isinstance(listed, list) else []


def metadata(config: dict[str, Any]) -> dict[str, Value]:
    """Llama's; refuses other layers without positions, biases and sliding windows."""
    for key in ("attention_bias", "mlp_bias", "use_sliding_window"):
        refuse_unless(config, key, False)
    refuse_layers_but(config, "full_attention")
    if _rotated(config) != [bool((layer + 1) % NO_ROPE_INTERVAL) for layer in range(layer_count(config))]:
        raise ConversionError(
            "no_rope_layers is not supported",
            f"llama.cpp skips rotary positions in every {NO_ROPE_INTERVAL}th layer only.",
            "Choose another base model.",
        )
    return llama.metadata(config, GGUF_NAME, head_size=config.get("head_dim") is not None)


def configuration(file: GgufModel) -> dict[str, Any]:
    """Hyper-parameters from a file."""
    return decoder_configuration(file) | {"no_rope_layer_interval": NO_ROPE_INTERVAL, "rope_parameters": rope_configuration(file)}


def tensors(config: dict[str, Any], tied: bool) -> list[TensorPlan]:
    """Llama's."""
    return llama.tensors(config, tied, GGUF_NAME)
