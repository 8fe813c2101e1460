"""Rotary position embeddings: what a configuration says about them, in GGUF's terms."""

import math
from typing import Any

import numpy as np

from converters.errors import ConversionError
from converters.gguf_file import Value, f32, text, u32
from converters.gguf_model import GgufModel, shortest_float


def rope_settings(config: dict[str, Any]) -> dict[str, Any]:
    """One table from either form of configuration: transformers 5 `rope_parameters`, or older `rope_theta` + `rope_scaling`."""
    settings: dict[str, Any] = {}
    for key in ("rope_scaling", "rope_parameters"):
        value = config.get(key)
        if value is not None and not isinstance(value, dict):
            raise ConversionError("config.json cannot be read", f"{key} is not a table.", "Download the file again.")
        settings |= value or {}

    settings.setdefault("rope_theta", config["rope_theta"] if config.get("rope_theta") is not None else 10000.0)
    settings.setdefault("rope_type", settings.get("type", "default"))

    # Some files keep these beside the table; transformers moves them into it.
    if settings["rope_type"] in ("llama3", "yarn", "longrope") and config.get("original_max_position_embeddings") is not None:
        settings.setdefault("original_max_position_embeddings", config["original_max_position_embeddings"])
    if config.get("partial_rotary_factor") is not None:
        settings.setdefault("partial_rotary_factor", config["partial_rotary_factor"])
    return settings


def positive_number(settings: dict[str, Any], key: str, default: float | None = None) -> float:
    """A finite positive number from the table, or a ConversionError that names the key."""
    value = settings.get(key)
    if value is None:
        value = default
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value <= 0:
        raise ConversionError("config.json is not valid", f"The setting {key} is {value!r}.", "Download the file again.")
    return float(value)


def rope_metadata(settings: dict[str, Any], arch: str, supported: tuple[str, ...], partial: bool = False) -> dict[str, Value]:
    """GGUF keys for the base frequency and the kinds of scaling that are plain keys (llama3 is a tensor: see `llama3_factors`).

    `supported`: the kinds this architecture takes besides "default"; any other is refused by name. `partial`: whether it may rotate only
    a part of each head.
    """
    kind = settings["rope_type"]
    if not partial and settings.get("partial_rotary_factor") not in (None, 1):
        raise ConversionError(
            f"Rope setting partial_rotary_factor = {settings['partial_rotary_factor']!r} is not supported",
            "llama.cpp rotates whole heads in this architecture.",
            "Use another base model.",
        )

    keys = {f"{arch}.rope.freq_base": f32(positive_number(settings, "rope_theta"))}
    if kind == "default":
        return keys
    if kind not in supported:
        raise ConversionError(
            f"Rope scaling '{kind}' is not supported",
            f"This architecture is converted with: default, {', '.join(supported)}.",
            "Use a base model without it.",
        )

    if kind == "linear":
        keys |= {f"{arch}.rope.scaling.type": text("linear"), f"{arch}.rope.scaling.factor": f32(positive_number(settings, "factor"))}
    if kind == "yarn":
        keys |= _yarn(settings, arch)
    return keys


def _yarn(settings: dict[str, Any], arch: str) -> dict[str, Value]:
    """YaRN (arXiv 2309.00071) as far as llama.cpp reads it from a file: src/llama-context.cpp knows no other betas than 32 and 1, no
    mscale for most architectures, and multiplies the attention factor 1 + 0.1 ln(factor), which it computes itself, by the key's value.
    """
    for key, supported in (("mscale", None), ("mscale_all_dim", None), ("truncate", True), ("beta_fast", 32), ("beta_slow", 1)):
        if settings.get(key) not in (None, supported):
            raise ConversionError(
                f"Rope setting {key} = {settings[key]!r} is not supported",
                "llama.cpp has no setting for it in this architecture.",
                "Use a base model without it.",
            )

    factor = positive_number(settings, "factor")
    prefix = f"{arch}.rope.scaling"
    keys = {
        f"{prefix}.type": text("yarn"),
        f"{prefix}.factor": f32(factor),
        f"{prefix}.original_context_length": u32(int(positive_number(settings, "original_max_position_embeddings"))),
    }
    keys |= {
        f"{prefix}.yarn_{key}": f32(positive_number(settings, key)) for key in ("beta_fast", "beta_slow") if settings.get(key) is not None
    }

    # llama.cpp multiplies its own factor with this key, so only the rest goes into it.
    if settings.get("attention_factor") is not None:
        keys[f"{prefix}.attn_factor"] = f32(positive_number(settings, "attention_factor") / (1 + 0.1 * math.log(max(factor, 1.0))))
    return keys


