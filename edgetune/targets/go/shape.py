"""What surrounds each turn in a chat template, found by rendering marked conversations: no list of families to keep up to date.

What is found is a hypothesis: `verify` holds the Go template made of it against Jinja before anybody gets it.
"""

from collections.abc import Callable
from dataclasses import dataclass

from edgetune.data.template import TemplateRefusal
from edgetune.targets.go.forms import FORMS, KEEP, PROBES, Form
from edgetune.targets.go.reference import CUT, END, Message, Reference, words

S, R, M = "Qq0sys0qQ", "Qq0why0qQ", "Qq0mid0qQ"
U = tuple(f"Qq0usr{n}0qQ" for n in range(3))
A = tuple(f"Qq0ans{n}0qQ" for n in range(2))


class Unmatched(Exception):
    """The template does something that the shape cannot say; the message says what."""


@dataclass(frozen=True)
class Turn:
    """Texts before and behind a message, and how its own text is stripped.

    cut: only what follows the last of this mark counts (thinking that is not shown again), stripped as `cut_form` says. guards: texts
    whose presence the template takes for something else. thinking: what surrounds the message's thinking, where it is written, and how
    that is stripped; `before` does not count then. optional: with no text, the message is left out; ignored: it always is.
    """

    before: str = ""
    after: str = ""
    form: Form = KEEP
    cut: str = ""
    cut_form: Form = KEEP
    guards: tuple[str, ...] = ()
    thinking: tuple[str, str, Form] | None = None
    optional: bool = False
    ignored: bool = False


@dataclass(frozen=True)
class System:
    """A system message at the beginning. place: "front", "last" (in the last question) or "ignored".

    empty: False where an empty one counts as none. switches: texts in it that turn thinking off (True) or on, the first found wins; they
    are taken out. guards: as in Turn.
    """

    place: str
    before: str = ""
    after: str = ""
    form: Form = KEEP
    empty: bool = True
    switches: tuple[tuple[str, bool], ...] = ()
    guards: tuple[str, ...] = ()


@dataclass(frozen=True)
class Shape:
    """A chat template as texts around turns.

    head: at the beginning, where there is no system message. joined: head and system carry what is before the first turn. generation:
    where the assistant begins to write. open: an answer that is begun. middle: a later system message, None where that is refused.
    wrapped: pairs of texts; a question between them is not taken for one.
    """

    head: str
    joined: bool
    generation: str
    user: Turn
    assistant: Turn
    open: Turn
    system: System | None
    middle: Turn | None
    wrapped: tuple[tuple[str, str], ...] = ()


def parts(text: str, *marks: str) -> list[str]:
    """The text before, between and after marks, which must each be there once and in this order."""
    found = []
    for mark in marks:
        before, there, text = text.partition(mark)
        if not there or mark in text:
            raise Unmatched("it leaves messages out, repeats them, or changes their order")
        found.append(before)
    return [*found, text]


def common(*texts: str) -> str:
    """The longest common beginning."""
    low, high = min(texts), max(texts)
    return low[: next((at for at, char in enumerate(low) if char != high[at]), len(low))]


def without(text: str, start: str = "", end: str = "") -> str:
    """A text less its beginning or end, which must be there."""
    if not text.startswith(start) or not text.endswith(end):
        raise Unmatched("what it writes around a message depends on where in the conversation that stands")
    return text[len(start) : len(text) - len(end)]


def turn(role: str, content: str, **more: str) -> Message:
    """A message."""
    return {"role": role, "content": content, **more}


def derive(reference: Reference, off: bool = False) -> Shape:
    """Find a template's shape. off: as it is when told not to think. Raises Unmatched."""
    finder = _Finder(reference, off)
    try:
        return finder.shape()
    except TemplateRefusal as refusal:
        raise Unmatched(f"it refuses an ordinary conversation ({refusal.cause})") from refusal


