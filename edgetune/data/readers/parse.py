"""From a raw row to an object: the step that worker processes share out."""

import re
from typing import Any

import orjson

from edgetune.data.readers.turn_text import with_turns
from edgetune.data.row import MAX_DEPTH, ParsedRow, RawRow, is_too_deep
from edgetune.text import safe_text

MAX_EXCERPT_CHARACTERS = 2000
"""Characters of an unreadable row that are kept to show it."""
BOM = b"\xef\xbb\xbf"
_CONSTANT = re.compile(r"-?(NaN|Infinity)\b")


def parse(file: str, raw: RawRow) -> ParsedRow:
    """The row, its JSON read. Never raises: what cannot be used has kind and problem set, and its text in `raw`.

    Kinds: encoding, not_json, not_object, nan, too_deep, surrogate, nul, and those that the reader itself gave.
    """
    content = raw.content
    if isinstance(content, bytes):
        try:
            value = orjson.loads(content)
        except orjson.JSONDecodeError as error:
            if content.startswith(BOM):  # files that were joined keep their marks in the middle
                return parse(file, RawRow(raw.line, content[len(BOM) :]))
            kind, problem = decode_problem(content, error)
            return ParsedRow(file, raw.line, {}, problem, kind, excerpt(content))

        # Counting brackets is cheap; only a suspicious row is walked through.
        if content.count(b"[") + content.count(b"{") > MAX_DEPTH and is_too_deep(value):
            return ParsedRow(
                file, raw.line, {}, f"more than {MAX_DEPTH} lists or objects lie inside each other", "too_deep", excerpt(content)
            )

        if type(value) is dict:
            return ParsedRow(file, raw.line, with_turns(value))
        return ParsedRow(file, raw.line, {}, f"expected an object, found {json_type(value)}", "not_object", excerpt(content))

    # What the reader itself could not read, or had parsed already.
    if content is None:
        return ParsedRow(file, raw.line, {}, raw.problem, raw.kind)
    return ParsedRow(file, raw.line, with_turns(content))


def decode_problem(content: bytes, error: orjson.JSONDecodeError) -> tuple[str, str]:
    """Kind and cause, in words, of JSON text that orjson refused."""
    try:
        text = content.decode()
    except UnicodeDecodeError as bad:
        return "encoding", f"byte 0x{content[bad.start]:02x} at offset {bad.start} is not UTF-8"

    # orjson tells its reasons only in words.
    if "depth" in error.msg or "recursion" in error.msg.lower():
        return "too_deep", "more than 1,024 lists or objects lie inside each other"
    if "surrogate" in error.msg:
        return "surrogate", f"half a surrogate pair, which is no text, at character {error.pos + 1}"
    if "infinity" in error.msg:
        return "nan", f"the number at character {error.pos + 1} is too large to be kept"

    # Python and JavaScript write NaN and Infinity, which JSON does not have.
    constant = _CONSTANT.match(text, max(0, error.pos - 1)) or _CONSTANT.match(text, error.pos)
    if constant:
        return "nan", f"{constant[0]} at character {constant.start() + 1} is not JSON (null means 'no value')"
    if "\x00" in text:
        return "nul", f"not JSON: NUL bytes from character {text.index(chr(0)) + 1} on"
    return "not_json", f"not JSON: {error.msg} (character {error.pos + 1})"


def json_type(value: Any) -> str:
    """The JSON word for a value's type."""
    names = {list: "a list", str: "text", bool: "true or false", int: "a number", float: "a number", type(None): "null"}
    return names.get(type(value), type(value).__name__)


def excerpt(content: bytes) -> str:
    """The start of an unreadable row as it may be shown."""
    return safe_text(content[: 4 * MAX_EXCERPT_CHARACTERS].decode("utf-8", "replace"))[:MAX_EXCERPT_CHARACTERS]
