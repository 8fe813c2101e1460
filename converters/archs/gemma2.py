"""Gemma 2: norms around attention and MLP, capped logits, and windows in every other layer."""

from collections.abc import Callable
from typing import Any

from converters.archs import TensorPlan, integer, refuse_unless, sizes
from converters.decoder import PLUS_ONE, TensorPlans, decoder_configuration, decoder_metadata, heads, layer_count
from converters.errors import ConversionError
from converters.gguf_file import Value, f32, u32
from converters.gguf_model import GgufModel
from converters.rope import positive_number, rope_configuration, rope_metadata, rope_settings

GGUF_NAME = "gemma2"
CLASS = "Gemma2ForCausalLM"
ACTIVATION = ("hidden_activation", "gelu_pytorch_tanh")
SLIDING, FULL = "sliding_attention", "full_attention"
DEFAULTS = sizes(256000, 2304, 9216, 26, 8) | {
    "num_key_value_heads": 4,
    "head_dim": 256,
    "max_position_embeddings": 8192,
    "rms_norm_eps": 1e-6,
    "attention_bias": False,
    "query_pre_attn_scalar": 256,
    "sliding_window": 4096,
    "attn_logit_softcapping": 50.0,
    "final_logit_softcapping": 30.0,
    "tie_word_embeddings": True,
}
ALWAYS_TIED = True
TINY = {
    "model_type": "gemma2",
    "vocab_size": 96,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 24,
    "query_pre_attn_scalar": 24,
    "max_position_embeddings": 512,
    "sliding_window": 16,
    "rms_norm_eps": 1e-5,
    "tie_word_embeddings": True,
    "final_logit_softcapping": 20.0,
    "attn_logit_softcapping": 40.0,
    "rope_parameters": {"rope_type": "default", "rope_theta": 20000.0},
}


def check_shape(config: dict[str, Any], period: int, largest: int) -> None:
    """Refuse settings of Gemma 2 and 3 that no GGUF key can express: another query scale, another pattern of windows, two-way attention.

    period: layers at its multiples attend to everything, the others to a window. largest: the number of layers at which llama.cpp scales
    by the share of the hidden size (src/models/gemma2.cpp and gemma3.cpp).
    """
    refuse_unless(config, "attention_bias", False)
    if config.get("use_bidirectional_attention"):
        refuse_unless(config, "use_bidirectional_attention", None)

    head = heads(config)
    layers = layer_count(config)
    refuse_unless(config, "query_pre_attn_scalar", integer(config, "hidden_size") // head.query if layers == largest else head.size)

    # A config.json may leave layer_types out, then transformers assumes this pattern.
    expected = [SLIDING if (layer + 1) % period else FULL for layer in range(layers)]
    if (config.get("layer_types") or expected) != expected:
        raise ConversionError(
            "layer_types is not supported",
            f"llama.cpp computes this architecture with every layer but the {period}th attending to a window.",
            "Choose another base model.",
        )


def metadata(config: dict[str, Any]) -> dict[str, Value]:
    """Hyper-parameters, caps and the window."""
    check_shape(config, 2, largest=46)
    keys = {
        "attn_logit_softcapping": f32(positive_number(config, "attn_logit_softcapping")),
        "final_logit_softcapping": f32(positive_number(config, "final_logit_softcapping")),
        "attention.sliding_window": u32(integer(config, "sliding_window")),
    }

    # llama.cpp's own converter leaves the usual rope out, so that both write the same bytes.
    rope = rope_settings(config)
    usual_rope = positive_number(rope, "rope_theta") == 10000 and rope["rope_type"] == "default"
    rope_keys = {} if usual_rope else rope_metadata(rope, GGUF_NAME, ())
    return (
        decoder_metadata(config, GGUF_NAME, activation=ACTIVATION)
        | rope_keys
        | {f"{GGUF_NAME}.{key}": value for key, value in keys.items()}
    )


def windowed_configuration(file: GgufModel, largest: int) -> dict[str, Any]:
    """What `check_shape` and both Gemmas' metadata say of a model, read back."""
    config = decoder_configuration(file, activation=ACTIVATION[0])
    query = config["num_attention_heads"]
    hidden = config["hidden_size"]
    config["head_dim"] = file.integer("attention.key_length", hidden // query)
    config["query_pre_attn_scalar"] = hidden // query if config["num_hidden_layers"] == largest else config["head_dim"]
    return config | {"sliding_window": file.integer("attention.sliding_window")} | capped(file)


def capped(file: GgufModel) -> dict[str, float | None]:
    """The cap of the logits, None where the file has none."""
    key = "final_logit_softcapping"
    return {key: file.number(key) if file.get(key) is not None else None}


def configuration(file: GgufModel) -> dict[str, Any]:
    """Hyper-parameters from a file."""
    return windowed_configuration(file, largest=46) | {
        "attn_logit_softcapping": file.number("attn_logit_softcapping"),
        "rope_parameters": rope_configuration(file),
    }


def tensors(config: dict[str, Any], tied: bool) -> list[TensorPlan]:
    """Every tensor, in llama.cpp's order."""
    return normed_tensors(config, tied, GGUF_NAME, lambda _plans, _prefix: None)


def normed_tensors(config: dict[str, Any], tied: bool, arch: str, add_attention: Callable[[TensorPlans, str], None]) -> list[TensorPlan]:
    """The tensors of Gemma 2 and 3. add_attention: adds what else an attention, by its prefix, has."""
    head = heads(config)
    plans = TensorPlans(arch, layer_count(config))
    hidden, inner = plans.start(config)

    for layer in range(plans.layers):
        prefix = f"model.layers.{layer}"
        plans.add(f"{prefix}.input_layernorm.weight", hidden, build=PLUS_ONE)
        plans.attention(f"{prefix}.self_attn", hidden, head)
        add_attention(plans, f"{prefix}.self_attn")
        plans.add(f"{prefix}.post_attention_layernorm.weight", hidden, build=PLUS_ONE)
        plans.add(f"{prefix}.pre_feedforward_layernorm.weight", hidden, build=PLUS_ONE)
        plans.gated_mlp(f"{prefix}.mlp", hidden, inner)
        plans.add(f"{prefix}.post_feedforward_layernorm.weight", hidden, build=PLUS_ONE)

    plans.end(config, tied, PLUS_ONE)
    return plans
