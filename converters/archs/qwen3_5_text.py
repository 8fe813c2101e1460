"""Qwen3.5 (text, dense): three layers of linear attention (gated delta nets) to every one of gated attention."""

from typing import Any, NamedTuple

import numpy as np

from converters.archs import Build, TensorPlan, config_error, integer, refuse_unless, sizes
from converters.decoder import PLUS_ONE, TensorPlans, decoder_configuration, decoder_metadata, heads, layer_count
from converters.gguf_file import Value, booleans, i32s, u32
from converters.gguf_model import GgufModel
from converters.rope import positive_number, rope_configuration, rope_metadata, rope_settings

GGUF_NAME = "qwen35"
CLASS = "Qwen3_5ForCausalLM"
LINEAR, FULL = "linear_attention", "full_attention"
DEFAULTS = sizes(248320, 4096, 12288, 32, 16) | {
    "num_key_value_heads": 4,
    "head_dim": 256,
    "max_position_embeddings": 32768,
    "rms_norm_eps": 1e-6,
    "attention_bias": False,
    "linear_conv_kernel_dim": 4,
    "linear_key_head_dim": 128,
    "linear_value_head_dim": 128,
    "linear_num_key_heads": 16,
    "linear_num_value_heads": 32,
    "full_attention_interval": 4,
    "partial_rotary_factor": 0.25,
    "tie_word_embeddings": False,
}
IGNORED_TENSORS = r"(model\.)?mtp\..*"
"""The layer that predicts a second token."""
SECTIONS = (11, 11, 10)
"""How rotary positions of images are divided; for text all parts are equal (modeling_qwen3_5.py, `Qwen3_5TextRotaryEmbedding`)."""
TINY = {
    "model_type": "qwen3_5_text",
    "vocab_size": 96,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 32,
    "max_position_embeddings": 512,
    "rms_norm_eps": 1e-6,
    "layer_types": [LINEAR, LINEAR, LINEAR, FULL],
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 6,
    "linear_key_head_dim": 32,
    "linear_value_head_dim": 32,
    "tie_word_embeddings": True,
    "rope_parameters": {"rope_type": "default", "rope_theta": 20000.0, "partial_rotary_factor": 0.25},
}


class Linear(NamedTuple):
    """The heads of linear attention: keys (and queries), values, the size of each, and the length of the convolution before."""

    keys: int
    values: int
    size: int
    kernel: int


def _linear(config: dict[str, Any]) -> Linear:
    size = integer(config, "linear_key_head_dim")
    refuse_unless(config, "linear_value_head_dim", size)
    keys = integer(config, "linear_num_key_heads")
    values = integer(config, "linear_num_value_heads")
    if values % keys:
        raise config_error(f"{keys} key heads and {values} value heads of linear attention do not divide evenly.")
    return Linear(keys, values, size, integer(config, "linear_conv_kernel_dim"))


def _kinds(config: dict[str, Any]) -> list[str]:
    count = layer_count(config)
    interval = integer(config, "full_attention_interval")
    kinds = config.get("layer_types") or [LINEAR if (layer + 1) % interval else FULL for layer in range(count)]
    if len(kinds) != count or set(kinds) - {LINEAR, FULL}:
        raise config_error(f"layer_types is not a list of {count} of {LINEAR} and {FULL}.")
    return list(kinds)


def metadata(config: dict[str, Any]) -> dict[str, Value]:
    """Hyper-parameters (src/models/qwen35.cpp).

    llama.cpp normalizes the queries and keys of linear attention with the epsilon of all norms, the model always with 1e-6.
    """
    refuse_unless(config, "attention_bias", False)
    refuse_unless(config, "rms_norm_eps", 1e-6)

    linear = _linear(config)
    rope = rope_settings(config)
    sections = rope.get("mrope_section") or list(SECTIONS)
    if not isinstance(sections, list) or len(sections) > 4 or not all(type(section) is int and section >= 0 for section in sections):
        raise config_error(f"The rope setting mrope_section is {sections!r}.")

    keys = {
        "ssm.conv_kernel": u32(linear.kernel),
        "ssm.state_size": u32(linear.size),
        "ssm.group_count": u32(linear.keys),
        "ssm.time_step_rank": u32(linear.values),
        "ssm.inner_size": u32(linear.values * linear.size),
        "attention.recurrent_layers": booleans(kind == LINEAR for kind in _kinds(config)),
        "full_attention_interval": u32(integer(config, "full_attention_interval")),
        "rope.dimension_count": u32(int(heads(config).size * positive_number(rope, "partial_rotary_factor"))),
        "rope.dimension_sections": i32s([*sections, 0, 0, 0, 0][:4]),
    }

    shared = decoder_metadata(config, GGUF_NAME) | rope_metadata(rope, GGUF_NAME, ("linear", "yarn"), partial=True)
    return shared | {f"{GGUF_NAME}.{key}": value for key, value in keys.items()}


