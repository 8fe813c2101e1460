"""GPT-2: learned positions, norms with biases, and weights stored as [in, out]."""

from typing import Any

import numpy as np

from converters.archs import Build, TensorPlan, config_error, integer, refuse_unless
from converters.decoder import TensorPlans, layer_count
from converters.gguf_file import Value, f32, u32
from converters.gguf_model import GgufModel
from converters.rope import positive_number

GGUF_NAME = "gpt2"
CLASS = "GPT2LMHeadModel"
EMBEDDINGS = "transformer.wte.weight"
TRANSPOSED = ("c_attn.weight", "c_proj.weight", "c_fc.weight")
DEFAULTS = {
    "vocab_size": 50257,
    "n_positions": 1024,
    "n_embd": 768,
    "n_layer": 12,
    "n_head": 12,
    "layer_norm_epsilon": 1e-5,
    "tie_word_embeddings": True,
}
TINY = {
    "model_type": "gpt2",
    "vocab_size": 96,
    "n_positions": 256,
    "n_embd": 64,
    "n_layer": 2,
    "n_head": 4,
    "n_inner": 160,
    "layer_norm_epsilon": 1e-4,
    "bos_token_id": 0,
    "eos_token_id": 0,
    "tie_word_embeddings": True,
}


def _inner(config: dict[str, Any]) -> int:
    return integer(config, "n_inner", default=4 * integer(config, "n_embd"))


def metadata(config: dict[str, Any]) -> dict[str, Value]:
    """Hyper-parameters (src/models/gpt2.cpp)."""
    for key, only in (
        ("activation_function", "gelu_new"),
        ("scale_attn_weights", True),
        ("scale_attn_by_inverse_layer_idx", False),
        ("add_cross_attention", False),
        ("quantization_config", None),
    ):
        refuse_unless(config, key, only, default=only)

    hidden = integer(config, "n_embd")
    heads = integer(config, "n_head")
    if hidden % heads:
        raise config_error(f"{heads} heads and hidden size {hidden} do not divide evenly.")
    return {
        f"{GGUF_NAME}.block_count": u32(layer_count(config, "n_layer")),
        f"{GGUF_NAME}.context_length": u32(integer(config, "n_positions")),
        f"{GGUF_NAME}.embedding_length": u32(hidden),
        f"{GGUF_NAME}.feed_forward_length": u32(_inner(config)),
        f"{GGUF_NAME}.attention.head_count": u32(heads),
        f"{GGUF_NAME}.attention.layer_norm_epsilon": f32(positive_number(config, "layer_norm_epsilon")),
    }


def _turned(weight: np.ndarray) -> np.ndarray:
    """From the model's [in, out] to [out, in] (transformers/pytorch_utils.py, `Conv1D`)."""
    return np.ascontiguousarray(weight.T)


def _turned_back(weight: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(weight.T)


TURNED = Build(_turned, _turned_back)
"""A projection that the model stores as [in, out]."""


def configuration(file: GgufModel) -> dict[str, Any]:
    """Hyper-parameters from a file."""
    return {
        "vocab_size": file.shape("token_embd.weight")[0],
        "n_positions": file.integer("context_length"),
        "n_embd": file.integer("embedding_length"),
        "n_layer": file.integer("block_count"),
        "n_head": file.integer("attention.head_count"),
        "n_inner": file.integer("feed_forward_length"),
        "layer_norm_epsilon": file.number("attention.layer_norm_epsilon"),
        "tie_word_embeddings": file.tied,
    }


def tensors(config: dict[str, Any], tied: bool) -> list[TensorPlan]:
    """Every tensor, in llama.cpp's order."""
    plans = TensorPlans(GGUF_NAME, layer_count(config, "n_layer"))
    hidden = integer(config, "n_embd")
    inner = _inner(config)
    vocabulary = integer(config, "vocab_size")

    def norm(name: str) -> None:
        plans.add(f"{name}.weight", hidden)
        plans.add(f"{name}.bias", hidden)

    def projection(name: str, rows: int, columns: int) -> None:
        plans.add(f"{name}.weight", rows, columns, build=TURNED, stored=(columns, rows))
        plans.add(f"{name}.bias", rows)

    plans.add(EMBEDDINGS, vocabulary, hidden)
    plans.add("transformer.wpe.weight", integer(config, "n_positions"), hidden)

    for layer in range(plans.layers):
        prefix = f"transformer.h.{layer}"
        norm(f"{prefix}.ln_1")
        projection(f"{prefix}.attn.c_attn", 3 * hidden, hidden)
        projection(f"{prefix}.attn.c_proj", hidden, hidden)
        norm(f"{prefix}.ln_2")
        projection(f"{prefix}.mlp.c_fc", inner, hidden)
        projection(f"{prefix}.mlp.c_proj", hidden, inner)

    norm("transformer.ln_f")
    if not tied:
        plans.add("lm_head.weight", vocabulary, hidden)
    return plans
