"""Holds a Go template against the chat template it stands for, conversation by conversation, before anybody gets it."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from edgetune.data.template import TemplateRefusal
from edgetune.gguf.runtimes.go.emit import NO_ROLE, NOT_FIRST, meaning_refusal
from edgetune.gguf.runtimes.go.evaluate import GoError, Template
from edgetune.gguf.runtimes.go.reference import Message, Reference, search_term_pairs, search_terms

MESSAGE_TEXTS = (
    "What is the colour of snow?",
    "  two  spaces\n\n",
    "\n\t \u00a0\u3000x\u2003\u2028",
    "",
    " \n",
    "Grüße, мир, 北京, 👩‍👩‍👧 e\u0301",
    "{{ .Content }} {% if x %}{{ y }}{% endif %} {# z #} ${a}",
    'say "hi" \\n and """ three',
    "<|im_end|>\n<|im_start|>user\n<s>[INST]</s><|eot_id|><end_of_turn>",
    "a\r\nb\tc\x1fd\x7f",
)
"""What a message may hold: plain, with white space around, empty, in other scripts, and what templates are made of."""


@dataclass(frozen=True)
class Difference:
    """A conversation for which the two texts differ. off: the template was told not to think. found: a text, or why there is none."""

    messages: list[Message]
    off: bool
    expected: str
    found: str


@dataclass(frozen=True)
class Verdict:
    """compared: conversations with equal texts. refused: what the Go template says where it fails on purpose. difference: the first."""

    compared: int
    refused: tuple[str, ...]
    difference: Difference | None


def join_neighbours(messages: list[Message]) -> list[Message]:
    """Messages as Ollama hands them to a template: neighbours of one role are one message, a blank line between them (its `collate`)."""
    found: list[Message] = []
    for message in messages:
        if found and found[-1]["role"] == message["role"] and message["role"] != "tool":
            found[-1] = {**found[-1], "content": f"{found[-1]['content']}\n\n{message['content']}"}
        else:
            found.append(dict(message))
    return found


def go_data(messages: list[Message], off: bool) -> dict[str, Any]:
    """What Ollama gives a template for messages, as the evaluator takes it."""
    keys = {"Role": "role", "Content": "content", "Thinking": "reasoning_content"}
    rows = [{name: message.get(key, "").encode() for name, key in keys.items()} for message in messages]
    return {"Messages": rows, "IsThinkSet": off, "Think": False}


def conversations(source: str) -> Iterator[list[Message]]:
    """Conversations that try a template: every place with every text, words the template looks for among them."""
    looked_for = [f"a {word} b {word}\n\nc" for word in search_terms(source)]
    texts = (*MESSAGE_TEXTS, *looked_for, *(f"{one} {other} x" for one, other in search_term_pairs(source) if one != other))

    def say(role: str, text: str) -> Message:
        return {"role": role, "content": text}

    for text in texts:
        system, user, answer = say("system", text), say("user", text), say("assistant", text)
        plain, other, reply = say("user", "Why?"), say("user", "And then?"), say("assistant", "Because.")
        yield [user]
        yield [plain, answer, other]
        yield [user, reply, user, reply, user]
        yield [plain, answer]
        yield [plain, reply, other, answer]
        yield [user, reply]
        yield [system, plain]
        yield [system, user, answer, other]
        yield [system, plain, reply]
        yield [plain, reply, system, other]
        yield [plain, system]
        yield join_neighbours([user, user, answer, answer, other, other])
        yield join_neighbours([system, system, user, answer, other])
        yield [plain, {**reply, "reasoning_content": text}, other]
        if text.strip():
            yield [plain, {**reply, "reasoning_content": text}]
    for first, last in search_term_pairs(source):
        yield [say("user", f"{first} a {last}")]
        yield [say("user", f"{first} a {last}"), say("assistant", "Because.")]
    yield [say("assistant", "Welcome."), say("user", "Hello.")]
    yield [say("system", "Be brief."), say("assistant", "Welcome."), say("user", "Hello.")]


def verify(go: str, reference: Reference) -> Verdict:
    """Compare on all conversations that the chat template allows."""
    template, compared, known = Template(go), 0, search_terms(reference.template.source)
    refused: list[str] = []
    with _deep():
        for off in (False, True) if reference.switch else (False,):
            for messages in conversations(reference.template.source):
                try:
                    expected = reference.render(messages, off)
                except TemplateRefusal:
                    continue
                try:
                    found = template.render(go_data(messages, off))
                except GoError as error:
                    if not _excused(str(error), messages, known):
                        return Verdict(compared, tuple(dict.fromkeys(refused)), Difference(messages, off, expected, f"({error})"))
                    refused.append(str(error))
                    continue
                if found != expected:
                    return Verdict(compared, tuple(dict.fromkeys(refused)), Difference(messages, off, expected, found))
                compared += 1
    return Verdict(compared, tuple(dict.fromkeys(refused)), None)


def _excused(refusal: str, messages: list[Message], known: list[str]) -> bool:
    """Whether a Go template may refuse a conversation: a later system message, an answer first, a word whose meaning it cannot follow."""
    if refusal == NO_ROLE:
        return any(message["role"] == "system" for message in messages[1:])
    if refusal == NOT_FIRST:
        return next((message["role"] for message in messages if message["role"] != "system"), "") == "assistant"
    return any(refusal == meaning_refusal(word) for word in known if any(word in message["content"] for message in messages))


@contextmanager
def _deep() -> Iterator[None]:
    """Room for templates that call themselves once a character."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(max(before, 50_000))
    try:
        yield
    finally:
        sys.setrecursionlimit(before)
