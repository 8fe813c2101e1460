"""Small random models of real architectures, with every kind of layer, and weights large enough that a small mistake shows."""

import shutil
from pathlib import Path
from typing import Any, NamedTuple

from converters.archs import architecture
from tests.fixtures.real import tokenizer_folder

LLAMA_3 = {
    "rope_type": "llama3",
    "rope_theta": 500000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 1024,
}
YARN = {
    "rope_type": "yarn",
    "rope_theta": 1000000.0,
    "factor": 4.0,
    "original_max_position_embeddings": 1024,
    "beta_fast": 32.0,
    "beta_slow": 1.0,
}
LONG = {
    "rope_type": "longrope",
    "rope_theta": 10000.0,
    "original_max_position_embeddings": 1024,
    "short_factor": [1 + 0.02 * i for i in range(16)],
    "long_factor": [1.5 + 0.1 * i for i in range(16)],
}


def plain(theta: float, **more: Any) -> dict[str, Any]:
    """Rotary embeddings without scaling."""
    return {"rope_type": "default", "rope_theta": theta, **more}


class Small(NamedTuple):
    """A configuration: the architecture's model_type, the tokenizer (tests/fixtures/real.py), what differs from the architecture's TINY.

    A change to None leaves the architecture's default, for what llama.cpp's own converter takes for granted.
    """

    kind: str
    tokenizer: str
    changes: dict[str, Any]


SMALL = {
    "llama": Small("llama", "llama-bpe", {"attention_bias": False, "tie_word_embeddings": True, "rope_parameters": plain(10000.0)}),
    "llama-bias": Small("llama", "llama2", {"rope_parameters": plain(10000.0)}),
    "llama3-rope": Small(
        "llama", "llama-bpe", {"attention_bias": False, "max_position_embeddings": 8192, "rope_parameters": LLAMA_3, "head_dim": 32}
    ),
    "mistral": Small("mistral", "llama2", {}),
    "ministral3": Small("ministral3", "llama-bpe", {}),
    "qwen2": Small("qwen2", "qwen2", {"rope_parameters": plain(1000000.0)}),
    "qwen2-yarn": Small("qwen2", "qwen2", {"rope_parameters": YARN, "max_position_embeddings": 4096}),
    "qwen3": Small("qwen3", "qwen2", {}),
    "qwen3_5_text": Small("qwen3_5_text", "qwen2", {}),
    "gemma2": Small("gemma2", "llama2", {"rope_parameters": None}),
    "gemma3_text": Small("gemma3_text", "llama2", {"rope_parameters": None}),
    "gemma4_text": Small(
        "gemma4_text",
        "llama2",
        {"rope_parameters": None, "per_layer_config": None, "attention_k_eq_v": None, "use_double_wide_mlp": None, "global_head_dim": 48},
    ),
    "phi3": Small("phi3", "phi-3", {"rope_parameters": plain(10000.0), "original_max_position_embeddings": 512}),
    "phi3-longrope": Small(
        "phi3", "phi-3", {"rope_parameters": LONG, "original_max_position_embeddings": 1024, "max_position_embeddings": 4096}
    ),
    "phi4-mini": Small(
        "phi3",
        "gpt-2",
        {
            "rope_parameters": plain(10000.0, partial_rotary_factor=0.75),
            "original_max_position_embeddings": 512,
            "tie_word_embeddings": True,
        },
    ),
    "smollm3": Small("smollm3", "llama-bpe", {"no_rope_layer_interval": 4}),
    "olmo2": Small("olmo2", "llama-bpe", {}),
    "granite": Small("granite", "qwen2", {}),
    "lfm2": Small("lfm2", "qwen2", {}),
    "gpt2": Small("gpt2", "gpt-2", {"n_ctx": 256, "n_inner": None}),
}


