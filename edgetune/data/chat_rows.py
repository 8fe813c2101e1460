"""Which messages of a chat become answers, which their context, and which are left out: rows of examples, with every message counted."""

from collections import Counter, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, Literal

from edgetune.data.chats._chat import Chat, Message

PartChoice = Literal["keep", "strip", "refuse"]
"""What to do with a part of an assistant's messages: keep it in the answers, leave it out of them, or leave out chats that have it."""
PART_CHOICES = ("keep", "strip", "refuse")
GROUPS = ("leave-out", "replies")
REMEMBERED = 5000
"""Messages of a group that an answer may refer back to."""
Row = dict[str, Any]
ChatTurn = tuple[list[Message], Row]
"""(its messages, the turn as it is written)."""


@dataclass(frozen=True)
class Choices:
    """What a person decides about an import.

    me: the name of who answers; "" for the assistant of a chat that has one. pause: minutes without a message after which a new
    conversation begins. longest: characters of a row; a longer conversation becomes several, each with the end of the one before as
    context. groups: chats of more than two people, left out or used where one message answers another. thinking, tools, citations,
    documents: parts of an assistant's messages. system: whether instructions that the person gave the assistant are kept.
    """

    me: str = ""
    pause: float = 60.0
    longest: int = 6000
    groups: str = "leave-out"
    thinking: PartChoice = "strip"
    tools: PartChoice = "strip"
    citations: PartChoice = "strip"
    documents: PartChoice = "strip"
    system: bool = False


@dataclass
class Counts:
    """What became of the messages: read = answers + context + the sum of left_out. people: messages by sender, notices aside."""

    read: int = 0
    answers: int = 0
    context: int = 0
    left_out: Counter[str] = field(default_factory=Counter)
    people: Counter[str] = field(default_factory=Counter)


def _usable(messages: Iterable[Message], counts: Counts) -> Iterator[Message]:
    for message in messages:
        if message.left_out or not message.text.strip():
            counts.left_out[message.left_out or "empty"] += 1
        else:
            yield message


def _sessions(messages: Iterable[Message], pause: float) -> Iterator[Iterator[Message]]:
    """The messages, parted wherever nothing was written for `pause` minutes; each part is read before the next."""
    number = 0
    before: float | None = None

    def session_of(message: Message) -> int:
        nonlocal number, before
        number += before is not None and message.time is not None and message.time - before > pause * 60
        before = message.time
        return number

    for _, session in groupby(messages, session_of):
        yield session


def between_two(messages: Iterable[Message], choices: Choices, counts: Counts) -> Iterator[tuple[str, Row]]:
    """Chats of two people: each conversation between pauses is an example, or several where it is long."""
    for session in _sessions(_usable(messages, counts), choices.pause):
        for row in _examples(_turns_of(session, choices.me), choices.longest, counts, []):
            yield "example", row


def _turns_of(session: Iterator[Message], me: str) -> Iterator[ChatTurn]:
    """Messages of one side in a row as one turn."""
    for mine, spoken in groupby(session, lambda message: message.sender == me):
        together = list(spoken)
        yield together, {"role": "assistant" if mine else "user", "content": "\n".join(m.text.strip() for m in together)}