def rope_configuration(file: GgufModel, default_theta: float = 10000.0) -> dict[str, Any]:
    """The settings that `rope_metadata` writes, read back. default_theta: llama.cpp's own where the file has none."""
    settings: dict[str, Any] = {"rope_type": "default", "rope_theta": file.number("rope.freq_base", default_theta)}
    kind = file.text("rope.scaling.type", "none")
    if kind in ("linear", "yarn"):
        settings |= {"rope_type": kind, "factor": file.number("rope.scaling.factor")}

    if kind == "yarn":
        settings["original_max_position_embeddings"] = file.integer("rope.scaling.original_context_length")
        for key in ("beta_fast", "beta_slow"):
            if file.get(f"rope.scaling.yarn_{key}") is not None:
                settings[key] = file.number(f"rope.scaling.yarn_{key}")
        if file.get("rope.scaling.attn_factor") is not None:
            scale = 1 + 0.1 * math.log(max(settings["factor"], 1.0))
            settings["attention_factor"] = file.number("rope.scaling.attn_factor") * scale

    if file.has("rope_freqs.weight"):
        settings |= {"rope_type": "llama3"} | llama3_settings(file, settings["rope_theta"])
    return settings


def llama3_settings(file: GgufModel, theta: float) -> dict[str, Any]:
    """Settings from which `llama3_factors` makes the file's tensor of factors again.

    The factors depend on the context divided by low_freq_factor and by high_freq_factor only, so low_freq_factor is 1, as in every known
    model. Between the two limits (1 - share) / factor + share, with share = (context / wavelength - 1) / (high - 1), is what a frequency
    is divided by, inverted: a straight line over 1 / wavelength, which two of them fix.
    """
    factors = file.tensor("rope_freqs.weight").astype(np.float64)
    if not 0 < len(factors) <= 4096 or not np.isfinite(factors).all() or factors.min() < 1:
        raise file.invalid("rope_freqs.weight is not a list of factors of at least 1.")

    size = 2 * len(factors)
    factor = float(factors.max())
    wavelengths = 2 * math.pi * theta ** (np.arange(0, size, 2) / size)
    between = (factors > 1) & (factors < factor)

    # Without two factors between the limits the line is not fixed: then the usual contexts are tried.
    guesses = [(4.0, float(2**power)) for power in range(4, 21)]
    if between.sum() >= 2:
        share = (1 / factors[between] - 1 / factor) / (1 - 1 / factor)
        inverses = 1 / wavelengths[between]
        slope = (share[0] - share[-1]) / max(inverses[0] - inverses[-1], 1e-300)
        start = share[0] - slope * inverses[0]
        if slope > 0 > start:
            high = shortest_float(round(1 - 1 / float(start), 3))
            guesses.insert(0, (high, float(round(float(slope) * (high - 1)))))

    # A guess counts only if it gives the file's own factors again.
    for high, context in guesses:
        settings = {
            "factor": shortest_float(factor),
            "low_freq_factor": 1.0,
            "high_freq_factor": high,
            "original_max_position_embeddings": int(context),
        }
        if context >= 1 and high > 1 and np.allclose(llama3_factors(settings | {"rope_theta": theta}, size), factors, rtol=1e-5, atol=0):
            return settings
    raise ConversionError(
        "The rotary factors are not recognized",
        "rope_freqs.weight does not come from Llama 3's scaling.",
        "Use another GGUF file, or the original model folder.",
    )


def llama3_factors(settings: dict[str, Any], head_dim: int) -> np.ndarray:
    """What each rotary frequency is divided by under Llama 3's scaling, float32 [head_dim / 2] (GGUF tensor `rope_freqs.weight`).

    Source of the formula: transformers/modeling_rope_utils.py, `_compute_llama3_parameters`. Computed in float32, dividing by way of
    reciprocals as torch does, so that the bits are those of llama.cpp's own converter.
    """
    factor, low, high = (positive_number(settings, key) for key in ("factor", "low_freq_factor", "high_freq_factor"))
    context = positive_number(settings, "original_max_position_embeddings")
    if high <= low:
        raise ConversionError(
            "config.json is not valid", f"high_freq_factor {high} is not above low_freq_factor {low}.", "Download the file again."
        )

    unit = np.float32(1)
    exponents = np.arange(0, head_dim, 2, dtype=np.float32) / np.float32(head_dim)
    frequencies = unit / np.power(positive_number(settings, "rope_theta"), exponents.astype(np.float64)).astype(np.float32)
    wavelengths = unit / frequencies * np.float32(2 * math.pi)
    share = (unit / wavelengths * np.float32(context) - np.float32(low)) / np.float32(high - low)
    interpolated = unit / ((unit - share) / np.float32(factor) + share)
    divided = np.where(wavelengths > context / low, np.float32(factor), interpolated)
    factors: np.ndarray = np.where(wavelengths < context / high, unit, divided)
    return factors
