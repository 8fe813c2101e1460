"""Gemma 4 (text, dense): heads of two sizes, layers that reuse the keys and values of earlier ones, and embeddings for every layer."""

from typing import Any, NamedTuple

import numpy as np

from converters.archs import TensorPlan, config_error, integer, refuse_unless, sizes
from converters.archs.gemma2 import ACTIVATION, FULL, SLIDING, capped
from converters.archs.gemma3_text import THETAS, ropes
from converters.decoder import Heads, TensorPlans, decoder_configuration, decoder_metadata, layer_count
from converters.errors import ConversionError
from converters.gguf_file import Value, booleans, f32, i32s, u32
from converters.gguf_model import GgufModel
from converters.rope import positive_number

GGUF_NAME = "gemma4"
CLASS = "Gemma4ForCausalLM"
DEFAULTS = sizes(262144, 2304, 9216, 30, 8) | {
    "num_key_value_heads": 4,
    "head_dim": 256,
    "max_position_embeddings": 131072,
    "rms_norm_eps": 1e-6,
    "attention_bias": False,
    "sliding_window": 512,
    "hidden_size_per_layer_input": 256,
    "vocab_size_per_layer_input": 262144,
    "attention_k_eq_v": False,
    "num_kv_shared_layers": 0,
    "enable_moe_block": False,
    "use_double_wide_mlp": False,
    "tie_word_embeddings": True,
}
IGNORED_TENSORS = r"model\.layers\.\d+\.self_attn\.(k_proj|v_proj|k_norm|v_norm)\.weight"
"""Layers that reuse keys and values may still hold what plans their own."""
VOCABULARY = {"plain_bpe": True, "added_first": True}
ROPES = {
    FULL: {"rope_type": "proportional", "rope_theta": THETAS[FULL], "partial_rotary_factor": 0.25},
    SLIDING: {"rope_type": "default", "rope_theta": THETAS[SLIDING]},
}
UNROTATED = 1e30
"""What llama.cpp divides the frequencies by that shall not rotate (conversion/gemma.py)."""
TINY = {
    "model_type": "gemma4_text",
    "vocab_size": 96,
    "vocab_size_per_layer_input": 96,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 6,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 24,
    "max_position_embeddings": 512,
    "sliding_window": 16,
    "hidden_size_per_layer_input": 32,
    "num_kv_shared_layers": 2,
    "use_double_wide_mlp": True,
    "layer_types": [SLIDING, SLIDING, SLIDING, FULL, SLIDING, FULL],
    "final_logit_softcapping": 20.0,
    "rms_norm_eps": 1e-5,
    "attention_k_eq_v": True,
    "tie_word_embeddings": True,
    "rope_parameters": {
        FULL: {"rope_type": "proportional", "partial_rotary_factor": 0.25, "rope_theta": 50000.0},
        SLIDING: {"rope_type": "default", "rope_theta": 20000.0},
    },
    "per_layer_config": {"3": {"head_dim": 48, "num_key_value_heads": 1}, "5": {"head_dim": 48, "num_key_value_heads": 1}},
}


class Layer(NamedTuple):
    """One layer: whether it attends to a window only, whether it reuses keys and values, its heads, and the size of its MLP."""

    sliding: bool
    reuses: bool
    head: Heads
    inner: int


def _layers(config: dict[str, Any]) -> list[Layer]:
    """All layers (configuration_gemma4.py); those that attend to everything have heads of their own size, and perhaps number."""
    count = layer_count(config)
    kinds = config.get("layer_types") or [SLIDING if (layer + 1) % 6 else FULL for layer in range(count)]
    if not isinstance(kinds, list) or len(kinds) != count or set(kinds) - {SLIDING, FULL}:
        raise config_error(f"layer_types is not a list of {count} of {SLIDING} and {FULL}.")

    # transformers makes the last layer attend to everything, whatever the list says.
    kinds = [*kinds[:-1], FULL]

    shared = config["num_kv_shared_layers"]
    if type(shared) is not int or not 0 <= shared < count:
        raise config_error(f"num_kv_shared_layers is {shared!r}, where a whole number from 0 to {count - 1} belongs.")

    query = integer(config, "num_attention_heads")
    kv = integer(config, "num_key_value_heads")
    head_settings = _own_heads(config, kinds)
    layers = []
    for layer, kind in enumerate(kinds):
        reuses = layer >= count - shared
        size = integer(head_settings[layer], "head_dim")
        number_kv = integer(head_settings[layer], "num_key_value_heads", default=kv)
        if query % number_kv or size % 2:
            raise config_error(f"{query} heads, {number_kv} key-value heads and head size {size} do not fit.")
        inner = integer(config, "intermediate_size") * (2 if reuses and config["use_double_wide_mlp"] else 1)
        layers.append(Layer(kind == SLIDING, reuses, Heads(query, number_kv, size), inner))

    sliding_heads = {layer.head for layer in layers if layer.sliding}
    full_heads = {layer.head for layer in layers if not layer.sliding}
    if len(sliding_heads) > 1 or len(full_heads) > 1:
        raise ConversionError(
            "per_layer_config is not supported",
            "llama.cpp supports one head size for each of the two types of layers.",
            "Choose another base model.",
        )
    return layers