def _examples(turns: Iterable[ChatTurn], longest: int, counts: Counts, before: list[Row]) -> Iterator[Row]:
    """Rows of whole exchanges: what comes before the first question or after the last answer is left out. before: system turns.

    Reads the turns as it goes, so that a chat of years without a pause needs no memory.
    """
    row: list[list[ChatTurn]] = []
    context: list[Row] = []
    for exchange in _exchanges(turns, counts):
        if row and _size(context, row) + _size([], [exchange]) > longest:
            yield {"messages": [*before, *context, *_written(row)]}
            context = _context(row, longest // 2)
            row = []
        row.append(exchange)
        for messages, written in exchange:
            if written["role"] == "assistant":
                counts.answers += len(messages)
            else:
                counts.context += len(messages)
    if row:
        yield {"messages": [*before, *context, *_written(row)]}


def _exchanges(turns: Iterable[ChatTurn], counts: Counts) -> Iterator[list[ChatTurn]]:
    """Turns from a question to its answer. An exchange ends where a question follows an answer: calls and results stay together."""
    exchange: list[ChatTurn] = []
    for turn in turns:
        role = turn[1]["role"]
        if not exchange and role != "user":
            counts.left_out["nothing before it"] += len(turn[0])
            continue
        if role == "user" and exchange and exchange[-1][1]["role"] != "user":
            yield exchange
            exchange = []
        exchange.append(turn)

    while exchange and exchange[-1][1]["role"] != "assistant":
        counts.left_out["not answered"] += len(exchange.pop()[0])
    if exchange:
        yield exchange


def _written(exchanges: Iterable[list[ChatTurn]]) -> list[Row]:
    return [turn for exchange in exchanges for _, turn in exchange]


def _size(context: Iterable[Row], exchanges: Iterable[list[ChatTurn]]) -> int:
    return sum(len(str(turn.get("content") or "")) for turn in (*context, *_written(exchanges)))


def _context(exchanges: list[list[ChatTurn]], most: int) -> list[Row]:
    """The last exchanges of a row that fit, their answers marked as no longer to be learned."""
    taken: list[list[ChatTurn]] = []
    for exchange in reversed(exchanges):
        if _size([], [exchange, *taken]) > most:
            break
        taken.insert(0, exchange)
    return [{**turn, "weight": 0} if turn["role"] == "assistant" else turn for turn in _written(taken)]


def in_group(messages: Iterable[Message], choices: Choices, counts: Counts) -> Iterator[tuple[str, Row]]:
    """Chats of several people: answers of mine to a message that they refer to, or that addresses me; everything else is left out."""
    recent: deque[tuple[str, Message]] = deque(maxlen=REMEMBERED)
    used: set[str] = set()
    waiting: Message | None = None
    question: Message | None = None
    answer: list[Message] = []

    def finish() -> Iterator[tuple[str, Row]]:
        nonlocal question, answer
        if question is not None and answer:
            turns: list[Row] = [
                {"role": "user", "content": question.text},
                {"role": "assistant", "content": "\n".join(m.text for m in answer)},
            ]
            counts.answers += len(answer)
            if question.key not in used:
                counts.context += 1
                counts.left_out["group chat"] -= 1
                used.add(question.key)
            yield "example", {"messages": turns}
        question, answer = None, []

    for number, message in enumerate(_usable(messages, counts)):
        message.key = message.key or f"#{number}"
        if message.sender != choices.me or choices.groups != "replies":
            yield from finish()
            counts.left_out["group chat"] += 1
            waiting = message if f"@{choices.me}" in message.text or choices.me in message.mentions else waiting
            recent.append((message.key, message))
            continue

        target = next((m for key, m in reversed(recent) if key == message.reply_to), None) if message.reply_to else None
        if target is None and waiting is not None and _close(waiting, message, choices.pause):
            target = waiting
        if target is not None and target.sender != choices.me:
            yield from finish()
            question, answer, waiting = target, [message], None
        elif answer and _close(answer[-1], message, choices.pause):
            answer.append(message)
        else:
            counts.left_out["group chat"] += 1
    yield from finish()
    counts.left_out += Counter()  # drops what is zero


def _close(before: Message, after: Message, pause: float) -> bool:
    return before.time is None or after.time is None or after.time - before.time <= pause * 60


def with_assistant(chat: Chat, messages: list[Message], choices: Choices, counts: Counts) -> Iterator[tuple[str, Row]]:
    """Chats with an assistant, as they were on screen; pairs where it answered more than once, labels where the person rated it."""
    if refused := _refused(messages, choices):
        for message in messages:
            counts.left_out[message.left_out or f"chat with {refused}"] += 1
        return

    before: list[Row] = [{"role": "system", "content": chat.system}] if choices.system and chat.system else []
    turns: list[ChatTurn] = []
    thinking: list[Message] = []
    extra: list[tuple[str, Row]] = []
    for message in messages:
        if message.reasoning and not message.text and not message.left_out and not message.tool_calls and not message.documents:
            if choices.thinking == "keep":
                thinking.append(message)
            else:
                counts.left_out["thinking"] += 1
            continue
        written, reason = _turn(message, choices, "\n\n".join(m.reasoning for m in thinking))
        if written is None:
            counts.left_out[reason] += 1
            continue
        taken = [*thinking, message] if message.role == "assistant" else [message]
        thinking = [] if message.role == "assistant" else thinking
        if message.role == "assistant" and turns:
            extra.extend(_judged(message, [*before, *(turn for _, turn in turns)], written))
        _add(turns, taken, written)
    counts.left_out["thinking"] += len(thinking)
    counts.left_out += Counter()

    for row in _examples(turns, choices.longest, counts, before):
        yield "example", row
    yield from extra


def _refused(messages: list[Message], choices: Choices) -> str:
    """The first part that the person does not want and that a chat has; "" without one."""
    parts = (
        ("thinking", choices.thinking, any(m.reasoning for m in messages)),
        ("tools", choices.tools, any(m.tool_calls for m in messages)),
        ("citations", choices.citations, any(m.citations for m in messages)),
        ("documents", choices.documents, any(m.documents for m in messages)),
    )
    return next((name for name, choice, there in parts if choice == "refuse" and there), "")


def _turn(message: Message, choices: Choices, reasoning: str) -> tuple[Row | None, str]:
    """(a message as a turn, or None; why it is none)."""
    if message.left_out == "tool result" and choices.tools == "keep":
        return {"role": "tool", "content": message.text}, ""
    if message.left_out:
        return None, message.left_out
    text = message.citations if choices.citations == "keep" and message.citations else message.text
    if choices.documents == "keep":
        text = "\n\n".join(part for part in (text, *message.documents) if part.strip())
    turn: Row = {"role": message.role, "content": text}
    if message.tool_calls and choices.tools == "keep":
        turn["tool_calls"] = message.tool_calls
    elif not text.strip():
        return None, "tool call" if message.tool_calls else "document" if message.documents else "empty"
    thoughts = "\n\n".join(part for part in (reasoning, message.reasoning) if part)
    if thoughts and choices.thinking == "keep":
        turn["reasoning_content"] = thoughts
    return turn, ""


def _add(turns: list[ChatTurn], taken: list[Message], written: Row) -> None:
    """Add a turn; neighbours of one role are one turn, unless it calls tools."""
    if turns:
        messages, before = turns[-1]
        if before["role"] == written["role"] != "tool" and not (before.get("tool_calls") or written.get("tool_calls")):
            messages.extend(taken)
            before["content"] = f"{before['content']}\n\n{written['content']}"
            return
    turns.append((taken, dict(written)))


def _judged(message: Message, prompt: list[Row], answer: Row) -> Iterator[tuple[str, Row]]:
    """Pairs of the answer on screen last and each other one; the person's verdict on an answer."""
    prompt = [dict(turn) for turn in prompt]
    if prompt[-1]["role"] != "user" or answer.get("tool_calls"):
        return
    for other in message.others:
        if other.strip() and other.strip() != message.text.strip() and message.rating >= 0:
            yield (
                "pair",
                {
                    "prompt": prompt,
                    "chosen": [{"role": "assistant", "content": message.text}],
                    "rejected": [{"role": "assistant", "content": other}],
                },
            )
    if message.rating:
        yield "label", {"messages": [*prompt, {"role": "assistant", "content": message.text}], "label": message.rating > 0}
