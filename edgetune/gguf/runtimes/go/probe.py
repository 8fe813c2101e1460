"""Renders conversations of marked messages, to see what a chat template writes around them and does to their texts."""

from edgetune.data.template import TemplateRefusal
from edgetune.gguf.runtimes.go.forms import FORMS, PROBES, Form
from edgetune.gguf.runtimes.go.reference import Message, Reference, search_term_pairs, search_terms
from edgetune.gguf.runtimes.go.shape import Turn, Unmatched

SYSTEM, REASONING, LATER_SYSTEM = "Qq0sys0qQ", "Qq0why0qQ", "Qq0mid0qQ"
QUESTIONS = tuple(f"Qq0usr{n}0qQ" for n in range(3))
ANSWERS = tuple(f"Qq0ans{n}0qQ" for n in range(2))
"""Marks: a system message, thinking, a later system message, questions and answers."""


def split_at(text: str, *marks: str) -> list[str]:
    """The text before, between and after marks, which must each be there once and in this order."""
    parts = []
    for mark in marks:
        before, separator, text = text.partition(mark)
        if not separator or mark in text:
            raise Unmatched("it leaves messages out, repeats them, or changes their order")
        parts.append(before)
    return [*parts, text]


def common_start(*texts: str) -> str:
    """The longest common beginning."""
    low, high = min(texts), max(texts)
    return low[: next((at for at, char in enumerate(low) if char != high[at]), len(low))]


def without(text: str, start: str = "", end: str = "") -> str:
    """A text less its beginning or end, which must be there."""
    if not text.startswith(start) or not text.endswith(end):
        raise Unmatched("what it writes around a message depends on where in the conversation it is")
    return text[len(start) : len(text) - len(end)]


def message(role: str, content: str, **more: str) -> Message:
    """A message."""
    return {"role": role, "content": content, **more}


def replace_mark(messages: list[Message], mark: str, text: str) -> list[Message]:
    """The messages, with a text in place of the content that is the mark."""
    return [{**message, "content": text} if message["content"] == mark else message for message in messages]


def texts_with(word: str) -> tuple[str, ...]:
    """Texts that hold a word."""
    return (f"a{word}b", f"{word} b", f"a {word}", f"a {word}\n\n b {word}\n c\n", f"\n{word}\n\n d")


class Probe:
    """A template to be probed. off: thinking is turned off. The methods take messages and, of one of them, the mark that is its text."""

    def __init__(self, reference: Reference, off: bool) -> None:
        self.reference = reference.examined()
        self.off = off
        self.terms = search_terms(reference.template.source)
        self.pairs = search_term_pairs(reference.template.source)

    def render(self, *messages: Message) -> str:
        """The text of a conversation. Raises TemplateRefusal."""
        return self.reference.render(list(messages), self.off)

    def allowed(self, *messages: Message) -> str | None:
        """The same, None where the template refuses it."""
        try:
            return self.render(*messages)
        except TemplateRefusal:
            return None

    def form(self, messages: list[Message], mark: str, probes: tuple[str, ...] = PROBES) -> Form:
        """How the marked message's text is stripped; a template may refuse some (empty ones). Raises Unmatched."""
        marked = self.render(*messages)
        written = {probe: self.allowed(*replace_mark(messages, mark, probe)) for probe in probes}
        for form in FORMS:
            if all(text in (None, marked.replace(mark, form.apply(probe))) for probe, text in written.items()):
                return form
        raise Unmatched("it changes a message's text in a way that is not known")

    def odd(self, turn: Turn, messages: list[Message], mark: str) -> list[str]:
        """Words that a message cannot hold without being written otherwise."""
        marked = self.render(*messages)
        return [
            word
            for word in self.terms
            if any(self.allowed(*replace_mark(messages, mark, t)) != marked.replace(mark, turn.form.apply(t)) for t in texts_with(word))
        ]