def _own_heads(config: dict[str, Any], kinds: list[str]) -> list[dict[str, Any]]:
    """Each layer's settings of its heads."""
    sliding_heads = {"head_dim": config["head_dim"]}
    per_layer = config.get("per_layer_config")
    if per_layer is None:
        full_heads = {"head_dim": config.get("global_head_dim", 512)}
        if config["attention_k_eq_v"]:
            full_heads["num_key_value_heads"] = config.get("num_global_key_value_heads")
        return [sliding_heads if kind == SLIDING else full_heads for kind in kinds]

    if not isinstance(per_layer, dict) or not all(str(key).isdigit() and isinstance(value, dict) for key, value in per_layer.items()):
        raise config_error("per_layer_config is not a table by layer.")
    by_layer = {int(key): value for key, value in per_layer.items()}
    for value in by_layer.values():
        for key in value.keys() - {"head_dim", "num_key_value_heads"}:
            refuse_unless(value, key, None)
    return [sliding_heads | by_layer.get(layer, {}) for layer in range(len(kinds))]


def metadata(config: dict[str, Any]) -> dict[str, Value]:
    """Hyper-parameters of both types of layers (src/models/gemma4.cpp)."""
    for key in ("attention_bias", "enable_moe_block"):
        refuse_unless(config, key, False)
    if config.get("use_bidirectional_attention") == "all":
        refuse_unless(config, "use_bidirectional_attention", None)

    layers = _layers(config)
    rope = ropes(config, ROPES)
    refuse_unless(rope[FULL], "rope_type", "proportional")
    refuse_unless(rope[FULL], "factor", 1, default=1)
    refuse_unless(rope[SLIDING], "rope_type", "default")
    refuse_unless(rope[SLIDING], "partial_rotary_factor", 1, default=1)

    full = layers[-1].head
    sliding = next((layer.head for layer in layers if layer.sliding), None)
    if sliding is None:
        raise ConversionError(
            "layer_types without sliding_attention is not supported",
            "llama.cpp's gemma4 has both types of layers.",
            "Choose another base model.",
        )

    per_layer = config["hidden_size_per_layer_input"] or 0
    if per_layer:
        refuse_unless(config, "vocab_size_per_layer_input", integer(config, "vocab_size"))

    keys = {
        "rope.freq_base": f32(positive_number(rope[FULL], "rope_theta")),
        "rope.freq_base_swa": f32(positive_number(rope[SLIDING], "rope_theta")),
        "rope.dimension_count": u32(full.size),
        "rope.dimension_count_swa": u32(sliding.size),
        "attention.key_length": u32(full.size),
        "attention.value_length": u32(full.size),
        "attention.key_length_swa": u32(sliding.size),
        "attention.value_length_swa": u32(sliding.size),
        "attention.sliding_window": u32(integer(config, "sliding_window")),
        "attention.sliding_window_pattern": booleans(layer.sliding for layer in layers),
        "attention.shared_kv_layers": u32(sum(layer.reuses for layer in layers)),
        "embedding_length_per_layer_input": u32(per_layer),
    }

    # llama.cpp takes a list only where layers differ; writing one always would change the file's bytes.
    if config.get("final_logit_softcapping") is not None:
        keys["final_logit_softcapping"] = f32(positive_number(config, "final_logit_softcapping"))
    if full.kv != sliding.kv:
        keys["attention.head_count_kv"] = i32s(layer.head.kv for layer in layers)
    if config["use_double_wide_mlp"]:
        keys["feed_forward_length"] = i32s(layer.inner for layer in layers)

    shared = decoder_metadata(config | {"num_experts": None}, GGUF_NAME, activation=ACTIVATION)
    return shared | {f"{GGUF_NAME}.{key}": value for key, value in keys.items()}


