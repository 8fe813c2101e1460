"""Tokens found in a text before it is split, and how llama.cpp finds them in an exported file.

A tokenizer.json says of each such token whether it is special and whether it swallows the white space around it; a GGUF says only of
which type it is. White space llama.cpp settles by a file's name (src/llama-vocab.cpp, "per token attributes"): where `general.name` holds
"phi-3" or "phi3" every special token but three swallows the white space behind it, in a file called "modern-bert" the mask swallows that
before it. So the name of a file is part of its tokenizer, and is chosen by what the tokenizer needs.
"""

import re
from collections.abc import Container, Iterable
from typing import Any, NamedTuple

PHI3, MODERN_BERT = re.compile("(phi)-?(3)", re.IGNORECASE), re.compile("(modern)-(bert)", re.IGNORECASE)
PHI3_KEEPS = ("<unk>", "<s>", "<|endoftext|>")
"""Tokens behind which white space stays in a file named after Phi-3; without all of them and `</s>` llama.cpp does not load it."""
MASK = "[MASK]"


PRINTED_TOKENS = frozenset(("<|channel>", "<channel|>", "<|tool_call>", "<tool_call|>", "<|tool_response>", "<tool_response|>", '<|"|>'))
"""Special tokens that llama.cpp must print, because its chat parser reads them (conversion/gemma.py)."""


def is_control(entry: dict[str, Any]) -> bool:
    """Whether an added token of tokenizer.json is a control token in a GGUF: one that only a template may write, and that is not printed.

    Some are not marked special in tokenizer.json but must be for llama.cpp (gguf converters treat these alike).
    """
    token = entry["content"]
    looks_special = re.fullmatch(r"<\|.*\|>|<\uff5c.*\uff5c>|<unused.*>|<pad>|<mask>|<2mass>|\[@BOS@\]", token, re.DOTALL)
    return bool(entry.get("special") or looks_special) and token not in PRINTED_TOKENS


SPACE = "▁"
PREPEND = {"type": "Prepend", "prepend": SPACE}
REPLACE = {"type": "Replace", "pattern": {"String": " "}, "content": SPACE}
NO_SPLIT = {"type": "Split", "pattern": {"String": " "}, "behavior": "MergedWithPrevious", "invert": False}
"""The pre-tokenizer of Gemma, which never splits: its normalizer has replaced every space."""


class Strips(NamedTuple):
    """Whether white space before (left) and behind (right) a special token is swallowed."""

    left: bool
    right: bool


def wanted(entry: dict[str, Any]) -> Strips:
    """What tokenizer.json says of an added token."""
    return Strips(bool(entry.get("lstrip")), bool(entry.get("rstrip")))


def given(name: str, token: str) -> Strips:
    """What llama.cpp does with a special token in a file of this name."""
    if PHI3.search(name):
        return Strips(False, token not in PHI3_KEEPS)
    return Strips(bool(MODERN_BERT.search(name)) and token == MASK, False)


def loads(name: str, tokens: Container[str]) -> bool:
    """Whether llama.cpp loads a vocabulary of these tokens under this name."""
    return not PHI3.search(name) or all(token in tokens for token in ("</s>", *PHI3_KEEPS))


def choose_name(name: str, added: Iterable[dict[str, Any]], tokens: Container[str]) -> str:
    """`general.name` for a file that people call `name`: as it is, or changed so that llama.cpp swallows what the tokenizer does.

    added: the added tokens of tokenizer.json. tokens: the whole vocabulary. Where no name gives exactly what is wanted, the one
    under which the fewest tokens differ (see `differing`).
    """
    added = list(added)
    plain = MODERN_BERT.sub(r"\1 \2", PHI3.sub(r"\1 \2", name))
    names = [plain, name, f"Phi-3 {plain}".rstrip(), f"modern-bert {plain}".rstrip()]
    return min((name for name in names if loads(name, tokens)), key=lambda name: len(differing(name, added)))


def differing(name: str, added: Iterable[dict[str, Any]]) -> list[str]:
    """The added tokens around which llama.cpp, under this name, does not treat white space as the tokenizer does."""
    return [entry["content"] for entry in added if wanted(entry) != given(name, entry["content"])]


def as_exported(tokenizer: dict[str, Any], opens: bool = False) -> dict[str, Any] | None:
    """A tokenizer.json that reads text as llama.cpp does in the exported file; None where it does so already.

    opens: whether a text that the chat template writes begins with a special token (see `space_prefix`).

    Training reads text through it, so that what was trained is what is asked.
    """
    added = tokenizer.get("added_tokens") or []
    name = choose_name("", added, {*tokenizer["model"]["vocab"], *(entry["content"] for entry in added)})
    prefix = space_prefix(tokenizer, opens)
    changed = []
    for entry in added:
        strips = given(name, entry["content"])
        flags = {"lstrip": strips.left, "rstrip": strips.right, "single_word": False, "special": is_control(entry)}
        if prefix and entry.get("normalized"):  # else the word would be looked for with a space in front
            flags["normalized"] = False
        changed.append(entry | {flag: value for flag, value in flags.items() if value != bool(entry.get(flag))})
    changes: dict[str, Any] = {"added_tokens": changed} if changed != added else {}
    if _is_metaspace(tokenizer):
        changes |= {"normalizer": {"type": "Sequence", "normalizers": [PREPEND, REPLACE]} if prefix else REPLACE, "pre_tokenizer": None}
    return tokenizer | changes if changes else None


def space_prefix(tokenizer: dict[str, Any], opens: bool) -> bool | None:
    """Whether llama.cpp is to put a space before every stretch of text between special tokens; None for forms that are not supported.

    SentencePiece put one before a whole text. One form of tokenizer.json puts it there alone ("first"): in a chat whose text begins with a
    special token (`opens`) that is nowhere, and without one everywhere that matters.
    """
    normalizer = tokenizer.get("normalizer")
    pre: Any = tokenizer.get("pre_tokenizer")
    if pre is None and normalizer == {"type": "Sequence", "normalizers": [PREPEND, REPLACE]}:
        return True
    if pre in (None, NO_SPLIT) and normalizer in (REPLACE, {"type": "Sequence", "normalizers": [REPLACE]}):
        return False
    if _is_metaspace(tokenizer):
        scheme = pre.get("prepend_scheme", "always")
        return {"always": True, "first": not opens, "never": False}.get(scheme)
    return None


def _is_metaspace(tokenizer: dict[str, Any]) -> bool:
    pre: Any = tokenizer.get("pre_tokenizer")
    metaspace = isinstance(pre, dict) and pre.get("type") == "Metaspace" and pre.get("replacement") == SPACE
    return metaspace and pre.get("split", True) is False and tokenizer.get("normalizer") is None
