"""Llama and what is built like it (Llama 1 to 3, TinyLlama, SmolLM, EdgeTune Nano …)."""

from typing import Any

from converters.archs import TensorPlan, integer, sizes
from converters.decoder import INTERLEAVED, TensorPlans, decoder_configuration, decoder_metadata, heads, layer_count
from converters.gguf_file import Value, u32
from converters.gguf_model import GgufModel
from converters.rope import llama3_factors, rope_configuration, rope_metadata, rope_settings

GGUF_NAME = "llama"
CLASS = "LlamaForCausalLM"
DEFAULTS = sizes(32000, 4096, 11008, 32, 32) | {
    "max_position_embeddings": 2048,
    "rms_norm_eps": 1e-6,
    "attention_bias": False,
    "mlp_bias": False,
    "tie_word_embeddings": False,
}
TINY = {
    "model_type": "llama",
    "vocab_size": 96,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 24,
    "max_position_embeddings": 512,
    "rms_norm_eps": 1e-5,
    "attention_bias": True,
    "tie_word_embeddings": False,
    "rope_parameters": {
        "rope_type": "llama3",
        "rope_theta": 10000.0,
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 64,
    },
}
WITHOUT_BIAS = {"attention_bias": False, "mlp_bias": False}
SCALINGS = ("linear", "llama3", "yarn")


def is_70b(config: dict[str, Any]) -> bool:
    """Whether llama.cpp takes it for Llama-2-70B's shape (src/models/llama.cpp)."""
    return layer_count(config) == 80 and heads(config).query != heads(config).kv


def metadata(config: dict[str, Any], arch: str = GGUF_NAME, head_size: bool = True) -> dict[str, Value]:
    """Hyper-parameters; `arch` for others that differ only in what comes on top. head_size: as in `decoder_metadata`."""
    keys = decoder_metadata(config, arch, head_size)
    keys |= {f"{arch}.rope.dimension_count": u32(heads(config).size), f"{arch}.vocab_size": u32(integer(config, "vocab_size"))}
    return keys | rope_metadata(rope_settings(config), arch, SCALINGS)


def configuration(file: GgufModel) -> dict[str, Any]:
    """Hyper-parameters from a file; biases are there or not."""
    biases = {"attention_bias": file.has("blk.0.attn_q.bias"), "mlp_bias": file.has("blk.0.ffn_gate.bias")}
    return decoder_configuration(file) | biases | {"rope_parameters": rope_configuration(file)}


def tensors(config: dict[str, Any], tied: bool, arch: str = GGUF_NAME) -> list[TensorPlan]:
    """Every tensor, in llama.cpp's order; queries and keys reordered within their heads."""
    head = heads(config)
    plans = TensorPlans(arch, layer_count(config))
    hidden, inner = plans.start(config)

    rope = rope_settings(config)
    if rope["rope_type"] == "llama3":
        plans.add_computed("rope_freqs.weight", llama3_factors(rope, head.size))

    # transformers rotates halves of a head, llama.cpp neighbours: see `INTERLEAVED`.
    attention_bias = bool(config["attention_bias"])
    for layer in range(plans.layers):
        prefix = f"model.layers.{layer}"
        plans.add(f"{prefix}.input_layernorm.weight", hidden)
        plans.attention(
            f"{prefix}.self_attn",
            hidden,
            head,
            (attention_bias, attention_bias),
            query=INTERLEAVED.bind(head.query),
            key=INTERLEAVED.bind(head.kv),
        )
        plans.add(f"{prefix}.post_attention_layernorm.weight", hidden)
        plans.gated_mlp(f"{prefix}.mlp", hidden, inner, bool(config["mlp_bias"]))

    plans.end(config, tied)
    return plans
