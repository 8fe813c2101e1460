"""What is wrong with one text: characters that nobody sees, text decoded wrongly, leftovers of a web page, blanks never filled in.

Clean text costs a few microseconds: a handful of character searches decide whether any pattern is tried at all.
"""

import re
from collections import Counter
from collections.abc import Iterator
from functools import lru_cache

Finding = tuple[str, str]

# Patterns begin with a set of characters where they can: the regex engine skips to those.
_SUSPECT = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\xad\u061c\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufffd]")
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
_ANSI = re.compile("(?:\x1b\\[|\x9b)[0-?]*[ -/]*[@-~]|\x1b[\\]P^_][^\x07\x1b]*(?:\x07|\x1b\\\\)?|\x1b[@-Z\\\\^_]")
_BIDI = re.compile("[\u202a-\u202e\u2066-\u2069]")
_BIDI_MARK = re.compile("[\u061c\u200e\u200f]")
_RIGHT_TO_LEFT = re.compile("[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc]")
# Inside words of scripts that have no use for them: Latin, Greek, Cyrillic. Persian, Indic scripts and emoji need the joiners.
_LETTER = "[A-Za-z\u00c0-\u024f\u0370-\u052f]"
_ZERO_WIDTH = re.compile(f"(?<={_LETTER})[\u00ad\u200b-\u200d\u2060-\u2064\ufeff]+(?={_LETTER})")

# What bytes 0x80 to 0xBF look like when UTF-8 is read as Windows-1252, or as Latin-1.
_TAIL = "[\x80-\xbf€‚ƒ„…†‡ˆ‰Š‹ŒŽ‘’“”•–—˜™š›œžŸ]"  # noqa: RUF001
_MOJIBAKE = re.compile(f"[\xc2-\xf4](?:(?<=[\xc2-\xdf]){_TAIL}|(?<=[\xe0-\xef]){_TAIL}{{2}}|(?<=[\xf0-\xf4]){_TAIL}{{3}})")
_QUOTES = frozenset("‚„…‹‘’“”–—›•")  # noqa: RUF001
_PUNCTUATION = _QUOTES | frozenset("»«™®°³²¹ª")

_TAGS = "p|br|hr|div|span|a|b|i|u|em|strong|[uo]l|li|table|t(?:body|head|[rdh])|h[1-6]|img|script|style|font|center|blockquote|su[bp]"
_TAG = re.compile(rf"</?(?:{_TAGS})(?:\s[^<>]{{0,300}})?/?>", re.IGNORECASE)
_ENTITY = re.compile(r"&(?:amp|lt|gt|quot|apos|nbsp|copy|mdash|ndash|hellip|[lr][sd]quo|#\d{2,6}|#x[0-9a-fA-F]{2,5});")
_ABOUT_TAGS = re.compile(r"```|\b(?:x?html|xml|css|tags?|svg|jsx|javascript|markup|web ?pages?|php|hyperlinks?)\b|<!doctype", re.IGNORECASE)
"""A text that speaks of tags, or holds code, means the tags that it has."""

_BLANK = re.compile(
    r"[\[<{](?:(?<=\[)(?:INSERT|ENTER|ADD|YOUR|FILL IN|Insert|Enter|Your|Fill in|insert|your) [^\[\]\n]{1,60}\](?!\()"
    r"|(?<=\[)(?:NAME|DATE|COMPANY|ADDRESS|PLACEHOLDER|Name|(?:Recipient(?:'s)?|Company) Name)\](?!\()"
    r"|(?<=<)(?:insert|enter|your|YOUR|INSERT|Your|Insert)[ _-][^<>\n]{1,40}>"
    r"|(?<=\{)(?<![\w{}\\]\{)\{\s*[A-Za-z_][\w .-]{0,40}\s*\}\}(?!\}))"
)
_CHAT_MARKUP = re.compile(r'<details type="(\w+)"')
"""The blocks in which Open WebUI saves what is no answer: calls of tools, code that it ran."""
_ALONE = re.compile(r"\s*(?:TODO|TBD|FIXME|XXX|N/?A|PLACEHOLDER|lorem ipsum\b.*)[.:!]?\s*", re.IGNORECASE | re.DOTALL)


