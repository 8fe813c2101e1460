"""Keys are declared once, on the screen or widget that has them; footer, palette, help, texts and the user's own keys all read that."""

import re

from textual.binding import Binding
from textual.keys import Keys, key_to_character

from edgetune.errors import InputError

KEY_NAMES = {one.value.rpartition("+")[2] for one in Keys}
"""Names of keys that write no sign."""
SHORT = {"esc": "escape", "return": "enter", "del": "delete", "pgup": "pageup", "pgdn": "pagedown"}
SIGNS = {
    "escape": "Esc",
    "enter": "Enter",
    "question_mark": "?",
    "slash": "/",
    "space": "Space",
    "plus": "+",
    "minus": "-",
    "left_square_bracket": "[",
    "right_square_bracket": "]",
}
NAMED = re.compile(r"\{([a-z]+\.[a-z_0-9]+)\}")
DECLARED: dict[str, str] = {}
"""The keys of every action that was declared so far, by its name."""
OWN: dict[str, str] = {}
"""The user's own, for those that were changed."""
WITH = ("ctrl", "shift", "alt", "super", "meta", "hyper")


def key(name: str, keys: str, action: str, label: str, tip: str = "", show: bool = True, priority: bool = False) -> Binding:
    """A key. name: what settings call it ("home.rename"). label: for the footer. tip: one sentence for help and palette."""
    DECLARED.setdefault(name, keys)
    return Binding(keys, action, label, show=show, tooltip=tip or label, id=name, priority=priority)


def typed(text: str) -> str:
    """Keys as people type them, several with commas between, as Textual names them. Raises InputError naming what is no key."""
    keys = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        *held, last = part.split("+") if len(part) > 1 else [part]
        held = [one.lower() for one in held]
        last = last if len(last) == 1 else SHORT.get(last.lower(), last.lower())
        if not set(held) <= set(WITH) or not (len(last) == 1 or last in KEY_NAMES or key_to_character(last)):
            raise InputError(f"'{part[:40]}' is no key", "A key is a sign or a name.", "Type one such as a, G, f5, enter or ctrl+k.")
        keys.append("+".join([*held, last.lower() if held else last]))
    return ",".join(keys)


def shown_key(keys: str) -> str:
    """A key as people know it."""
    parts = [SIGNS.get(part, part.capitalize() if len(part) > 1 or "+" in keys else part) for part in keys.split("+")]
    return "+".join(parts)


def own(keys: dict[str, str]) -> None:
    """The user's own keys from now on, by name."""
    OWN.clear()
    OWN.update(keys)


def with_keys(text: str) -> str:
    """A text of ours that names keys as "{home.new}", with those that hold now; where no screen declared one yet, what it does."""

    def now(match: re.Match[str]) -> str:
        keys = OWN.get(match[1]) or DECLARED.get(match[1])
        return shown_key(keys.split(",")[0]) if keys else match[1].partition(".")[2]

    return NAMED.sub(now, text)
