"""Rotary position embeddings: what a configuration says about them, in GGUF's terms."""

import math
from typing import Any

import numpy as np

from converters.errors import ConversionError
from converters.gguf_file import Value, f32, text, u32


def rope_settings(config: dict[str, Any]) -> dict[str, Any]:
    """One table from either form of configuration: transformers 5 `rope_parameters`, or older `rope_theta` + `rope_scaling`."""
    settings: dict[str, Any] = {}
    for key in ("rope_scaling", "rope_parameters"):
        value = config.get(key)
        if value is not None and not isinstance(value, dict):
            raise ConversionError("config.json cannot be read", f"{key} is not a table.", "Get the file again.")
        settings |= value or {}
    settings.setdefault("rope_theta", config["rope_theta"] if config.get("rope_theta") is not None else 10000.0)
    settings.setdefault("rope_type", settings.get("type", "default"))
    if settings["rope_type"] in ("llama3", "yarn", "longrope") and config.get("original_max_position_embeddings") is not None:
        settings.setdefault("original_max_position_embeddings", config["original_max_position_embeddings"])
    if config.get("partial_rotary_factor") is not None:
        settings.setdefault("partial_rotary_factor", config["partial_rotary_factor"])
    return settings


def number(settings: dict[str, Any], key: str, default: float | None = None) -> float:
    """A finite positive number from the table, or a ConversionError that names the key."""
    value = settings.get(key)
    if value is None:
        value = default
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value <= 0:
        raise ConversionError("config.json does not make sense", f"The setting {key} is {value!r}.", "Get the file again.")
    return float(value)


def rope_metadata(settings: dict[str, Any], arch: str, supported: tuple[str, ...], partial: bool = False) -> dict[str, Value]:
    """GGUF keys for the base frequency and the kinds of scaling that are plain keys (llama3 is a tensor: see `llama3_factors`).

    `supported`: the kinds this architecture takes besides "default"; any other is refused by name. `partial`: whether it may rotate only
    a part of each head.
    """
    kind = settings["rope_type"]
    if not partial and settings.get("partial_rotary_factor") not in (None, 1):
        raise ConversionError(f"Rope setting partial_rotary_factor = {settings['partial_rotary_factor']!r} is not supported",
                              "llama.cpp rotates whole heads in this architecture.", "Use another base model.")
    keys = {f"{arch}.rope.freq_base": f32(number(settings, "rope_theta"))}
    if kind == "default":
        return keys
    if kind not in supported:
        raise ConversionError(f"Rope scaling '{kind}' is not supported",
                              f"This architecture is converted with: default, {', '.join(supported)}.",
                              "Use a model without it.")
    if kind == "linear":
        keys |= {f"{arch}.rope.scaling.type": text("linear"), f"{arch}.rope.scaling.factor": f32(number(settings, "factor"))}
    if kind == "yarn":
        keys |= _yarn(settings, arch)
    return keys


def _yarn(settings: dict[str, Any], arch: str) -> dict[str, Value]:
    """YaRN (arXiv 2309.00071) as far as llama.cpp reads it from a file: src/llama-context.cpp knows no other betas than 32 and 1, no
    mscale for most architectures, and multiplies the attention factor 1 + 0.1 ln(factor), which it computes itself, by the key's value.
    """
    for key, only in (("mscale", None), ("mscale_all_dim", None), ("truncate", True), ("beta_fast", 32), ("beta_slow", 1)):
        if settings.get(key) not in (None, only):
            raise ConversionError(f"Rope setting {key} = {settings[key]!r} is not supported",
                                  "llama.cpp cannot be told of it in this architecture's file.", "Use a model without it.")
    factor = number(settings, "factor")
    prefix = f"{arch}.rope.scaling"
    keys = {f"{prefix}.type": text("yarn"), f"{prefix}.factor": f32(factor),
            f"{prefix}.original_context_length": u32(int(number(settings, "original_max_position_embeddings")))}
    keys |= {f"{prefix}.yarn_{key}": f32(number(settings, key)) for key in ("beta_fast", "beta_slow") if settings.get(key) is not None}
    if settings.get("attention_factor") is not None:
        keys[f"{prefix}.attn_factor"] = f32(number(settings, "attention_factor") / (1 + 0.1 * math.log(max(factor, 1.0))))
    return keys


def llama3_factors(settings: dict[str, Any], head_dim: int) -> np.ndarray:
    """What each rotary frequency is divided by under Llama 3's scaling, float32 [head_dim / 2] (GGUF tensor `rope_freqs.weight`).

    Source of the formula: transformers/modeling_rope_utils.py, `_compute_llama3_parameters`. Computed in float32, dividing by way of
    reciprocals as torch does, so that the bits are those of llama.cpp's own converter.
    """
    factor, low, high = (number(settings, key) for key in ("factor", "low_freq_factor", "high_freq_factor"))
    context = number(settings, "original_max_position_embeddings")
    if high <= low:
        raise ConversionError("config.json does not make sense", f"high_freq_factor {high} is not above low_freq_factor {low}.",
                              "Get the file again.")
    one, exponents = np.float32(1), np.arange(0, head_dim, 2, dtype=np.float32) / np.float32(head_dim)
    frequencies = one / np.power(number(settings, "rope_theta"), exponents.astype(np.float64)).astype(np.float32)
    wavelengths = one / frequencies * np.float32(2 * math.pi)
    share = (one / wavelengths * np.float32(context) - np.float32(low)) / np.float32(high - low)
    between = one / ((one - share) / np.float32(factor) + share)
    factors: np.ndarray = np.where(wavelengths < context / high, one, np.where(wavelengths > context / low, np.float32(factor), between))
    return factors