VISION: dict[str, Any] = {"hidden_size": 32, "intermediate_size": 48}
VISION_LAYERS: dict[str, Any] = VISION | {"num_hidden_layers": 2, "num_attention_heads": 2}
WRAPPERS: dict[str, tuple[str, dict[str, Any]]] = {
    "gemma3": ("gemma3_text", VISION_LAYERS | {"image_size": 28, "patch_size": 14}),
    "gemma4": ("gemma4_text", VISION_LAYERS | {"num_key_value_heads": 2, "head_dim": 16}),
    "mistral3": ("ministral3", VISION_LAYERS | {"head_dim": 16, "image_size": 28, "patch_size": 14}),
    "qwen3_5": ("qwen3_5_text", VISION | {"depth": 2, "num_heads": 2, "out_hidden_size": 64, "num_position_embeddings": 16}),
    "lfm2_vl": ("lfm2", VISION_LAYERS | {"num_patches": 16}),
}
"""Models around a text part, by model_type: its type (an entry of SMALL), and the configuration of a small vision tower."""
IMAGE_TOKENS = (
    *("image_token_id", "image_token_index", "video_token_id", "vision_start_token_id", "vision_end_token_id", "boi_token_index"),
    *("eoi_token_index", "boi_token_id", "eoi_token_id", "audio_token_id", "boa_token_id", "eoa_token_index"),
)
"""Settings of tokens that stand for an image or a sound."""


def make_small_wrapper(kind: str, folder: Path) -> Path:
    """Write a BF16 vision-language model of WRAPPERS, its text part that of SMALL, with its real tokenizer."""
    return make_small(WRAPPERS[kind][0], folder, kind)


def make_small(name: str, folder: Path, wrapper: str | None = None) -> Path:
    """Write a BF16 model of SMALL with its real tokenizer. wrapper: make it the text part of a vision-language model of this type."""
    from transformers import AutoTokenizer

    small = SMALL[name]
    source = tokenizer_folder(small.tokenizer)
    tokenizer = AutoTokenizer.from_pretrained(source)
    special = {f"{mark}_token_id": getattr(tokenizer, f"{mark}_token_id") for mark in ("bos", "eos", "pad")}
    config: dict[str, Any] = architecture({"model_type": small.kind}).TINY | small.changes | special | {"vocab_size": len(tokenizer)}
    if small.kind == "gemma4_text":
        config["vocab_size_per_layer_input"] = len(tokenizer)

    config = {key: value for key, value in config.items() if key not in small.changes or value is not None}
    random_model(wrapped(wrapper, config) if wrapper else config, folder, "bfloat16")
    for file in ("tokenizer.json", "tokenizer_config.json", "tokenizer.model", "chat_template.jinja"):
        if (source / file).is_file():
            shutil.copyfile(source / file, folder / file)
    return folder


def wrapped(kind: str, text: dict[str, Any]) -> dict[str, Any]:
    """The configuration of a small vision-language model around a text model's; its last token stands for images."""
    tokens = dict.fromkeys(IMAGE_TOKENS, text["vocab_size"] - 1)
    tied = {"tie_word_embeddings": text["tie_word_embeddings"]}
    return {"model_type": kind, "text_config": text, "vision_config": WRAPPERS[kind][1]} | tied | tokens


def random_model(config: dict[str, Any], folder: Path, dtype: str, shard: str = "5GB") -> None:
    """Write a model of a Hugging Face configuration (a dict), without a tokenizer: predictions are peaked, norms and biases act."""
    import torch
    from transformers import CONFIG_MAPPING, AutoModelForCausalLM, AutoModelForImageTextToText

    torch.set_num_threads(1)
    torch.manual_seed(0)
    fields = {name: value for name, value in config.items() if name != "model_type"}
    kind = AutoModelForImageTextToText if "text_config" in config else AutoModelForCausalLM
    model = kind.from_config(CONFIG_MAPPING[config["model_type"]](**fields), dtype=getattr(torch, dtype))
    for weight in model.parameters():
        weight.data = weight.data * 4 if weight.dim() > 1 else weight.data + 0.1 * torch.randn_like(weight)
    model.save_pretrained(folder, max_shard_size=shard)