class _Finder:
    def __init__(self, reference: Reference, off: bool) -> None:
        self._reference, self._off = reference.examined(), off
        self._eos = reference.template.eos_token
        self._words = words(reference.template.source)

    def _render(self, *messages: Message) -> str:
        return self._reference.render(list(messages), self._off)

    def _allowed(self, *messages: Message) -> str | None:
        try:
            return self._render(*messages)
        except TemplateRefusal:
            return None

    def shape(self) -> Shape:
        u, a = [turn("user", one) for one in U], [turn("assistant", one) for one in A]
        start, end = parts(self._render(u[0]), U[0])
        first, question, answer, last = parts(self._render(u[0], a[0], u[1]), U[0], A[0], U[1])
        if first != start or last != end:
            raise Unmatched("it writes the first turn otherwise when more follow")
        after_user = common(parts(self._reference.closed([u[0]], self._off), U[0])[1], question, end)
        before_answer, generation = without(question, after_user), without(end, after_user)
        after_answer = common(parts(self._reference.closed([u[0], a[0]], self._off), U[0], A[0])[2], answer)
        before_user = without(answer, after_answer)
        if parts(self._render(u[0], a[0], u[1], a[1], u[2]), U[0], A[0], U[1], A[1], U[2])[1:] != [question, answer, question, answer, end]:
            raise Unmatched("it writes later turns otherwise than earlier ones")
        begun = without(parts(self._render(u[0], a[0]), U[0], A[0])[1], after_user)
        system, joined = self._system(start, question, answer, end, before_user, after_answer)
        head = start if joined else without(start, end=before_user)

        def form(*messages: Message, mark: str) -> Form:
            return self._form(list(messages), mark)

        user = Turn(before_user, after_user, form(u[0], a[0], u[1], mark=U[1]), guards=())
        history = self._cutting(Turn(before_answer, after_answer, form(u[0], a[0], u[1], mark=A[0])), [u[0], a[0], u[1]], A[0])
        opened = Turn(begun, "", form(u[0], a[0], mark=A[0]))
        opened = self._guarded(opened, [u[0], a[0]], A[0])
        user = self._guarded(user, [u[0], a[0], u[1]], U[0])
        history = self._thinking(history, [u[0], turn("assistant", A[0], reasoning_content=R), u[1]], after_user, after_answer + before_user)
        opened = self._thinking(opened, [u[0], turn("assistant", A[0], reasoning_content=R)], after_user, "")
        shape = Shape(head, joined, generation, user, history, opened, system, self._middle(before_user, after_user), self._wrapped())
        return _with_eos(shape, self._eos)

    def _system(self, start: str, question: str, answer: str, end: str, before: str, after: str) -> tuple[System | None, bool]:
        """How a system message at the beginning is written, and whether what is before the first turn cannot be told from it."""
        s, u, a = turn("system", S), [turn("user", one) for one in U], turn("assistant", A[0])
        joined = not start.endswith(before)
        one, text = self._allowed(s, u[0]), self._allowed(s, u[0], a, u[1])
        if one is None or text is None:
            return None, joined
        if S not in text and S not in one:
            if one != self._render(u[0]) or text != self._render(u[0], a, u[1]):
                raise Unmatched("it writes something for a system message, but not its text")
            return System("ignored"), joined
        if text.find(S) < text.find(U[0]):
            opening, behind, *rest = parts(text, S, U[0], A[0], U[1])
            if rest != [question, answer, end] or parts(one, S, U[0]) != [opening, behind, end]:
                raise Unmatched("with a system message it writes the other turns otherwise")
            joined = joined or not behind.endswith(before)
            system = System("front", opening, behind if joined else without(behind, end=before))
        else:
            first, between, lead, middle, tail = parts(text, U[0], A[0], S, U[1])
            system = System("last", without(lead, after), middle)
            alone = parts(one, S, U[0])
            begun = self._allowed(s, u[0], a)
            if joined or [first, between, tail] != [start, question, end] or begun != self._render(u[0], a):
                raise Unmatched("it puts the system message where Ollama's templates cannot")
            if alone != [start.removesuffix(before) + system.before, middle, end]:
                raise Unmatched("it puts the system message where Ollama's templates cannot")
        return self._system_text(system, [s, u[0], a, u[1]]), joined

    def _system_text(self, system: System, messages: list[Message]) -> System:
        """How the system message's own text is stripped, what an empty one means, and which words in it are taken for something else."""
        bare, marked = self._render(*messages[1:]), self._render(*messages)

        def written(text: str, form: Form, empty: bool) -> str:
            shown = form.apply(text)
            return marked.replace(S, shown) if shown or empty else bare

        options = [(form, empty) for empty in (True, False) for form in FORMS]
        texts = {probe: self._render(turn("system", probe), *messages[1:]) for probe in PROBES}
        found = next((o for o in options if all(texts[probe] == written(probe, *o) for probe in PROBES)), None)
        if found is None:
            raise Unmatched("it changes the system message's text in a way that is not known")
        form, empty = found
        switches, guards = [], []
        for word in self._words:
            if all(self._render(turn("system", t), *messages[1:]) == written(t, form, empty) for t in _around(word)):
                continue
            turned = [off for off in (True, False) if self._reference.switch and self._turns(word, off, form, messages[1:])]
            if turned:
                switches.append((word, turned[0]))
            else:
                guards.append(word)
        if len(switches) == 2:  # which counts when both are there
            both = self._render(turn("system", f"a {switches[1][0]} b {switches[0][0]} c"), *messages[1:])
            if both != self._reference.render([turn("system", form.apply("a  b  c")), *messages[1:]], switches[0][1]):
                switches.reverse()
        return System(system.place, system.before, system.after, form, empty, tuple(switches), tuple(guards))

    def _turns(self, word: str, off: bool, form: Form, following: list[Message]) -> bool:
        """Whether a word in the system message turns thinking off (or on) and is itself left out."""
        return all(
            self._render(turn("system", text), *following)
            == self._reference.render([turn("system", form.apply(text.replace(word, ""))), *following], off)
            for text in _around(word)
        )

    def _form(self, messages: list[Message], mark: str, probes: tuple[str, ...] = PROBES) -> Form:
        marked = self._render(*messages)
        written = {probe: self._render(*_put(messages, mark, probe)) for probe in probes}
        for form in FORMS:
            if all(written[probe] == marked.replace(mark, form.apply(probe)) for probe in probes):
                return form
        raise Unmatched("it changes a message's text in a way that is not known")

    def _odd(self, found: Turn, messages: list[Message], mark: str) -> list[str]:
        """Words that a message cannot hold without being written otherwise."""
        marked = self._render(*messages)
        return [
            word
            for word in self._words
            if any(self._allowed(*_put(messages, mark, t)) != marked.replace(mark, found.form.apply(t)) for t in _around(word))
        ]

    def _guarded(self, found: Turn, messages: list[Message], mark: str) -> Turn:
        return _changed(found, guards=tuple(self._odd(found, messages, mark)))

    def _cutting(self, found: Turn, messages: list[Message], mark: str) -> Turn:
        """An earlier answer's turn with the word at which its thinking is cut off."""
        marked = self._render(*messages)
        odd = self._odd(found, messages, mark)
        for word in odd:
            for form in FORMS:

                def cut(text: str, word: str = word, form: Form = form) -> str:
                    return form.apply(text.rpartition(word)[2])

                if all(self._allowed(*_put(messages, mark, t)) == marked.replace(mark, cut(t)) for t in _around(word)):
                    rest = tuple(one for one in odd if one != word)
                    return _changed(found, cut=word, cut_form=form, guards=rest)
        return _changed(found, guards=tuple(odd))

    def _thinking(self, found: Turn, messages: list[Message], before: str, after: str) -> Turn:
        """A turn with what surrounds its thinking, where the message brings that apart from its text."""
        text = self._render(*messages)
        if R not in text:
            return found
        lead, middle = parts(text, U[0], R, A[0])[1:3]
        lead = without(lead, before)
        form = self._reasoning_form(messages)
        return _changed(found, thinking=(lead, middle, form))

    def _reasoning_form(self, messages: list[Message]) -> Form:
        marked = self._render(*messages)

        def put(text: str) -> list[Message]:
            return [{**m, "reasoning_content": text} if "reasoning_content" in m else m for m in messages]

        probes = [probe for probe in PROBES if probe.strip()]
        for form in FORMS:
            if all(self._render(*put(probe)) == marked.replace(R, form.apply(probe)) for probe in probes):
                return form
        raise Unmatched("it changes a message's thinking in a way that is not known")

    def _middle(self, before_user: str, after_user: str) -> Turn | None:
        """A system message further down."""
        messages = [turn("user", U[0]), turn("system", M), turn("user", U[1])]
        text = self._allowed(*messages)
        if text is None:
            return None
        bare = self._render(messages[0], messages[2]) if self._allowed(messages[0], messages[2]) else None
        if M not in text:
            return Turn(ignored=True) if text == bare else None
        try:
            between, behind = parts(text, U[0], M, U[1])[1:3]
            optional = self._allowed(*_put(messages, M, "")) == bare
            form = self._form(messages, M, PROBES[:-1] if optional else PROBES)
            return Turn(without(between, after_user), without(behind, end=before_user), form, optional=optional)
        except Unmatched:
            return None

    def _wrapped(self) -> tuple[tuple[str, str], ...]:
        """Pairs of words that make a question between them something else."""
        messages = [turn("user", U[0]), turn("assistant", A[0])]
        marked, words = self._render(*messages), self._words[:12]
        pairs = [(one, other) for one in words for other in words]
        return tuple(p for p in pairs if self._render(*_put(messages, U[0], "x".join(p))) != marked.replace(U[0], "x".join(p)))


def _put(messages: list[Message], mark: str, text: str) -> list[Message]:
    return [{**message, "content": text} if message["content"] == mark else message for message in messages]


def _around(word: str) -> tuple[str, ...]:
    """Texts that hold a word."""
    return (f"a{word}b", f"{word} b", f"a {word}", f"a {word}\n\n b {word}\n c\n", f"\n{word}\n\n d")


def _changed(found: Turn, **values: object) -> Turn:
    from dataclasses import replace

    return replace(found, **values)  # type: ignore[arg-type]


def _with_eos(shape: Shape, eos: str) -> Shape:
    """The shape with the real EOS where it was marked."""
    from dataclasses import fields, is_dataclass, replace

    def real(value: object) -> object:
        if isinstance(value, str):
            return value.replace(END, eos)
        if isinstance(value, tuple):
            return tuple(map(real, value))
        if is_dataclass(value) and not isinstance(value, Form | type):
            return replace(value, **{f.name: real(getattr(value, f.name)) for f in fields(value)})
        return value

    return real(shape)  # type: ignore[return-value]