def text_findings(text: str) -> list[Finding]:
    """(kind, message) of everything found in a text, at most one of a kind.

    Kinds: control, bidi, zero_width, replacement, mojibake, html, placeholder, chat_markup.
    Messages name characters by number and are safe to print.
    """
    findings: list[Finding] = []
    plain = text.isascii()
    if not (plain and text.replace("\n", "").isprintable()) and (_SUSPECT.search(text) or (not plain and _MOJIBAKE.search(text))):
        findings.extend(_characters(text))

    # Tags in a text about tags are meant.
    if "<" in text or "&" in text:
        leftovers = [m[0] for pattern in (_TAG, _ENTITY) for m in pattern.finditer(text)]
        if leftovers and not _ABOUT_TAGS.search(text):
            findings.append(("html", _count_pieces("leftover of a web page", "leftovers of a web page", leftovers)))

    if '<details type="' in text and (blocks := _CHAT_MARKUP.findall(text)):
        findings.append(("chat_markup", _count_pieces("block that a chat program wrote", "blocks that a chat program wrote", blocks)))

    if "{{" in text or "[" in text or "<" in text:
        blanks = [m[0] for m in _BLANK.finditer(text)]
        if blanks:
            findings.append(("placeholder", _count_pieces("placeholder never filled in", "placeholders never filled in", blanks)))
    if len(text) < 2000 and _ALONE.fullmatch(text):
        findings.append(("placeholder", "only a note that the text is still missing"))
    return findings


def control_tokens(text: str, specials: frozenset[str]) -> list[str]:
    """A tokenizer's special tokens that a text contains, each once, in order: there they would act as marks of the conversation."""
    starts, lengths = _index(specials)
    tokens: dict[str, None] = {}

    for match in starts.finditer(text):
        at = match.start()
        for length in lengths:
            if text[at : at + length] in specials:
                tokens[text[at : at + length]] = None
                break
    return list(tokens)


@lru_cache(maxsize=8)
def _index(specials: frozenset[str]) -> tuple[re.Pattern[str], list[int]]:
    """The first two characters of all tokens, and their lengths from the longest: thousands of reserved tokens stay as cheap as ten."""
    tokens = [token for token in specials if token]
    starts = sorted({token[:2] for token in tokens})
    pattern = "|".join(map(re.escape, starts)) if starts else "(?!)"
    return re.compile(pattern if "|" not in pattern else f"(?={pattern})"), sorted({len(token) for token in tokens}, reverse=True)


def mojibake(text: str) -> list[str]:
    """Places that are UTF-8 read as Windows-1252 ("Ã©" for "é").

    Each must decode to fewer characters. What people write too ("CAFÉ…", "NESCAFÉ®") does not count alone: of two characters, only the
    leads Ã and Â count by themselves; the others need company, which a text decoded wrongly has.
    """
    pieces = [m[0] for m in _MOJIBAKE.finditer(text) if _decoded(m[0])]
    telling = [m for m in pieces if not set(m[1:]) <= (_QUOTES if m[0] in "ÃÂ" else _PUNCTUATION)]
    return pieces if len(telling) > 1 or any(len(m) > 2 or m[0] in "ÃÂ" for m in telling) else []


def _decoded(piece: str) -> str:
    """The text that a piece was before it was read wrongly; empty when it is no UTF-8."""
    try:
        return b"".join(c.encode("latin-1") if ord(c) < 256 else c.encode("cp1252") for c in piece).decode()
    except UnicodeError:
        return ""


def _characters(text: str) -> Iterator[Finding]:
    """Findings about single characters."""
    garbled = mojibake(text)
    rest = _MOJIBAKE.sub("", text) if garbled else text
    if controls := _CONTROL.findall(rest):
        escapes = len(_ANSI.findall(rest))
        named = f", {escapes} of them terminal escape sequence{'s'[: escapes > 1]} (ANSI)" if escapes else ""
        yield "control", _count("control character", controls) + named

    # Marks of direction are normal beside writing from right to left.
    bidi = _BIDI.findall(text)
    if bidi or not _RIGHT_TO_LEFT.search(text):
        bidi += _BIDI_MARK.findall(text)
    if bidi:
        yield "bidi", _count("character", bidi) + " that turn the direction of writing: what is shown is not what is there"

    if hidden := "".join(_ZERO_WIDTH.findall(text)):
        yield "zero_width", _count("invisible character", list(hidden)) + " inside words"
    if lost := text.count("\ufffd"):
        yield "replacement", f"{lost} replacement character{'s'[: lost > 1]} (U+FFFD), where text was lost in decoding"

    if garbled:
        first = garbled[0]
        yield "mojibake", f"UTF-8 read as Windows-1252 in {len(garbled)} place{'s'[: len(garbled) > 1]}: {first!r} was {_decoded(first)!r}"


def _count(noun: str, characters: list[str]) -> str:
    """As in: 3 control characters (U+0007, U+0008)."""
    codes = ", ".join(f"U+{ord(c):04X}" for c, _ in Counter(characters).most_common(3))
    return f"{len(characters)} {noun}{'s'[: len(characters) > 1]} ({codes})"


def _count_pieces(singular: str, plural: str, pieces: list[str]) -> str:
    """A count and the first piece, kept short."""
    first = pieces[0] if len(pieces[0]) <= 40 else pieces[0][:39] + "…"
    return f"{len(pieces)} {singular if len(pieces) == 1 else plural}: {first!r}"
