"""Compares a Go template with the chat template it stands for, conversation by conversation, before anybody gets it."""

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
    """A conversation for which the two texts differ. off: thinking is turned off. actual: a text, or why there is none."""

    messages: list[Message]
    off: bool
    expected: str
    actual: str


@dataclass(frozen=True)
class Verdict:
    """compared: conversations with equal texts. refused: what the Go template says where it fails on purpose. difference: the first."""

    compared: int
    refused: tuple[str, ...]
    difference: Difference | None


def join_neighbours(messages: list[Message]) -> list[Message]:
    """Messages as Ollama hands them to a template: neighbours of one role are one message, a blank line between them (its `collate`)."""
    joined: list[Message] = []
    for message in messages:
        if joined and joined[-1]["role"] == message["role"] and message["role"] != "tool":
            joined[-1] = {**joined[-1], "content": f"{joined[-1]['content']}\n\n{message['content']}"}
        else:
            joined.append(dict(message))
    return joined


def go_data(messages: list[Message], off: bool) -> dict[str, Any]:
    """What Ollama gives a template for messages, in the form that the evaluator reads."""
    keys = {"Role": "role", "Content": "content", "Thinking": "reasoning_content"}
    rows = [{name: message.get(key, "").encode() for name, key in keys.items()} for message in messages]
    return {"Messages": rows, "IsThinkSet": off, "Think": False}


def conversations(source: str) -> Iterator[list[Message]]:
    """Conversations that try a template: every position with every text, words the template looks for among them."""
    with_terms = [f"a {word} b {word}\n\nc" for word in search_terms(source)]
    texts = (*MESSAGE_TEXTS, *with_terms, *(f"{first} {second} x" for first, second in search_term_pairs(source) if first != second))

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
    template = Template(go)
    terms = search_terms(reference.template.source)
    compared = 0
    refused: list[str] = []
    with _deep():
        for off in (False, True) if reference.switch else (False,):
            for messages in conversations(reference.template.source):
                try:
                    expected = reference.render(messages, off)
                except TemplateRefusal:
                    continue
                try:
                    actual = template.render(go_data(messages, off))
                except GoError as error:
                    if not _excused(str(error), messages, terms):
                        return Verdict(compared, tuple(dict.fromkeys(refused)), Difference(messages, off, expected, f"({error})"))
                    refused.append(str(error))
                    continue
                if actual != expected:
                    return Verdict(compared, tuple(dict.fromkeys(refused)), Difference(messages, off, expected, actual))
                compared += 1
    return Verdict(compared, tuple(dict.fromkeys(refused)), None)


def _excused(refusal: str, messages: list[Message], terms: list[str]) -> bool:
    """Whether a Go template may refuse a conversation: a later system message, an answer first, a word whose meaning it cannot follow."""
    if refusal == NO_ROLE:
        return any(message["role"] == "system" for message in messages[1:])
    if refusal == NOT_FIRST:
        return next((message["role"] for message in messages if message["role"] != "system"), "") == "assistant"
    return any(refusal == meaning_refusal(word) for word in terms if any(word in message["content"] for message in messages))


@contextmanager
def _deep() -> Iterator[None]:
    """Room for templates that call themselves once a character."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(max(before, 50_000))
    try:
        yield
    finally:
        sys.setrecursionlimit(before)