def configuration(file: GgufModel) -> dict[str, Any]:
    """Hyper-parameters from a file."""
    config = decoder_configuration(file)
    size = file.integer("ssm.state_size")
    head = file.integer("attention.key_length")
    layers = config["num_hidden_layers"]

    # Files from before the list of layers say only how often a layer of full attention comes.
    interval = file.integer("full_attention_interval", 4)
    linear = [(layer + 1) % interval for layer in range(layers)]
    if file.get("attention.recurrent_layers") is not None:
        linear = file.per_layer("attention.recurrent_layers", layers)

    rope = rope_configuration(file) | {"partial_rotary_factor": file.integer("rope.dimension_count") / head}
    if file.get("rope.dimension_sections") is not None:
        rope["mrope_section"] = file.per_layer("rope.dimension_sections", 4)[:3]
    return config | {
        "linear_conv_kernel_dim": file.integer("ssm.conv_kernel"),
        "linear_key_head_dim": size,
        "linear_value_head_dim": size,
        "linear_num_key_heads": file.integer("ssm.group_count"),
        "linear_num_value_heads": file.integer("ssm.time_step_rank"),
        "full_attention_interval": interval,
        "layer_types": [LINEAR if is_linear else FULL for is_linear in linear],
        "partial_rotary_factor": rope["partial_rotary_factor"],
        "rope_parameters": rope,
    }


