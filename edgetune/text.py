"""What untrusted text passes through before any terminal, log or file name."""

import re

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
