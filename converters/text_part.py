"""The text part of a vision-language checkpoint: its configuration and its tensors, under the names of a text model.

For text the whole model computes what its text part does: images enter only as embeddings in place of their tokens, and positions by
height and width are for text those of the sequence (modeling_gemma3.py, modeling_gemma4.py, modeling_mistral3.py, modeling_qwen3_5.py,
modeling_lfm2_vl.py in transformers).
"""

from converters.errors import ConversionError
from converters.weights import JsonObject, StoredTensor

LM_HEAD = "lm_head.weight"
VISION_LANGUAGE_TYPES = {
    "gemma3": ("gemma3_text",),
    "gemma4": ("gemma4_text",),
    "mistral3": ("mistral", "ministral3"),
    "qwen3_5": ("qwen3_5_text",),
    "lfm2_vl": ("lfm2",),
}
"""Vision-language model types, with the types that their text part may have."""
TEXT_PREFIXES = ("model.language_model.", "language_model.model.", "language_model.")
"""What stands before the text part's names where a text model has "model.": today's form, and older ones."""
HEADS = (LM_HEAD, "language_model.lm_head.weight")
INHERITED = ("bos_token_id", "eos_token_id", "pad_token_id", "tie_word_embeddings")
"""Settings that the whole model's configuration may say for its text part."""


def text_configuration(config: JsonObject, text_only: bool) -> tuple[JsonObject, bool]:
    """The text part's configuration, and whether there is more than text; a text model's own as it is.

    text_only: whether the user requested the text part alone. Raises ConversionError where not, and for text parts of other types.
    """
    kind = config.get("model_type")
    text = config.get("text_config")
    if kind not in VISION_LANGUAGE_TYPES:
        return config, False
    inner = text.get("model_type") if isinstance(text, dict) else None
    if not isinstance(text, dict) or inner not in VISION_LANGUAGE_TYPES[str(kind)]:
        raise ConversionError(
            f"The text part of this {kind} model cannot be converted",
            f"It is of type {str(inner)[:40]!r}; supported: {', '.join(VISION_LANGUAGE_TYPES[str(kind)])}.",
            "Choose another base model.",
        )
    if not text_only:
        raise ConversionError(
            f"{kind} is a vision-language model",
            "Only its text part can be converted: the GGUF cannot process images.",
            "Add --text-only to convert that part alone.",
        )

    inherited = {key: config[key] for key in INHERITED if config.get(key) is not None}
    if "quantization_config" in config:
        inherited["quantization_config"] = config["quantization_config"]
    return {**text, **inherited}, True


def text_tensors(stored: dict[str, StoredTensor]) -> tuple[dict[str, StoredTensor], str]:
    """The text part's tensors under a text model's names, and a note about the tensors left out."""
    prefix = next((prefix for prefix in TEXT_PREFIXES if f"{prefix}embed_tokens.weight" in stored), None)
    if prefix is None:
        raise ConversionError(
            "The text part is not found", f"No tensor is called {TEXT_PREFIXES[0]}embed_tokens.weight.", "Choose a complete model folder."
        )

    text: dict[str, StoredTensor] = {}
    omitted: dict[str, StoredTensor] = {}
    for name, tensor in stored.items():
        if name in HEADS:
            text[LM_HEAD] = tensor
        elif name.startswith(prefix):
            text[f"model.{name.removeprefix(prefix)}"] = tensor
        elif name.startswith("mtp."):  # the text part's own, which its architecture ignores
            text[name] = tensor
        else:
            omitted[name] = tensor

    groups = sorted({_group(name) for name in omitted})
    size = sum(tensor.size for tensor in omitted.values())
    return text, f"Only the text part is converted; {len(omitted)} tensors ({size} bytes) are left out: {', '.join(groups) or 'none'}."


def _group(name: str) -> str:
    """The part of the model that a tensor belongs to."""
    return name.removeprefix("model.").partition(".")[0]
