"""Rows made visible: every token as text, and whether it is trained on."""

from functools import cache
from typing import Any, Protocol

from edgetune.data.examine import Unit, as_row
from edgetune.data.labels import IGNORE_INDEX
from edgetune.data.render import TextTokenizer, TokenizedRow


class VisibleTokenizer(TextTokenizer, Protocol):
    """A tokenizer whose tokens can be shown one by one."""

    def bytes_of(self, token: int) -> bytes:
        """What a token stands for."""


@cache
def byte_table() -> dict[str, int]:
    """The printable characters that byte-level vocabularies write for bytes (GPT-2's encoder.py, bytes_to_unicode)."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    other = [b for b in range(256) if b not in plain]
    return {chr(b): b for b in plain} | {chr(256 + i): b for i, b in enumerate(other)}


def token_view(row: TokenizedRow, tokenizer: VisibleTokenizer) -> list[dict[str, Any]]:
    """A row's tokens in order: id, text, trained, special. A character of several tokens is shown at the last of them."""
    import codecs

    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    specials = set(tokenizer.specials.values())
    return [
        {"id": token, "text": decoder.decode(tokenizer.bytes_of(token)), "trained": label != IGNORE_INDEX, "special": token in specials}
        for token, label in zip(row.ids, row.labels, strict=True)
    ]


def unit_view(file: str, unit: Unit, tokenizer: VisibleTokenizer | None, most: int = 4) -> dict[str, Any]:
    """A kept row with its place, its example, and at most `most` of its rows of tokens."""
    return {
        "file": file,
        "line": unit.line,
        "example": as_row(unit.example),
        "length": unit.length,
        "trained": unit.trained,
        "shortened": unit.shortened,
        "rows": [token_view(row, tokenizer) for row in unit.rows[:most]] if tokenizer else [],
        "more_rows": max(0, len(unit.rows) - most),
    }