def configuration(file: GgufModel) -> dict[str, Any]:
    """Hyper-parameters from a file. Its rotary factors show how much is rotated, its tensors whether values have matrices."""
    config = decoder_configuration(file, activation=ACTIVATION[0])
    count = config["num_hidden_layers"]
    kinds = [SLIDING if windowed else FULL for windowed in file.per_layer("attention.sliding_window_pattern", count)]
    shared = file.integer("attention.shared_kv_layers", 0, minimum=0)
    size = file.integer("attention.key_length")

    # llama.cpp writes one number where all layers agree, a list where they differ.
    by_layer = isinstance(file.get("attention.head_count_kv"), np.ndarray)
    kv = file.per_layer("attention.head_count_kv", count) if by_layer else [config["num_key_value_heads"]] * count
    wide = isinstance(file.get("feed_forward_length"), np.ndarray)
    sliding_kv = next((number for number, kind in zip(kv, kinds, strict=True) if kind == SLIDING), kv[0])

    full_layers = [layer for layer, kind in enumerate(kinds) if kind == FULL]
    own_heads = {str(layer): {"head_dim": size, "num_key_value_heads": kv[layer]} for layer in full_layers}
    keys_are_values = any(layer < count - shared and not file.has(f"blk.{layer}.attn_v.weight") for layer in full_layers)
    factors = file.tensor("rope_freqs.weight")
    return (
        config
        | capped(file)
        | {
            "num_key_value_heads": sliding_kv,
            "intermediate_size": file.per_layer("feed_forward_length", count)[0] if wide else config["intermediate_size"],
            "use_double_wide_mlp": wide,
            "head_dim": file.integer("attention.key_length_swa"),
            "layer_types": kinds,
            "num_kv_shared_layers": shared,
            "sliding_window": file.integer("attention.sliding_window"),
            "hidden_size_per_layer_input": file.integer("embedding_length_per_layer_input", 0, minimum=0),
            "vocab_size_per_layer_input": config["vocab_size"],
            "attention_k_eq_v": keys_are_values,
            "per_layer_config": own_heads,
            "rope_parameters": {
                FULL: {
                    "rope_type": "proportional",
                    "rope_theta": file.number("rope.freq_base"),
                    "partial_rotary_factor": float(np.count_nonzero(factors == 1)) / len(factors),
                },
                SLIDING: {"rope_type": "default", "rope_theta": file.number("rope.freq_base_swa")},
            },
        }
    )


def _rope_factors(config: dict[str, Any], size: int) -> np.ndarray:
    """What frequencies are divided by in layers that attend to everything, float32 [size / 2]: only the first ones rotate."""
    rotated = int(positive_number(ropes(config, ROPES)[FULL], "partial_rotary_factor") * size // 2)
    return np.array([1.0] * rotated + [UNROTATED] * (size // 2 - rotated), np.float32)


def tensors(config: dict[str, Any], tied: bool) -> list[TensorPlan]:
    """Every tensor, in llama.cpp's order."""
    layers = _layers(config)
    plans = TensorPlans(GGUF_NAME, layer_count(config))
    hidden, _ = plans.start(config)
    plans.add_computed("rope_freqs.weight", _rope_factors(config, layers[-1].head.size))

    per_layer = config["hidden_size_per_layer_input"] or 0
    if per_layer:
        plans.add("model.embed_tokens_per_layer.weight", integer(config, "vocab_size"), len(layers) * per_layer)
        plans.linear("model.per_layer_model_projection", len(layers) * per_layer, hidden)
        plans.add("model.per_layer_projection_norm.weight", per_layer)

    for index, layer in enumerate(layers):
        prefix = f"model.layers.{index}"
        plans.add(f"{prefix}.input_layernorm.weight", hidden)
        _attention(plans, f"{prefix}.self_attn", hidden, layer, without_values=bool(config["attention_k_eq_v"]) and not layer.sliding)
        plans.add(f"{prefix}.post_attention_layernorm.weight", hidden)
        plans.add(f"{prefix}.pre_feedforward_layernorm.weight", hidden)
        plans.gated_mlp(f"{prefix}.mlp", hidden, layer.inner)
        plans.add(f"{prefix}.post_feedforward_layernorm.weight", hidden)
        plans.add(f"{prefix}.layer_scalar", 1, known_as=f"{prefix}.layer_scalar.weight")
        if per_layer:
            plans.linear(f"{prefix}.per_layer_input_gate", per_layer, hidden)
            plans.linear(f"{prefix}.per_layer_projection", hidden, per_layer)
            plans.add(f"{prefix}.post_per_layer_input_norm.weight", hidden)

    plans.end(config, tied)
    return plans


def _attention(plans: TensorPlans, prefix: str, hidden: int, layer: Layer, without_values: bool) -> None:
    head = layer.head
    plans.linear(f"{prefix}.q_proj", head.query * head.size, hidden)
    plans.add(f"{prefix}.q_norm.weight", head.size)
    if not layer.reuses:
        plans.linear(f"{prefix}.k_proj", head.kv * head.size, hidden)
        plans.add(f"{prefix}.k_norm.weight", head.size)
        if not without_values:
            plans.linear(f"{prefix}.v_proj", head.kv * head.size, hidden)
    plans.linear(f"{prefix}.o_proj", hidden, head.query * head.size)
