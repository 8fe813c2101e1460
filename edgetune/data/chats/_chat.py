"""A chat as a source's file has it, before anything is decided about training."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

Role = Literal["", "system", "user", "assistant", "tool"]


@dataclass(slots=True)
class Message:
    """One message.

    sender: the name as the source shows it. text: what the person wrote, an edited message as last written; "" where nothing was.
    time: seconds since 1970; a source without a time zone gives its local time as if it were UTC; None where there is none.
    role: in chats with an assistant; "" between people. left_out: why the message cannot be used ("media", "deleted", "notice" …).
    key, reply_to: the message's identity in its chat, and that of the message it answers. mentions: people it is addressed to.
    reasoning: an assistant's thinking. tool_calls: in OpenAI's form, the arguments parsed. documents: pages written beside the text
    (canvas, artifacts). citations: the text with its marks of citations, where it had some.
    others: further finished answers to the same message, which were not on screen last. rating: 1 or -1 by the person, 0 without.
    """

    sender: str
    text: str
    time: float | None = None
    role: Role = ""
    left_out: str = ""
    key: str = ""
    reply_to: str = ""
    mentions: tuple[str, ...] = ()
    reasoning: str = ""
    tool_calls: list[dict[str, Any]] = field(default_factory=list)
    documents: list[str] = field(default_factory=list)
    citations: str = ""
    others: list[str] = field(default_factory=list)
    rating: int = 0


@dataclass(slots=True)
class Chat:
    """A chat: its messages in order, read once. system: what the assistant was told before. owner: who made the export, if known.

    group: whether more than two people may write; None when only the messages show it.
    """

    title: str
    messages: Iterable[Message]
    owner: str = ""
    group: bool | None = None
    system: str = ""


def role_of(word: Any) -> Role:
    """A role as programs call it; "" for none that is known."""
    known: dict[Any, Role] = {
        "user": "user",
        "human": "user",
        "assistant": "assistant",
        "model": "assistant",
        "system": "system",
        "tool": "tool",
    }
    return known.get(word if isinstance(word, str) else "", "")
