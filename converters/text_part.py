"""The text part of a model that also sees or hears: its configuration, and its tensors and adapters under the names of a text model.

For text the whole model computes what its text part does: images enter only as embeddings in place of their tokens, and positions by
height and width are for text those of the sequence (modeling_gemma3.py, modeling_gemma4.py, modeling_mistral3.py, modeling_qwen3_5.py,
modeling_lfm2_vl.py in transformers). Everything that reads a model folder finds the text part here, without a word from the user.
"""

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

from converters.errors import ConversionError

if TYPE_CHECKING:
    from converters.weights import StoredTensor

LM_HEAD = "lm_head.weight"


class Wrapper(NamedTuple):
    """A type of model around a text part.

    texts: the types that its text part may have; the first is meant where its configuration names none. tied: whether embeddings and
    output matrix are one where its configuration does not say (configuration_*.py in transformers).
    """

    texts: tuple[str, ...]
    tied: bool = True


VISION_LANGUAGE_TYPES = {
    "gemma3": Wrapper(("gemma3_text",)),
    "gemma4": Wrapper(("gemma4_text",)),
    "mistral3": Wrapper(("mistral", "ministral3")),
    "qwen3_5": Wrapper(("qwen3_5_text",), tied=False),
    "lfm2_vl": Wrapper(("lfm2",)),
}
"""By model type."""
RENAMINGS = {
    r"^(?:model\.)?language_model\.(?:model\.)?lm_head\.": "lm_head.",
    r"^(?:model\.)?language_model\.(?:model\.)?(?!lm_head\.)": "model.",
}
"""What stands before the text part's names, today and in older versions of transformers, and what a text model has instead."""
OWN_NAMES = ("lm_head.", "mtp.")
"""How names of the text part begin that are the same in the whole model: the output matrix, and layers for a second token."""
INHERITED = ("bos_token_id", "eos_token_id", "pad_token_id", "quantization_config")
"""Settings that the whole model's configuration may say for its text part."""
TIED_KEYS = ("tie_word_embeddings", "tie_embedding")
"""Names of the setting that embeddings and output matrix are one; LFM2-VL has the second (configuration_lfm2_vl.py)."""


def text_configuration(config: dict[str, Any]) -> tuple[dict[str, Any], bool]:
    """The text part's configuration, and whether there is more than text; a text model's own as it is.

    Raises ConversionError for a model around a text part that is not known, and for text parts of other types.
    """
    kind = config.get("model_type")
    text = config.get("text_config")
    wrapper = VISION_LANGUAGE_TYPES.get(kind) if isinstance(kind, str) else None
    if wrapper is None:
        if isinstance(text, dict):
            raise ConversionError(
                f"The text part of this {str(kind)[:40]} model cannot be used",
                "It is a model around a text model, of a type whose text part is not known to compute the same alone.",
                f"Choose a text model, or one of {', '.join(VISION_LANGUAGE_TYPES)}.",
            )
        return config, False

    inner = text.get("model_type", wrapper.texts[0]) if isinstance(text, dict) else None
    if not isinstance(text, dict) or inner not in wrapper.texts:
        raise ConversionError(
            f"The text part of this {kind} model cannot be used",
            f"It is of type {str(inner)[:40]!r}; supported: {', '.join(wrapper.texts)}.",
            "Choose another base model.",
        )

    # The whole model's word counts, as its class ties the two. Without one either may tie them: what differs in the file stays apart.
    settings = [config[key] for key in TIED_KEYS if config.get(key) is not None]
    tied = bool(settings[0]) if settings else wrapper.tied or bool(text.get(TIED_KEYS[0]))
    inherited = {key: config[key] for key in INHERITED if config.get(key) is not None}
    return {**text, "model_type": inner, **inherited, TIED_KEYS[0]: tied}, True


def text_name(name: str) -> str:
    """A tensor or module of the text part by its name in a text model; other names as they are."""
    for pattern, replacement in RENAMINGS.items():
        name = re.sub(pattern, replacement, name)
    return name


def is_of_text(name: str) -> bool:
    """Whether a tensor of a whole model's files belongs to its text part."""
    return text_name(name) != name or name.startswith(OWN_NAMES)


def part_of(name: str) -> str:
    """The part of the model that a tensor or module belongs to: its first name but "model"."""
    return name.removeprefix("model.").partition(".")[0]


def text_tensors(stored: "dict[str, StoredTensor]") -> "tuple[dict[str, StoredTensor], str]":
    """The text part's tensors under a text model's names, and a note about the tensors left out. ConversionError where there are none."""
    text = {text_name(name): tensor for name, tensor in stored.items() if is_of_text(name)}
    if not any(name.startswith("model.") for name in text):
        raise ConversionError(
            "The text part is not found", "No tensor's name begins with model.language_model or language_model.", "Get the model again."
        )
    return text, describe_left_out((name, tensor.size) for name, tensor in stored.items() if not is_of_text(name))


def describe_left_out(others: Iterable[tuple[str, int]]) -> str:
    """A sentence about what of a whole model is left out, by the names and sizes (bytes) of its other tensors."""
    others = list(others)
    parts = sorted({part_of(name) for name, _ in others})
    size = sum(size for _, size in others) / 2**20
    return f"only the text part of this model is used; {', '.join(parts) or 'nothing'} left out ({len(others)} tensors, {size:.1f} MiB)"
