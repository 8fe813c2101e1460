"""What untrusted text passes through before any terminal, log or file name; and values in words."""

import re
from typing import Any

# C0 except newline and tab, DEL, C1, and the bidirectional controls (Unicode UAX #9).
_UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_SURROGATE = re.compile("[\ud800-\udfff]")


def safe_text(text: str) -> str:
    """Text without control characters that could drive a terminal, and without lone surrogates."""
    return _SURROGATE.sub("\ufffd", _UNSAFE.sub("", text))


def one_line(text: str, width: int = 80) -> str:
    """Safe text on one line, cut to `width` characters."""
    flat = " ".join(safe_text(text).split())
    return flat if len(flat) <= width else flat[: width - 1] + "…"


def format_value(value: Any, missing: str = "") -> str:
    """A setting's value in words. missing: what stands for one that is not set."""
    if value is None:
        return missing
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def normalized_words(text: str) -> str:
    """Text reduced to its words, for comparing answers."""
    return " ".join(re.findall(r"\w+", text.lower()))


def contains(text: str, expected: str) -> bool:
    """Whether `expected` stands in the text as whole words."""
    return f" {normalized_words(expected)} " in f" {normalized_words(text)} "
