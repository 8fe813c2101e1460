"""Identify the llama.cpp pre-tokenizer that a byte-level tokenizer.json describes (src/llama-vocab.cpp, `llm_tokenizer_bpe`)."""

from typing import Any

from converters.errors import ConversionError

_WORDS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|"
_REST = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_CAPITALS, _SMALL = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
_CASED = rf"[^\r\n\p{{L}}\p{{N}}]?{_CAPITALS}*{_SMALL}+%s|[^\r\n\p{{L}}\p{{N}}]?{_CAPITALS}+{_SMALL}*%s|"
_SLASHES = r"| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_ENDING = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
SPLIT_PATTERNS = {
    (_WORDS + r"\p{N}{1,3}" + _REST, True): "llama-bpe",
    (_WORDS + r"\p{N}{1,3}" + _REST, False): "smaug-bpe",
    (_WORDS + r"\p{N}" + _REST, False): "qwen2",
    (_WORDS.replace(r"\p{L}+", r"[\p{L}\p{M}]+") + r"\p{N}" + _REST.replace(r"[^\s\p{L}", r"[^\s\p{L}\p{M}"), False): "qwen35",
    (_CASED.replace("%s", _ENDING) + r"\p{N}{1,3}" + _SLASHES, False): "gpt-4o",
    (_CASED.replace("%s", "") + r"\p{N}" + _SLASHES, True): "tekken",
}
"""A split expression, and whether whole words in the vocabulary skip the merges (`ignore_merges`), to llama.cpp's name."""

APPROXIMATED = ("gpt-4o", "tekken")
"""Those whose classes of capital and small letters llama.cpp only approximates."""


def _byte_level(step: Any, use_regex: bool) -> bool:
    return (
        isinstance(step, dict)
        and step.get("type") == "ByteLevel"
        and not step.get("add_prefix_space", True)
        and step.get("use_regex", True) == use_regex
    )


def _steps(pre_tokenizer: Any) -> list[Any]:
    if isinstance(pre_tokenizer, dict) and pre_tokenizer.get("type") == "Sequence":
        return list(pre_tokenizer.get("pretokenizers") or [])
    return [pre_tokenizer]


def pre_tokenizer_name(tokenizer: dict[str, Any]) -> str:
    """llama.cpp's name for the normalizer and pre-tokenizer of a byte-level BPE tokenizer.json.

    An NFC normalizer passes: llama.cpp does not normalize, so only text that is not NFC is split differently there.
    Raises ConversionError for what has no name: a guess would give a model other tokens than it was trained on.
    """
    normalizer = tokenizer.get("normalizer")
    ignore_merges = bool(tokenizer["model"].get("ignore_merges", False))
    steps = _steps(tokenizer.get("pre_tokenizer"))

    name = None
    if normalizer is None or normalizer == {"type": "NFC"}:
        if len(steps) == 1 and _byte_level(steps[0], True) and not ignore_merges:
            name = "gpt-2"
        elif (
            len(steps) == 2
            and _byte_level(steps[1], True)
            and steps[0] == {"type": "Digits", "individual_digits": True}
            and not ignore_merges
        ):
            name = "smollm"
        elif len(steps) == 2 and _byte_level(steps[1], False) and isinstance(steps[0], dict) and _isolates(steps[0]):
            name = SPLIT_PATTERNS.get((steps[0]["pattern"].get("Regex"), ignore_merges))

    if name is None:
        known = ", ".join(sorted({"gpt-2", "smollm", *SPLIT_PATTERNS.values()}))
        raise ConversionError(
            "The tokenizer is not recognized",
            f"Its normalizer ({_kind(normalizer)}) and pre-tokenizer ({', '.join(map(_kind, steps))}; ignore_merges {ignore_merges}) "
            f"are none of: {known}.",
            "Choose a base model with one of these tokenizers.",
        )
    return name


def _isolates(step: dict[str, Any]) -> bool:
    """Whether a step splits a text into the matches of its expression, in either spelling (all of SPLIT_PATTERNS match every character)."""
    parts = (step.get("behavior"), bool(step.get("invert", False))) in (("Isolated", False), ("Removed", True))
    return step.get("type") == "Split" and parts and isinstance(step.get("pattern"), dict) and isinstance(step["pattern"].get("Regex"), str)


def _kind(step: Any) -> str:
    return str(step.get("type"))[:40] if isinstance(step, dict) else "none" if step is None else "unreadable"
