"""Private things in texts, replaced by placeholders: the same thing by the same placeholder throughout."""

from collections import Counter

from edgetune.data.secrets import find_secrets


class Placeholders:
    """Replaces what `find_secrets` finds. `replaced` counts by kind."""

    def __init__(self) -> None:
        self.replaced: Counter[str] = Counter()
        self._names: dict[tuple[str, str], str] = {}
        self._numbers: Counter[str] = Counter()

    def replace(self, text: str) -> str:
        """The text with every private thing as `[kind number]`."""
        hits = find_secrets(text) if text else []
        for kind, start, end in reversed(hits):
            text = text[:start] + self._placeholder(kind, text[start:end]) + text[end:]
            self.replaced[kind] += 1
        return text

    def _placeholder(self, kind: str, value: str) -> str:
        key = (kind, "".join(value.lower().split()))
        if key not in self._names:
            self._numbers[kind] += 1
            self._names[key] = f"[{kind} {self._numbers[kind]}]"
        return self._names[key]
