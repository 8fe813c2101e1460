"""Ministral 3: a Llama under YaRN whose queries grow with their position."""

from typing import Any

from converters.archs import TensorPlan, config_error, integer, llama, refuse_unless, sizes
from converters.decoder import decoder_configuration, decoder_metadata, heads, refuse_windows
from converters.gguf_file import Value, f32, u32
from converters.gguf_model import GgufModel
from converters.rope import positive_number, rope_configuration, rope_metadata, rope_settings

GGUF_NAME = "mistral3"
CLASS = "Ministral3ForCausalLM"
DEFAULTS = sizes(131072, 4096, 14336, 34, 32) | {
    "num_key_value_heads": 8,
    "head_dim": 128,
    "max_position_embeddings": 262144,
    "rms_norm_eps": 1e-5,
    "sliding_window": None,
    "tie_word_embeddings": False,
    "rope_parameters": {
        "rope_type": "yarn",
        "rope_theta": 1000000.0,
        "factor": 16.0,
        "original_max_position_embeddings": 16384,
        "beta_fast": 32.0,
        "beta_slow": 1.0,
        "mscale": 1.0,
        "mscale_all_dim": 1.0,
        "llama_4_scaling_beta": 0.1,
    },
}
TINY = {
    "model_type": "ministral3",
    "vocab_size": 96,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 24,
    "max_position_embeddings": 256,
    "rms_norm_eps": 1e-5,
    "tie_word_embeddings": True,
    "pad_token_id": 0,
    "rope_parameters": {
        "rope_type": "yarn",
        "rope_theta": 20000.0,
        "factor": 16.0,
        "original_max_position_embeddings": 16,
        "beta_fast": 32.0,
        "beta_slow": 1.0,
        "mscale": 1.0,
        "mscale_all_dim": 0.7,
        "llama_4_scaling_beta": 0.1,
    },
}


def metadata(config: dict[str, Any]) -> dict[str, Value]:
    """Llama's, the second YaRN factor and the growth of queries (src/models/mistral3.cpp, src/llama-context.cpp)."""
    refuse_windows(config, GGUF_NAME)
    rope = rope_settings(config)
    refuse_unless(rope, "rope_type", "yarn")
    refuse_unless(rope, "mscale", 1, default=1)
    refuse_unless(rope, "attention_factor", None)
    if rope.get("original_max_position_embeddings") is None:
        raise config_error("The rope setting original_max_position_embeddings is missing.")

    # `rope_metadata` refuses these two for other architectures; here llama.cpp reads them from a key of their own.
    common = {key: value for key, value in rope.items() if key not in ("mscale", "mscale_all_dim")}
    keys = decoder_metadata(config, GGUF_NAME) | rope_metadata(common, GGUF_NAME, ("yarn",))
    keys |= {
        f"{GGUF_NAME}.rope.dimension_count": u32(heads(config).size),
        f"{GGUF_NAME}.vocab_size": u32(integer(config, "vocab_size")),
        f"{GGUF_NAME}.attention.temperature_scale": f32(positive_number(rope, "llama_4_scaling_beta")),
    }
    if rope.get("mscale_all_dim") and rope.get("mscale"):
        keys[f"{GGUF_NAME}.rope.scaling.yarn_log_multiplier"] = f32(positive_number(rope, "mscale_all_dim"))
    return keys


def configuration(file: GgufModel) -> dict[str, Any]:
    """Hyper-parameters from a file."""
    rope = rope_configuration(file) | {"llama_4_scaling_beta": file.number("attention.temperature_scale")}
    if file.get("rope.scaling.yarn_log_multiplier") is not None:
        rope |= {"mscale": 1.0, "mscale_all_dim": file.number("rope.scaling.yarn_log_multiplier")}
    return decoder_configuration(file) | {"rope_parameters": rope}


def tensors(config: dict[str, Any], tied: bool) -> list[TensorPlan]:
    """Llama's, without biases."""
    return llama.tensors(config | llama.WITHOUT_BIAS, tied, GGUF_NAME)
