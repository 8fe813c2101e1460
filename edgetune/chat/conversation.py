"""A conversation with a model: its messages, rendered as training rendered them, kept within the context window."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

from edgetune.chat.engine import Engine, Generation
from edgetune.chat.model_info import GenerationStats
from edgetune.chat.sampling import Sampling
from edgetune.chat.turns import turn_marks
from edgetune.data.template import PLAIN_TEMPLATE, ChatTemplate, TemplateRefusal
from edgetune.data.typed_marks import without_guards
from edgetune.errors import InputError

DEFAULT_TOKENS = 512
"""Longest answer unless asked otherwise; at most half the context."""
Message = dict[str, Any]


class Answer:
    """An answer while it is being written: iterate to get its text. At the end, or when the loop is left, it joins the conversation.

    rendered: the prompt's text. dropped: turns left out of the window for it.
    """

    def __init__(self, generation: Generation, rendered: str, lead: str, dropped: int, keep: Callable[[str], None]) -> None:
        self._generation, self._lead, self._keep = generation, lead, keep
        self.rendered, self.dropped = without_guards(rendered), dropped
        self.text = ""

    @property
    def stats(self) -> GenerationStats | None:
        """How it went, once it has ended."""
        return self._generation.stats

    @property
    def tokens(self) -> list[int]:
        """Ids of the tokens written so far."""
        return self._generation.tokens

    def cancel(self) -> None:
        """Ask to stop; the loop then ends by itself."""
        self._generation.cancel()

    def __iter__(self) -> Iterator[str]:
        try:
            for chunk in without_lead(self._generation, self._lead):
                self.text += chunk
                yield chunk
        finally:
            self._keep(self.text)


class Conversation:
    """Messages and the way they reach the model.

    engine: the loaded model. system: an optional system message. notice: called with what a person should know
    (no template in the file, turns dropped from the window).
    """

    def __init__(self, engine: Engine, *, system: str | None = None, notice: Callable[[str], None] = lambda _text: None) -> None:
        self.engine, self._notice = engine, notice
        self.template = model_template(engine, notice)
        self.marks = turn_marks(self.template, engine)
        self.system = system
        self.messages: list[Message] = []

    def reset(self) -> None:
        """Forget all messages but the system's."""
        self.messages.clear()

    def take_back(self) -> str | None:
        """Forget the last question with its answer; the question, or None where there is none."""
        last = next((at for at in reversed(range(len(self.messages))) if self.messages[at]["role"] == "user"), None)
        if last is None:
            return None
        text = str(self.messages[last]["content"])
        del self.messages[last:]
        return text

    def ask(self, text: str, *, sampling: Sampling | None = None, max_tokens: int | None = None) -> Answer:
        """Put a question and begin the answer, which may have `max_tokens` tokens (None: 512, at most half the context).

        Raises InputError when the question alone does not fit, or the template refuses it; the conversation is then as before.
        """
        room = self.engine.info.n_ctx
        reserved = max_tokens if max_tokens is not None else min(DEFAULT_TOKENS, room // 2)
        if reserved >= room:
            raise InputError(
                "No room is left for the question",
                f"max-tokens is {reserved}; the context holds {room} tokens in all.",
                "Ask for fewer tokens (--max-tokens) or a longer context (--ctx).",
            )

        # The oldest turns give way where the context is full.
        messages, rendered, tokens = self._fitted([*self.messages, {"role": "user", "content": text}], room - reserved)
        dropped = _turns(self.messages) + 1 - _turns(messages)
        if dropped:
            which = f"oldest {dropped} turns are" if dropped > 1 else "oldest turn is"
            self._notice(f"The context of {room} tokens is full: the {which} dropped: the model no longer sees them.")

        # Only now is the question part of the conversation: before, it could still be refused.
        generation = self.engine.generate(
            tokens, max_tokens=reserved, sampling=sampling, stops=self.marks.stops, stop_ids=self.marks.stop_ids
        )
        self.messages = messages
        return Answer(generation, rendered, self.marks.lead, dropped, self._keep)

    def _keep(self, answer: str) -> None:
        self.messages.append({"role": "assistant", "content": answer})

    def _fitted(self, messages: list[Message], most: int) -> tuple[list[Message], str, list[int]]:
        """The newest turns whose prompt has at most `most` tokens, with its text and ids."""
        first = [{"role": "system", "content": self.system}] if self.system else []
        starts = [index for index, message in enumerate(messages) if message["role"] == "user"]
        tokens: list[int] = []
        for start in starts:
            kept = messages[start:]
            rendered = self._rendered(first, kept)
            tokens = self.engine.prompt_tokens(rendered)
            if len(tokens) <= most:
                return kept, rendered, tokens
        context = self.engine.info.n_ctx
        raise InputError(
            "The message is too long for the context",
            f"With the chat template it has {len(tokens)} tokens; {most} fit next to the answer in a context of {context}.",
            "Shorten it, ask for a shorter answer (--max-tokens), or for a longer context (--ctx).",
        )

    def _rendered(self, first: list[Message], kept: list[Message]) -> str:
        """The prompt of these turns. Raises InputError where the template refuses them, and says so where the system message is why."""
        try:
            return self.template.render([*first, *kept], add_generation_prompt=True)
        except TemplateRefusal as refusal:
            with suppress(TemplateRefusal):
                if first and self.template.render(kept, add_generation_prompt=True):
                    raise InputError(
                        "This model takes no system message",
                        f"Its chat template refuses one: {refusal.cause}",
                        "Put its words in front of the first question, or go without it: leave out --system, or type /system in the chat.",
                    ) from refusal
            raise InputError(
                "The chat template refuses this conversation", refusal.cause, "Begin again (/reset), or chat with another model."
            ) from refusal


def _turns(messages: list[Message]) -> int:
    return sum(message["role"] == "user" for message in messages)


def model_template(engine: Engine, notice: Callable[[str], None]) -> ChatTemplate:
    """The template a GGUF carries with the date its training froze, or the one its vocabulary calls for, with a notice."""
    info = engine.info
    template = info.chat_template(info.metadata.get("edgetune.template_date", ""))
    if not info.template:
        plain = template.source == PLAIN_TEMPLATE
        used = 'plain text is used ("User: …", "Assistant: …")' if plain else "ChatML is used, whose marks its vocabulary has"
        notice(f"This file has no chat template: {used}.")
    return template


def complete(engine: Engine, text: str, *, sampling: Sampling | None = None, max_tokens: int | None = None) -> Answer:
    """Continue a text as it is, with no template; an empty one starts from BOS. The answer ends at the latest where the context does."""
    # SentencePiece writes a text's first word with a space in front that the text itself does not have.
    lead = " " if not text and engine.info.space_prefix else ""
    most = max_tokens if max_tokens is not None else min(DEFAULT_TOKENS, engine.info.n_ctx // 2)
    generation = engine.generate(engine.prompt_tokens(text), max_tokens=most, sampling=sampling)
    return Answer(generation, text, lead, 0, lambda _text: None)


def without_lead(chunks: Iterator[str] | Generation, lead: str) -> Iterator[str]:
    """Chunks of text without `lead` in front, where the text begins with it; nothing else changes."""
    held: str | None = ""
    for chunk in chunks:
        if held is None:
            yield chunk
            continue
        held += chunk
        if len(held) >= len(lead) or not lead.startswith(held):
            text, held = held.removeprefix(lead), None
            if text:
                yield text
    if held:
        yield held
