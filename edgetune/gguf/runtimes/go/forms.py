"""How a chat template changes a text before it writes it: in Python, and as Go's text/template says it.

text/template has no string functions but `slice` and `len`; what strips a text is therefore a template that calls itself with one
character less, and where a value is needed and not only its print, a loop over steps (see `loop`).
"""

from dataclasses import dataclass

SPACES = "".join(
    map(chr, (*range(9, 14), *range(28, 33), 0x85, 0xA0, 0x1680, *range(0x2000, 0x200B), 0x2028, 0x2029, 0x202F, 0x205F, 0x3000))
)
"""What Python's `str.strip` removes, and so Jinja's `trim`."""
PROBES = (
    *(" x ", "\n\nx\n\n", "\tx\r\n", "\u00a0 x\u3000", "\x1f\u2003x\u2028\x85", "\n x \n", "x"),
    *("x  y\n\nz", " ", "\n", "\u2009\n ", ""),
)
"""Texts that tell the forms apart; the last one is empty."""


def quoted(text: str) -> str:
    """A text as a string of Go; everything but plain characters is escaped, since Ollama drops characters that do not print."""
    plain = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"}

    def escaped(char: str) -> str:
        if char in plain:
            return plain[char]
        if char.isprintable():
            return char
        return f"\\x{ord(char):02x}" if ord(char) < 128 else f"\\u{ord(char):04x}" if ord(char) < 2**16 else f"\\U{ord(char):08x}"

    return '"' + "".join(map(escaped, text)) + '"'


@dataclass(frozen=True)
class Form:
    """A way to strip a text. left, right: where. chars: what, SPACES or a line break."""

    left: bool = False
    right: bool = False
    chars: str = SPACES

    def apply(self, text: str) -> str:
        """The text as the template writes it."""
        text = text.lstrip(self.chars) if self.left else text
        return text.rstrip(self.chars) if self.right else text

    @property
    def changes(self) -> bool:
        """Whether it does anything."""
        return self.left or self.right

    @property
    def name(self) -> str:
        """Name of the Go template that prints a text so."""
        side = "strip" if self.left and self.right else "lstrip" if self.left else "rstrip"
        return side if self.chars == SPACES else f"{side}-newline"

    def show(self, value: str) -> str:
        """The Go action that prints a value so."""
        return f'template "{self.name}" {value}' if self.changes else value

    def cases(self, value: str) -> list[tuple[str, str]]:
        """Conditions under which a character is stripped, and what is left then."""
        sizes: dict[int, list[str]] = {}
        for char in self.chars:
            sizes.setdefault(len(char.encode()), []).append(quoted(char))
        cases = []
        for size, chars in sizes.items():
            long = f"ge (len {value}) {size}"
            if self.left:
                cases.append((f"and ({long}) (eq (slice {value} 0 {size}) {' '.join(chars)})", f"slice {value} {size}"))
            if self.right:
                end = f"slice {value} (len (slice {value} {size}))"
                cases.append((f"and ({long}) (eq ({end}) {' '.join(chars)})", f"slice {value} 0 (len (slice {value} {size}))"))
        return cases

    def definition(self) -> str:
        """The Go template of this name."""
        branches = self.cases(".")
        parts = [f'{{{{- define "{self.name}" }}}}']
        for at, (condition, rest) in enumerate(branches):
            parts.append(f'{{{{- {"else " if at else ""}if {condition} }}}}{{{{ template "{self.name}" ({rest}) }}}}')
        parts.append("{{- else }}{{ . }}{{ end }}{{ end }}")
        return "\n".join(parts)


KEEP = Form()
FORMS = (KEEP, *(Form(left, right, chars) for chars in (SPACES, "\n") for left, right in ((True, True), (True, False), (False, True))))


def loop(body: str, too_long: str) -> str:
    """Go actions that repeat `body` while the variable $more is true.

    text/template (before Go 1.24) can only go over a list, and the one list at hand is the messages: sixteen loops in one another
    over at least two messages make 65,536 rounds or more. What is longer is refused by `too_long`.
    """
    depth = 16
    start, end = "{{ range $.Messages }}{{ if $more }}" * depth, "{{ end }}{{ end }}" * depth
    return f"{start}{body}{end}{{{{ if $more }}}}{too_long}{{{{ end }}}}"
