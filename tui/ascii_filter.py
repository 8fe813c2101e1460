"""For terminals without Unicode: every line that the app draws, with ASCII in place of what the terminal cannot show."""

import unicodedata
from functools import lru_cache

from rich.cells import cell_len
from rich.segment import Segment
from textual.color import Color
from textual.filter import LineFilter

_SAID = {
    "+": "┌┐└┘├┤┬┴┼╭╮╰╯╔╗╚╝╠╣╦╩╬┏┓┗┛┣┫┳┻╋╸╺",
    "-": "─━╌╍┄┅═▔‐‑‒–—−",
    "_": "▁",
    "|": "│┃║╎╏┆┇▏▕▎▍▌▐▊▉",
    "#": "█▓▇▆■▮",
    "=": "▄▅▀▃🬂▒▬",
    ".": "░▂·⋅⠂…∙",
    "*": "•▪●◆★✓✔⬤◉",
    "o": "◦○◌◯⭘◇",
    "x": "✗✘×✖",
    ">": "‣›»▶▸→❯⏵",
    "<": "‹«◀◂←❮",
    "^": "▲△↑⌃▴",
    "v": "▼▽↓▾⌄",
    "[": "⟦",
    "]": "⟧",
    "'": "‘’",
    '"': "“”",
    "~": "≈",
    "/": "╱",
    "\\": "╲",
    "e": "⏎↵",
}
PLAIN = {sign: plain for plain, signs in _SAID.items() for sign in signs}


@lru_cache(4096)
def plain(text: str) -> str:
    """The text in ASCII, in as many cells: drawn signs by their looks, letters without accents, '?' for the rest."""
    return text if text.isascii() else "".join(_one(sign) for sign in text)


def _one(sign: str) -> str:
    if sign.isascii():
        return sign
    width = cell_len(sign)
    if width == 0:
        return ""
    if "\u2800" <= sign <= "\u28ff":
        return " " if sign == "\u2800" else "*"
    shown = PLAIN.get(sign) or unicodedata.normalize("NFKD", sign).encode("ascii", "ignore").decode() or "?"
    return shown[:width].ljust(width, shown[0])


class Narrow(LineFilter):
    """Draws with ASCII alone."""

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:
        """Each segment with its text made plain."""
        return [Segment(plain(text), style, control) for text, style, control in segments]
