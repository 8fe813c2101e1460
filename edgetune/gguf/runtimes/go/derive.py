"""Finds a chat template's shape by rendering marked conversations: no list of families to keep up to date.

The shape is a hypothesis: `verify` compares the Go template written from it with Jinja before anybody gets it.
"""

from dataclasses import fields, is_dataclass, replace
from typing import Any

from edgetune.data.template import TemplateRefusal
from edgetune.gguf.runtimes.go.forms import FORMS, PROBES, Form
from edgetune.gguf.runtimes.go.probe import (
    ANSWERS,
    LATER_SYSTEM,
    QUESTIONS,
    REASONING,
    Probe,
    common_start,
    message,
    replace_mark,
    split_at,
    texts_with,
    without,
)
from edgetune.gguf.runtimes.go.reference import END, Message, Reference
from edgetune.gguf.runtimes.go.shape import Shape, Turn, Unmatched
from edgetune.gguf.runtimes.go.system import find_system


def derive(reference: Reference, off: bool = False) -> Shape:
    """Find a template's shape. off: with thinking turned off. Raises Unmatched."""
    try:
        return _real(_shape(Probe(reference, off)), reference.template.eos_token)
    except TemplateRefusal as refusal:
        raise Unmatched(f"it refuses an ordinary conversation ({refusal.cause})") from refusal


def _shape(probe: Probe) -> Shape:
    questions = [message("user", mark) for mark in QUESTIONS]
    answers = [message("assistant", mark) for mark in ANSWERS]
    q, a = QUESTIONS, ANSWERS

    # What is written at the beginning, between turns and at the end must not depend on how long the conversation is.
    start, end = split_at(probe.render(questions[0]), q[0])
    first, question, answer, last = split_at(probe.render(questions[0], answers[0], questions[1]), q[0], a[0], q[1])
    if first != start or last != end:
        raise Unmatched("it writes the first turn otherwise when more follow")
    conversation = (questions[0], answers[0], questions[1], answers[1], questions[2])
    longer = split_at(probe.render(*conversation), q[0], a[0], q[1], a[1], q[2])
    if longer != [start, question, answer, question, answer, end]:
        raise Unmatched("it writes later turns otherwise than earlier ones")

    # What stands between two turns is divided: as much as comes after a turn in every case ends it, the rest begins the next.
    closed_question = probe.reference.closed([questions[0]], probe.off)
    closed_answer = probe.reference.closed([questions[0], answers[0]], probe.off)
    after_user = common_start(split_at(closed_question, q[0])[1], question, end)
    before_answer = without(question, after_user)
    generation = without(end, after_user)
    after_answer = common_start(split_at(closed_answer, q[0], a[0])[2], answer)
    before_user = without(answer, after_answer)
    begun = without(split_at(probe.render(questions[0], answers[0]), q[0], a[0])[1], after_user)

    system, joined = find_system(probe, start, question, answer, end, before_user, after_answer)
    head = start if joined else without(start, end=before_user)

    # How each kind of turn changes its message's own text.
    in_middle = [questions[0], answers[0], questions[1]]
    at_end = [questions[0], answers[0]]
    user = _guarded(probe, Turn(before_user, after_user, probe.form(in_middle, q[1])), in_middle, q[0])
    history = _cutting(probe, Turn(before_answer, after_answer, probe.form(in_middle, a[0])), in_middle, a[0])
    opened = _guarded(probe, Turn(begun, "", probe.form(at_end, a[0])), at_end, a[0])

    # Thinking that a message brings apart from its text.
    thought = [questions[0], message("assistant", a[0], reasoning_content=REASONING)]
    history = _thinking(probe, history, [*thought, questions[1]], after_user)
    opened = _thinking(probe, opened, thought, after_user)

    answer_first = probe.allowed(answers[0], questions[0]) in (None, _answer_first(head, joined, history, user) + end)
    middle = _middle(probe, user, history)
    return Shape(head, joined, generation, user, history, opened, system, middle, _wrapped(probe), answer_first)


def _guarded(probe: Probe, turn: Turn, messages: list[Message], mark: str) -> Turn:
    return replace(turn, guards=tuple(probe.odd(turn, messages, mark)))