def _deal_values(linear: Linear, size: int, rows: np.ndarray) -> np.ndarray:
    """Reorder the rows [values * size, …] of all value heads.

    The model has the value heads of one key head together; llama.cpp repeats the key heads as a whole (ggml_repeat), so the first value
    heads of all key heads come first, then the second ones.
    """
    grouped = rows.reshape(linear.keys, linear.values // linear.keys, size, *rows.shape[1:])
    return np.ascontiguousarray(grouped.swapaxes(0, 1)).reshape(rows.shape)


def _gather_values(linear: Linear, size: int, rows: np.ndarray) -> np.ndarray:
    """The value heads of each key head together again."""
    dealt = rows.reshape(linear.values // linear.keys, linear.keys, size, *rows.shape[1:])
    return np.ascontiguousarray(dealt.swapaxes(0, 1)).reshape(rows.shape)


def _deal_last(linear: Linear, rows: np.ndarray) -> np.ndarray:
    """Queries and keys as they are, then the values reordered."""
    queries_and_keys = 2 * linear.keys * linear.size
    return np.concatenate([rows[:queries_and_keys], _deal_values(linear, linear.size, rows[queries_and_keys:])])


def _gather_last(linear: Linear, rows: np.ndarray) -> np.ndarray:
    queries_and_keys = 2 * linear.keys * linear.size
    return np.concatenate([rows[:queries_and_keys], _gather_values(linear, linear.size, rows[queries_and_keys:])])


def _deal_columns(linear: Linear, weight: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(_deal_values(linear, linear.size, weight.T).T)


def _gather_columns(linear: Linear, weight: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(_gather_values(linear, linear.size, weight.T).T)


def _decay(linear: Linear, logarithms: np.ndarray) -> np.ndarray:
    """The rate at which a head forgets: minus the exponential of what the model stores."""
    return -np.exp(_deal_values(linear, 1, logarithms).astype(np.float64)).astype(np.float32)


def _logarithms(linear: Linear, rates: np.ndarray) -> np.ndarray:
    """Of each rate the float32 logarithm that gives it again, where one of the three nearest does."""
    with np.errstate(all="ignore"):
        nearest = np.log(-rates.astype(np.float64)).astype(np.float32)
    logarithms = nearest.copy()

    # Rounding to float32 may miss by one step; of those that give the rate again, the nearest is looked at last and wins.
    for candidate in (np.nextafter(nearest, np.float32(np.inf)), np.nextafter(nearest, np.float32(-np.inf)), nearest):
        logarithms = np.where(-np.exp(candidate.astype(np.float64)).astype(np.float32) == rates, candidate, logarithms)
    return _gather_values(linear, 1, logarithms)


def _kernel(linear: Linear, weight: np.ndarray) -> np.ndarray:
    return _deal_last(linear, weight.reshape(weight.shape[0], weight.shape[2]))


def _kernel_back(linear: Linear, weight: np.ndarray) -> np.ndarray:
    return _gather_last(linear, weight)[:, None, :]


# To bind: the linear attention's sizes, and for values alone the rows of one head.
DEALT_VALUES = Build(_deal_values, _gather_values, moves_rows=True)
DEALT_LAST = Build(_deal_last, _gather_last, moves_rows=True)
DEALT_COLUMNS = Build(_deal_columns, _gather_columns, within_rows=True)
DECAY = Build(_decay, _logarithms)
KERNEL = Build(_kernel, _kernel_back)


def tensors(config: dict[str, Any], tied: bool) -> list[TensorPlan]:
    """Every tensor, in llama.cpp's order."""
    head = heads(config)
    linear = _linear(config)
    plans = TensorPlans(GGUF_NAME, layer_count(config))
    hidden, inner = plans.start(config)

    for layer, kind in enumerate(_kinds(config)):
        prefix = f"model.layers.{layer}"
        plans.add(f"{prefix}.input_layernorm.weight", hidden, build=PLUS_ONE)
        if kind == LINEAR:
            _linear_attention(plans, f"{prefix}.linear_attn", hidden, linear)
        else:
            plans.linear(f"{prefix}.self_attn.q_proj", 2 * head.query * head.size, hidden)
            plans.linear(f"{prefix}.self_attn.k_proj", head.kv * head.size, hidden)
            plans.linear(f"{prefix}.self_attn.v_proj", head.kv * head.size, hidden)
            plans.linear(f"{prefix}.self_attn.o_proj", hidden, head.query * head.size)
            plans.add(f"{prefix}.self_attn.q_norm.weight", head.size, build=PLUS_ONE)
            plans.add(f"{prefix}.self_attn.k_norm.weight", head.size, build=PLUS_ONE)
        plans.add(f"{prefix}.post_attention_layernorm.weight", hidden, build=PLUS_ONE)
        plans.gated_mlp(f"{prefix}.mlp", hidden, inner)

    plans.end(config, tied, PLUS_ONE)
    return plans


def _linear_attention(plans: TensorPlans, prefix: str, hidden: int, linear: Linear) -> None:
    values = linear.values * linear.size
    projected = 2 * linear.keys * linear.size + values
    plans.linear(f"{prefix}.in_proj_qkv", projected, hidden, build=DEALT_LAST.bind(linear))
    plans.linear(f"{prefix}.in_proj_z", values, hidden, build=DEALT_VALUES.bind(linear, linear.size))
    plans.add(f"{prefix}.conv1d.weight", projected, linear.kernel, build=KERNEL.bind(linear), stored=(projected, 1, linear.kernel))
    plans.add(f"{prefix}.dt_bias", linear.values, build=DEALT_VALUES.bind(linear, 1), known_as=f"{prefix}.dt_proj.bias")
    plans.add(f"{prefix}.A_log", linear.values, build=DECAY.bind(linear))
    plans.linear(f"{prefix}.in_proj_b", linear.values, hidden, build=DEALT_VALUES.bind(linear, 1))
    plans.linear(f"{prefix}.in_proj_a", linear.values, hidden, build=DEALT_VALUES.bind(linear, 1))
    plans.add(f"{prefix}.norm.weight", linear.size)
    plans.linear(f"{prefix}.out_proj", hidden, values, build=DEALT_COLUMNS.bind(linear))
