"""Finds a chat template's shape by rendering marked conversations: no list of families to keep up to date.

What is found is a hypothesis: `verify` holds the Go template made of it against Jinja before anybody gets it.
"""

from dataclasses import fields, is_dataclass, replace
from typing import Any

from edgetune.data.template import TemplateRefusal
from edgetune.gguf.runtimes.go.forms import FORMS, PROBES, Form
from edgetune.gguf.runtimes.go.probe import A, M, Probe, R, U, around, common, parts, put, turn, without
from edgetune.gguf.runtimes.go.reference import END, Message, Reference
from edgetune.gguf.runtimes.go.shape import Shape, Turn, Unmatched
from edgetune.gguf.runtimes.go.system import find_system


def derive(reference: Reference, off: bool = False) -> Shape:
    """Find a template's shape. off: as it is when told not to think. Raises Unmatched."""
    try:
        return _real(_shape(Probe(reference, off)), reference.template.eos_token)
    except TemplateRefusal as refusal:
        raise Unmatched(f"it refuses an ordinary conversation ({refusal.cause})") from refusal


def _shape(probe: Probe) -> Shape:
    u, a = [turn("user", one) for one in U], [turn("assistant", one) for one in A]
    start, end = parts(probe.render(u[0]), U[0])
    first, question, answer, last = parts(probe.render(u[0], a[0], u[1]), U[0], A[0], U[1])
    if first != start or last != end:
        raise Unmatched("it writes the first turn otherwise when more follow")
    after_user = common(parts(probe.reference.closed([u[0]], probe.off), U[0])[1], question, end)
    before_answer, generation = without(question, after_user), without(end, after_user)
    after_answer = common(parts(probe.reference.closed([u[0], a[0]], probe.off), U[0], A[0])[2], answer)
    before_user = without(answer, after_answer)
    longer = parts(probe.render(u[0], a[0], u[1], a[1], u[2]), U[0], A[0], U[1], A[1], U[2])
    if longer != [start, question, answer, question, answer, end]:
        raise Unmatched("it writes later turns otherwise than earlier ones")
    begun = without(parts(probe.render(u[0], a[0]), U[0], A[0])[1], after_user)
    system, joined = find_system(probe, start, question, answer, end, before_user, after_answer)
    head = start if joined else without(start, end=before_user)
    mid, begun_turn = [u[0], a[0], u[1]], [u[0], a[0]]
    user = _guarded(probe, Turn(before_user, after_user, probe.form(mid, U[1])), mid, U[0])
    history = _cutting(probe, Turn(before_answer, after_answer, probe.form(mid, A[0])), mid, A[0])
    opened = _guarded(probe, Turn(begun, "", probe.form(begun_turn, A[0])), begun_turn, A[0])
    thought = [u[0], turn("assistant", A[0], reasoning_content=R)]
    history = _thinking(probe, history, [*thought, u[1]], after_user)
    opened = _thinking(probe, opened, thought, after_user)
    led = probe.allowed(a[0], u[0]) in (None, _led(head, joined, history, user) + end)
    return Shape(head, joined, generation, user, history, opened, system, _middle(probe, user, history), _wrapped(probe), led)


def _guarded(probe: Probe, found: Turn, messages: list[Message], mark: str) -> Turn:
    return replace(found, guards=tuple(probe.odd(found, messages, mark)))


def _cutting(probe: Probe, found: Turn, messages: list[Message], mark: str) -> Turn:
    """An earlier answer's turn with the word at which its thinking is cut off."""
    marked = probe.render(*messages)
    odd = probe.odd(found, messages, mark)
    for word in odd:
        for form in FORMS:

            def cut(text: str, word: str = word, form: Form = form) -> str:
                return form.apply(text.rpartition(word)[2])

            if all(probe.allowed(*put(messages, mark, t)) == marked.replace(mark, cut(t)) for t in around(word)):
                rest = tuple(one for one in odd if one != word)
                return replace(found, cut=word, cut_form=form, guards=rest)
    return replace(found, guards=tuple(odd))


def _thinking(probe: Probe, found: Turn, messages: list[Message], before: str) -> Turn:
    """A turn with what surrounds its thinking, where the message brings that apart from its text."""
    text = probe.render(*messages)
    if R not in text:
        return found
    lead, middle = parts(text, U[0], R, A[0])[1:3]
    return replace(found, thinking=(without(lead, before), middle, _reasoning_form(probe, messages)))


def _reasoning_form(probe: Probe, messages: list[Message]) -> Form:
    marked = probe.render(*messages)

    def thinking(text: str) -> list[Message]:
        return [{**m, "reasoning_content": text} if "reasoning_content" in m else m for m in messages]

    texts = [text for text in PROBES if text.strip()]
    for form in FORMS:
        if all(probe.render(*thinking(text)) == marked.replace(R, form.apply(text)) for text in texts):
            return form
    raise Unmatched("it changes a message's thinking in a way that is not known")


def _led(head: str, joined: bool, answer: Turn, user: Turn) -> str:
    """What is before the end of a conversation that an answer begins."""
    return head + ("" if joined else answer.before) + A[0] + answer.after + user.before + U[0]


def _middle(probe: Probe, user: Turn, answer: Turn) -> Turn | None:
    """A system message further down, after a question and after an answer."""
    messages = [turn("user", U[0]), turn("system", M), turn("user", U[1])]
    later = [messages[0], turn("assistant", A[0]), *messages[1:]]
    text = probe.allowed(*messages)
    if text is None:
        return None
    bare = probe.render(messages[0], messages[2]) if probe.allowed(messages[0], messages[2]) else None
    if M not in text:
        return Turn(ignored=True) if text == bare else None
    try:
        between, behind = parts(text, U[0], M, U[1])[1:3]
        before, after = without(between, user.after), without(behind, end=user.before)
        start, further = parts(probe.render(messages[0]), U[0])[0], probe.allowed(*later)
        expected = [start, user.after + answer.before, answer.after + before, after + user.before]
        if further is not None and parts(further, U[0], A[0], M, U[1])[:4] != expected:
            return None
        optional = probe.allowed(*put(messages, M, "")) == bare
        form = probe.form(messages, M, PROBES[:-1] if optional else PROBES)
        return Turn(before, after, form, optional=optional)
    except Unmatched:
        return None


def _wrapped(probe: Probe) -> tuple[tuple[str, str], ...]:
    """Pairs of words that make a question between them something else."""
    messages = [turn("user", U[0]), turn("assistant", A[0])]
    marked = probe.render(*messages)
    return tuple(p for p in probe.pairs if probe.allowed(*put(messages, U[0], "x".join(p))) != marked.replace(U[0], "x".join(p)))


def _real(value: Any, eos: str) -> Any:
    """A shape with EOS where it was marked."""
    if isinstance(value, str):
        return value.replace(END, eos)
    if isinstance(value, tuple):
        return tuple(_real(one, eos) for one in value)
    if is_dataclass(value) and not isinstance(value, Form | type):
        return replace(value, **{f.name: _real(getattr(value, f.name), eos) for f in fields(value)})
    return value
