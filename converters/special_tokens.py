"""Special tokens of a model folder's tokenizer: their ids, the tokens added to a text, and the tokens that end an answer."""

from collections.abc import Sequence
from typing import Any

from converters.errors import ConversionError
from converters.gguf_file import Value, boolean, u32

SPECIAL_TOKENS = {"bos": "bos", "eos": "eos", "unk": "unknown", "pad": "padding", "sep": "seperator", "cls": "cls", "mask": "mask"}
"""Names of special tokens in Hugging Face's files and in GGUF's keys (the misspelt one is GGUF's)."""
STOP_TOKENS = frozenset(
    (
        "<|eot_id|>",
        "<|im_end|>",
        "<|end|>",
        "<|return|>",
        "<|call|>",
        "<|flush|>",
        "<|calls|>",
        "<end_of_turn>",
        "<|endoftext|>",
        "</s>",
        "<|eom_id|>",
        "<EOT>",
        "_<EOT>",
        "[EOT]",
        "[EOS]",
        "<|end_of_text|>",
        "<end_of_utterance>",
        "<eos>",
        "<turn|>",
        "<|tool_response>",
        "<\uff5cend▁of▁sentence\uff5c>",
        "[e~[",
    )
)
"""Texts of tokens at which llama.cpp stops by itself (src/llama-vocab.cpp, `special_eog_ids`)."""


def tokenizer_error(cause: str, remedy: str = "Download the tokenizer files again.") -> ConversionError:
    """The refusal of a tokenizer."""
    return ConversionError("The tokenizer cannot be converted", cause, remedy)


def _id_list(value: Any) -> list[int]:
    return [number for number in (value if isinstance(value, list) else [value]) if type(number) is int]


def special_keys(
    ids: dict[str, int],
    tokenizer: dict[str, Any],
    settings: dict[str, Any],
    config: dict[str, Any],
    generation: dict[str, Any],
    starts: bool,
    ends: Sequence[str] = (),
) -> dict[str, Value]:
    """Ids of special tokens (tokenizer_config.json first, then config.json), further stop tokens, and the tokens added to a text.

    starts: whether llama.cpp adds a first token by default. A flag that no file sets is written only where that default is wrong.
    ends: the tokens that end an answer in the chat template, the most important of the stop tokens.
    """
    special: dict[str, int] = {}
    for name in SPECIAL_TOKENS:
        entry = settings.get(f"{name}_token")
        content = entry.get("content") if isinstance(entry, dict) else entry
        numbers = [ids[content]] if isinstance(content, str) and content in ids else _id_list(config.get(f"{name}_token_id"))
        if numbers:
            special[name] = numbers[0]

    # The post-processor decides what is really added; a flag in tokenizer_config.json overrides it, as in transformers.
    first, last = _template_ends(tokenizer)
    separates = _separates(tokenizer, special, ids, last is not None)
    flags = {"add_bos_token": settings.get("add_bos_token"), "add_eos_token": settings.get("add_eos_token")}
    for key, name, token in (("add_bos_token", "bos", first), ("add_eos_token", "eos", last)):
        if not isinstance(flags[key], bool):
            flags[key] = token is not None
            if token is not None:
                special[name] = ids[token]

    size = config.get("vocab_size", len(ids))
    wrong = next((f"{name} {number}" for name, number in special.items() if not 0 <= number < size), None)
    if wrong or (flags["add_bos_token"] and "bos" not in special) or (flags["add_eos_token"] and "eos" not in special):
        raise tokenizer_error(f"Special tokens are missing or out of range ({wrong or 'a token to add at the start or end has no id'}).")
    keys = {f"{SPECIAL_TOKENS[name]}_token_id": u32(number) for name, number in special.items()}

    # llama.cpp stops by itself at tokens with certain texts; GGUF has room for two others.
    texts = {number: token for token, number in ids.items()}
    stops = [
        number
        for number in [
            *(ids[end] for end in ends if end in ids),
            *_id_list(generation.get("eos_token_id")),
            *_id_list(config.get("eos_token_id")),
        ]
        if number != special.get("eos") and texts.get(number, "</s>") not in STOP_TOKENS
    ]
    for name, number in zip(("eot", "eom"), dict.fromkeys(stops), strict=False):
        keys[f"{name}_token_id"] = u32(number)

    if not _sets_flags(tokenizer):
        needed = {"add_bos_token"} if starts else set()
        flags = {key: flag for key, flag in flags.items() if flag or isinstance(settings.get(key), bool) or key in needed}
    if separates is not None:
        flags["add_sep_token"] = separates
    return keys | {key: boolean(bool(flag)) for key, flag in flags.items()}


def _template_ends(tokenizer: dict[str, Any]) -> tuple[str | None, str | None]:
    """The special tokens that the post-processor puts before and after a single text."""
    processor = tokenizer.get("post_processor") or {}
    for step in processor.get("processors") or [processor]:
        if step.get("type") == "TemplateProcessing":
            names = [piece.get("SpecialToken", {}).get("id") for piece in step["single"]]
            texts = [step["special_tokens"][name]["tokens"] if name else [] for name in names]
            if any(len(tokens) > 1 for tokens in texts) or any(names[1:-1]) or None not in names:
                raise tokenizer_error("Its post-processor puts more than one token before or after a text.", "Choose another base model.")
            return "".join(texts[0]) or None, "".join(texts[-1]) or None
        if step.get("type") not in (None, "ByteLevel"):
            raise tokenizer_error(f"Its post-processor {step.get('type')!r} is not supported.", "Choose another base model.")
    return None, None


def _sets_flags(tokenizer: dict[str, Any]) -> bool:
    """Whether the post-processor is of a kind that adds no tokens, which llama.cpp's converter reads as explicit flags."""
    processor = tokenizer.get("post_processor") or {}
    return any(step.get("type") == "ByteLevel" for step in processor.get("processors") or [processor])


def _separates(tokenizer: dict[str, Any], special: dict[str, int], ids: dict[str, int], ends: bool) -> bool | None:
    """Whether the post-processor puts the separator or end token between two texts; None if it puts nothing there.

    ends: whether it ends a single text with a token, which is then no separator.
    """
    processor = tokenizer.get("post_processor") or {}
    for step in processor.get("processors") or [processor]:
        if step.get("type") == "TemplateProcessing":
            texts = [piece.get("Sequence", {}).get("id") for piece in step.get("pair") or []]
            if "A" in texts and "B" in texts:
                names = [piece.get("SpecialToken", {}).get("id") for piece in step["pair"][texts.index("A") + 1 : texts.index("B")]]
                if not names:
                    return None
                between = [ids.get(name) for name in names[1 if ends else 0 :]]
                return any(number in (special.get("sep"), special.get("eos")) for number in between if number is not None)
    return None
