"""How a chat template writes a system message."""

from edgetune.gguf.runtimes.go.forms import FORMS, PROBES, Form
from edgetune.gguf.runtimes.go.probe import ANSWERS, QUESTIONS, SYSTEM, Probe, message, split_at, texts_with, without
from edgetune.gguf.runtimes.go.reference import Message
from edgetune.gguf.runtimes.go.shape import System, Unmatched


def find_system(probe: Probe, start: str, question: str, answer: str, end: str, before: str, after: str) -> tuple[System | None, bool]:
    """How a system message at the beginning is written, and whether it cannot be told apart from what is before the first turn.

    start, question, answer, end: what stands before, between and after turns without it. before, after: what surrounds a question, and what
    follows an answer. Raises Unmatched.
    """
    s = message("system", SYSTEM)
    u = [message("user", mark) for mark in QUESTIONS]
    a = message("assistant", ANSWERS[0])
    joined = not start.endswith(before)
    single = probe.allowed(s, u[0])
    text = probe.allowed(s, u[0], a, u[1])
    if single is None or text is None:
        return None, joined
    if SYSTEM not in text and SYSTEM not in single:
        if single != probe.render(u[0]) or text != probe.render(u[0], a, u[1]):
            raise Unmatched("it writes something for a system message, but not its text")
        return System("ignored"), joined

    # Before the first question, in a separate turn or in the first question's.
    if text.find(SYSTEM) < text.find(QUESTIONS[0]):
        opening, behind, *rest = split_at(text, SYSTEM, QUESTIONS[0], ANSWERS[0], QUESTIONS[1])
        if rest != [question, answer, end] or split_at(single, SYSTEM, QUESTIONS[0]) != [opening, behind, end]:
            raise Unmatched("with a system message it writes the other turns otherwise")
        joined = joined or not behind.endswith(before)
        system = System("front", opening, behind if joined else without(behind, end=before))
    else:
        first, between, lead, middle, tail = split_at(text, QUESTIONS[0], ANSWERS[0], SYSTEM, QUESTIONS[1])
        system = System("last", without(lead, after), middle)
        alone = split_at(single, SYSTEM, QUESTIONS[0])
        begun = probe.allowed(s, u[0], a)
        if joined or [first, between, tail] != [start, question, end] or begun != probe.render(u[0], a):
            raise Unmatched("it puts the system message where Ollama's templates cannot")
        if alone != [start.removesuffix(before) + system.before, middle, end]:
            raise Unmatched("it puts the system message where Ollama's templates cannot")
    return _text(probe, system, [s, u[0], a, u[1]]), joined


def _text(probe: Probe, system: System, messages: list[Message]) -> System:
    """How the system message's own text is stripped, what an empty one means, and which words in it have another meaning."""
    bare, marked = probe.render(*messages[1:]), probe.render(*messages)

    def written(text: str, form: Form, empty: bool) -> str:
        stripped = form.apply(text)
        return marked.replace(SYSTEM, stripped) if stripped or empty else bare

    options = [(form, empty) for empty in (True, False) for form in FORMS]
    texts = {text: probe.render(message("system", text), *messages[1:]) for text in PROBES}
    match = next((option for option in options if all(texts[text] == written(text, *option) for text in PROBES)), None)
    if match is None:
        raise Unmatched("it changes the system message's text in a way that is not known")
    form, empty = match

    # Words that change more than themselves: some turn thinking on or off, the others are refused.
    switches = []
    guards = []
    for word in probe.terms:
        if all(probe.render(message("system", t), *messages[1:]) == written(t, form, empty) for t in texts_with(word)):
            continue
        turned = [off for off in (True, False) if probe.reference.switch and _turns(probe, word, off, form, messages[1:])]
        if turned:
            switches.append((word, turned[0]))
        else:
            guards.append(word)
    if len(switches) == 2:  # which counts when both are there
        both = probe.render(message("system", f"a {switches[1][0]} b {switches[0][0]} c"), *messages[1:])
        if both != probe.reference.render([message("system", form.apply("a  b  c")), *messages[1:]], switches[0][1]):
            switches.reverse()
    return System(system.position, system.before, system.after, form, empty, tuple(switches), tuple(guards))


def _turns(probe: Probe, word: str, off: bool, form: Form, following: list[Message]) -> bool:
    """Whether a word in the system message turns thinking off (or on) and is itself left out."""
    return all(
        probe.render(message("system", text), *following)
        == probe.reference.render([message("system", form.apply(text.replace(word, ""))), *following], off)
        for text in texts_with(word)
    )
