"""Special tokens of a model folder's tokenizer: their ids, what is added to a text, and where an answer stops."""

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


def tokenizer_error(cause: str, remedy: str = "Get the tokenizer again.") -> ConversionError:
    """The refusal of a tokenizer."""
    return ConversionError("The tokenizer cannot be converted", cause, remedy)


def _id_list(value: Any) -> list[int]:
    return [one for one in (value if isinstance(value, list) else [value]) if type(one) is int]


def special_keys(
    ids: dict[str, int],
    tokenizer: dict[str, Any],
    settings: dict[str, Any],
    config: dict[str, Any],
    generation: dict[str, Any],
    starts: bool,
) -> dict[str, Value]:
    """Ids of special tokens (tokenizer_config.json's word first, then config.json's), further stop tokens, and what is added to a text.

    starts: whether llama.cpp adds a first token unless it is told not to. What no file speaks of is written only where that is wrong.
    """
    found: dict[str, int] = {}
    for name in SPECIAL_TOKENS:
        entry = settings.get(f"{name}_token")
        content = entry.get("content") if isinstance(entry, dict) else entry
        numbers = [ids[content]] if isinstance(content, str) and content in ids else _id_list(config.get(f"{name}_token_id"))
        if numbers:
            found[name] = numbers[0]
    first, last = _template_ends(tokenizer)
    separates = _separates(tokenizer, found, ids, last is not None)
    flags = {"add_bos_token": settings.get("add_bos_token"), "add_eos_token": settings.get("add_eos_token")}
    for key, name, token in (("add_bos_token", "bos", first), ("add_eos_token", "eos", last)):
        if not isinstance(flags[key], bool):
            flags[key] = token is not None
            if token is not None:
                found[name] = ids[token]
    wrong = next((f"{name} {number}" for name, number in found.items() if not 0 <= number < config.get("vocab_size", len(ids))), None)
    if wrong or (flags["add_bos_token"] and "bos" not in found) or (flags["add_eos_token"] and "eos" not in found):
        raise tokenizer_error(f"Special tokens are missing or out of range ({wrong or 'a token to add at the start or end has no id'}).")
    keys = {f"{SPECIAL_TOKENS[name]}_token_id": u32(number) for name, number in found.items()}
    texts = {number: token for token, number in ids.items()}
    stops = [
        number
        for number in _id_list(generation.get("eos_token_id")) + _id_list(config.get("eos_token_id"))
        if number != found.get("eos") and texts.get(number, "</s>") not in STOP_TOKENS
    ]
    for name, number in zip(("eot", "eom"), dict.fromkeys(stops), strict=False):
        keys[f"{name}_token_id"] = u32(number)
    if not _speaks(tokenizer):
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
            raise tokenizer_error(f"Its post-processor {step.get('type')!r} is not known.", "Choose another base model.")
    return None, None


def _speaks(tokenizer: dict[str, Any]) -> bool:
    """Whether the post-processor is of the kind that could add tokens but for what it says (llama.cpp's converter takes it so)."""
    processor = tokenizer.get("post_processor") or {}
    return any(step.get("type") == "ByteLevel" for step in processor.get("processors") or [processor])


def _separates(tokenizer: dict[str, Any], found: dict[str, int], ids: dict[str, int], ends: bool) -> bool | None:
    """Whether the post-processor puts the separator or end token between two texts; None if it puts nothing there.

    ends: whether it ends a single text with a token, which is then no separator.
    """
    processor = tokenizer.get("post_processor") or {}
    for step in processor.get("processors") or [processor]:
        if step.get("type") == "TemplateProcessing":
            places = [piece.get("Sequence", {}).get("id") for piece in step.get("pair") or []]
            if "A" in places and "B" in places:
                names = [piece.get("SpecialToken", {}).get("id") for piece in step["pair"][places.index("A") + 1 : places.index("B")]]
                between = [ids.get(name) for name in names[1 if ends else 0 :]]
                return any(number in (found.get("sep"), found.get("eos")) for number in between if number is not None) if names else None
    return None