def _cutting(probe: Probe, turn: Turn, messages: list[Message], mark: str) -> Turn:
    """An earlier answer's turn with the word at which its thinking is cut off."""
    marked = probe.render(*messages)
    odd = probe.odd(turn, messages, mark)
    for word in odd:
        for form in FORMS:

            def cut(text: str, word: str = word, form: Form = form) -> str:
                return form.apply(text.rpartition(word)[2])

            if all(probe.allowed(*replace_mark(messages, mark, t)) == marked.replace(mark, cut(t)) for t in texts_with(word)):
                rest = tuple(other for other in odd if other != word)
                return replace(turn, cut=word, cut_form=form, guards=rest)
    return replace(turn, guards=tuple(odd))


def _thinking(probe: Probe, turn: Turn, messages: list[Message], before: str) -> Turn:
    """A turn with what surrounds its thinking, where the message brings that apart from its text."""
    text = probe.render(*messages)
    if REASONING not in text:
        return turn
    lead, middle = split_at(text, QUESTIONS[0], REASONING, ANSWERS[0])[1:3]
    return replace(turn, thinking=(without(lead, before), middle, _reasoning_form(probe, messages)))


def _reasoning_form(probe: Probe, messages: list[Message]) -> Form:
    marked = probe.render(*messages)

    def thinking(text: str) -> list[Message]:
        return [{**m, "reasoning_content": text} if "reasoning_content" in m else m for m in messages]

    texts = [text for text in PROBES if text.strip()]
    for form in FORMS:
        if all(probe.render(*thinking(text)) == marked.replace(REASONING, form.apply(text)) for text in texts):
            return form
    raise Unmatched("it changes a message's thinking in a way that is not known")


def _answer_first(head: str, joined: bool, answer: Turn, user: Turn) -> str:
    """What a conversation that an answer begins is up to its end."""
    return head + ("" if joined else answer.before) + ANSWERS[0] + answer.after + user.before + QUESTIONS[0]


def _middle(probe: Probe, user: Turn, answer: Turn) -> Turn | None:
    """A system message further down, after a question and after an answer."""
    messages = [message("user", QUESTIONS[0]), message("system", LATER_SYSTEM), message("user", QUESTIONS[1])]
    after_answer = [messages[0], message("assistant", ANSWERS[0]), *messages[1:]]
    text = probe.allowed(*messages)
    if text is None:
        return None
    bare = probe.render(messages[0], messages[2]) if probe.allowed(messages[0], messages[2]) else None
    if LATER_SYSTEM not in text:
        return Turn(ignored=True) if text == bare else None

    # It counts only where it is written the same after a question and after an answer.
    try:
        between, behind = split_at(text, QUESTIONS[0], LATER_SYSTEM, QUESTIONS[1])[1:3]
        before, after = without(between, user.after), without(behind, end=user.before)
        start, further = split_at(probe.render(messages[0]), QUESTIONS[0])[0], probe.allowed(*after_answer)
        expected = [start, user.after + answer.before, answer.after + before, after + user.before]
        if further is not None and split_at(further, QUESTIONS[0], ANSWERS[0], LATER_SYSTEM, QUESTIONS[1])[:4] != expected:
            return None
        optional = probe.allowed(*replace_mark(messages, LATER_SYSTEM, "")) == bare
        form = probe.form(messages, LATER_SYSTEM, PROBES[:-1] if optional else PROBES)
        return Turn(before, after, form, optional=optional)
    except Unmatched:
        return None


def _wrapped(probe: Probe) -> tuple[tuple[str, str], ...]:
    """Pairs of words that make a question between them something else."""
    messages = [message("user", QUESTIONS[0]), message("assistant", ANSWERS[0])]
    marked = probe.render(*messages)
    return tuple(
        p
        for p in probe.pairs
        if probe.allowed(*replace_mark(messages, QUESTIONS[0], "x".join(p))) != marked.replace(QUESTIONS[0], "x".join(p))
    )


def _real(value: Any, eos: str) -> Any:
    """A shape with EOS where it was marked."""
    if isinstance(value, str):
        return value.replace(END, eos)
    if isinstance(value, tuple):
        return tuple(_real(member, eos) for member in value)
    if is_dataclass(value) and not isinstance(value, Form | type):
        return replace(value, **{field.name: _real(getattr(value, field.name), eos) for field in fields(value)})
    return value
