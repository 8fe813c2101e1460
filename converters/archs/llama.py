"""Llama and what is built like it (Llama 1 to 3, TinyLlama, SmolLM, EdgeTune Nano …)."""

from functools import partial
from typing import Any

import numpy as np

from converters.archs import TensorPlan, gguf_tensor_name, integer, refuse_unless, same
from converters.errors import ConversionError
from converters.gguf_file import Value, f32, u32
from converters.rope import llama3_factors, number, rope_metadata, rope_settings

GGUF_NAME = "llama"
TINY = {
    "model_type": "llama", "vocab_size": 96, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 3, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 24, "max_position_embeddings": 512, "rms_norm_eps": 1e-5, "attention_bias": True,
    "tie_word_embeddings": False, "rope_parameters": {
        "rope_type": "llama3", "rope_theta": 10000.0, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
        "original_max_position_embeddings": 64},
}


def blocks(config: dict[str, Any]) -> int:
    """Number of layers; llama.cpp holds at most 512 (src/llama-hparams.h)."""
    return integer(config, "num_hidden_layers", most=512)


def seventy_b(config: dict[str, Any]) -> bool:
    """Whether llama.cpp takes it for Llama-2-70B's shape (src/models/llama.cpp)."""
    return blocks(config) == 80 and _heads(config)[0] != _heads(config)[1]


def _heads(config: dict[str, Any]) -> tuple[int, int, int]:
    """Query heads, key and value heads, and the size of a head."""
    heads = integer(config, "num_attention_heads")
    kv_heads = integer(config, "num_key_value_heads", default=heads)
    hidden = integer(config, "hidden_size")
    if heads % kv_heads or (config.get("head_dim") is None and hidden % heads):
        raise ConversionError("config.json does not make sense",
                              f"{heads} heads, {kv_heads} key-value heads and hidden size {hidden} do not divide.",
                              "Get the file again.")
    size = integer(config, "head_dim", default=hidden // heads)
    if size % 2:
        raise ConversionError("config.json does not make sense", f"A head of {size} cannot be rotated in pairs.", "Get the file again.")
    return heads, kv_heads, size


def metadata(config: dict[str, Any]) -> dict[str, Value]:
    """Hyper-parameters under llama.cpp's keys (gguf-py/gguf/constants.py, class Keys)."""
    refuse_unless(config, "hidden_act", "silu", default="silu")
    for key in ("num_local_experts", "quantization_config", "text_config"):
        refuse_unless(config, key, None)
    heads, kv_heads, size = _heads(config)
    rope = rope_settings(config)
    keys = {
        "block_count": u32(blocks(config)),
        "context_length": u32(integer(config, "max_position_embeddings", default=2048)),
        "embedding_length": u32(integer(config, "hidden_size")),
        "feed_forward_length": u32(integer(config, "intermediate_size")),
        "attention.head_count": u32(heads),
        "attention.head_count_kv": u32(kv_heads),
        "attention.layer_norm_rms_epsilon": f32(number(config, "rms_norm_eps", default=1e-6)),
        "attention.key_length": u32(size),
        "attention.value_length": u32(size),
        "rope.dimension_count": u32(size),
        "vocab_size": u32(integer(config, "vocab_size")),
    }
    return {f"{GGUF_NAME}.{key}": value for key, value in keys.items()} | rope_metadata(rope, GGUF_NAME, ("linear", "llama3", "yarn"))


def interleave(heads: int, rows: np.ndarray) -> np.ndarray:
    """Reorder a projection's rows [heads * size, …] within each head.

    transformers rotates row i with row i + size/2 (modeling_llama.py, `rotate_half`); llama.cpp's Llama rotates neighbours (ggml_rope,
    mode "normal"). So the two halves of every head are dealt out in turn.
    """
    halves = rows.reshape(heads, 2, -1, *rows.shape[1:])
    return np.ascontiguousarray(halves.swapaxes(1, 2)).reshape(rows.shape)


def tensors(config: dict[str, Any], tied: bool) -> list[TensorPlan]:
    """Every tensor, in llama.cpp's order; no output matrix when it is tied to the embeddings."""
    hidden, inner, vocabulary = (integer(config, key) for key in ("hidden_size", "intermediate_size", "vocab_size"))
    heads, kv_heads, size = _heads(config)
    layers = blocks(config)

    def plan(name: str, *shape: int, build: Any = same) -> TensorPlan:
        return TensorPlan(gguf_tensor_name(GGUF_NAME, layers, name), shape, ((name, shape),), build)

    plans = [plan("model.embed_tokens.weight", vocabulary, hidden)]
    rope = rope_settings(config)
    if rope["rope_type"] == "llama3":
        plans.append(TensorPlan("rope_freqs.weight", (size // 2,), (), partial(llama3_factors, rope, size)))
    for layer in range(layers):
        attention, mlp = f"model.layers.{layer}.self_attn", f"model.layers.{layer}.mlp"
        projections = [
            (f"{attention}.q_proj", heads * size, hidden, partial(interleave, heads)),
            (f"{attention}.k_proj", kv_heads * size, hidden, partial(interleave, kv_heads)),
            (f"{attention}.v_proj", kv_heads * size, hidden, same),
            (f"{attention}.o_proj", hidden, heads * size, same),
            (f"{mlp}.gate_proj", inner, hidden, same),
            (f"{mlp}.up_proj", inner, hidden, same),
            (f"{mlp}.down_proj", hidden, inner, same),
        ]
        plans.append(plan(f"model.layers.{layer}.input_layernorm.weight", hidden))
        for name, rows, columns, build in projections:
            plans.append(plan(f"{name}.weight", rows, columns, build=build))
            if config.get("mlp_bias" if name.startswith(mlp) else "attention_bias"):
                plans.append(plan(f"{name}.bias", rows, build=build))
        plans.append(plan(f"model.layers.{layer}.post_attention_layernorm.weight", hidden))
    plans.append(plan("model.norm.weight", hidden))
    if not tied:
        plans.append(plan("lm_head.weight", vocabulary, hidden))
    return plans
