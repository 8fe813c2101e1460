"""From a conversation to token ids and labels: the prompt exactly as chat sends it, the target exactly as the template writes it."""

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, Literal, Protocol

from edgetune.data.formats import Example
from edgetune.data.labels import IGNORE_INDEX, first_answer_start
from edgetune.data.row import RowError
from edgetune.data.template import ChatTemplate, TemplateRefusal
from edgetune.data.typed_marks import guard_marks

PROBE_TEXT = "edgetune-probe"
MAX_TOKEN_CHARACTERS = 256
"""Characters that no token exceeds; a row of more than so many for each token that fits need not be tokenized to be refused."""


class TextTokenizer(Protocol):
    """What preparing needs of a tokenizer: a base's own, or a loaded GGUF's."""

    @property
    def template(self) -> ChatTemplate:
        """The chat template."""

    @property
    def bos_id(self) -> int | None:
        """The token that begins a text, or None."""

    @property
    def eos_id(self) -> int:
        """The end-of-text token."""

    @property
    def specials(self) -> dict[str, int]:
        """Special tokens and their ids."""

    def encode(self, text: str) -> list[int]:
        """Ids of a prompt, BOS included where the model wants it."""

    def encode_many(self, texts: list[str]) -> list[list[int]]:
        """`encode` for many texts at once."""

    def plain(self, text: str) -> list[int]:
        """Ids of text that continues other text."""

    def decode(self, ids: list[int]) -> str:
        """Text of ids, special tokens left out."""

    def newlines(self, ids: list[int]) -> list[int]:
        """How many line breaks each token writes."""


@dataclass(frozen=True)
class Rules:
    """How conversations become rows.

    max_length: most tokens a row may have. overlong: what happens to longer rows. train_on: which answers of a conversation are trained on.
    """

    max_length: int
    overlong: Literal["drop", "truncate", "split"] = "drop"
    train_on: Literal["all", "last"] = "all"


@dataclass(frozen=True, slots=True)
class TokenizedRow:
    """One row to train on: ids and labels of equal length (IGNORE_INDEX where not trained), and the conversation it came from."""

    ids: list[int]
    labels: list[int]
    example: Example

    @property
    def trained(self) -> int:
        """Number of tokens that are trained on."""
        return len(self.labels) - self.labels.count(IGNORE_INDEX)

    @property
    def prompt(self) -> list[int]:
        """The ids before the first that is trained on."""
        return self.ids[: first_answer_start(self.labels)]


@dataclass(slots=True)
class Rendered:
    """What became of an example: its rows, or the reason why there are none; `lost` answers do not fit and are trained nowhere."""

    rows: list[TokenizedRow] = field(default_factory=list)
    error: RowError | None = None
    shortened: bool = False
    lost: int = 0
    full_length: int = 0


@dataclass(frozen=True, slots=True)
class AnswerSpan:
    """One answer as text: the prompt as chat sends it, and the same through the answer's end of turn.

    upto: the number of messages it takes in. trained: false for answers that only lead up to others.
    """

    prompt: str
    whole: str
    upto: int
    trained: bool = True


@dataclass(frozen=True)
class AnswerEnding:
    """How a template ends an answer.

    tail: all that it writes after a last answer. end: that through the first special token, which is the end of the turn; empty when
    plain text follows.
    """

    tail: str
    end: str


@lru_cache(maxsize=16)
def answer_ending(template: ChatTemplate, specials: tuple[str, ...]) -> AnswerEnding:
    """The marks of a template, found by rendering a probe; none where the template refuses it."""
    messages = [{"role": "user", "content": PROBE_TEXT}, {"role": "assistant", "content": PROBE_TEXT}]
    try:
        tail = template.render(messages).rpartition(PROBE_TEXT)[2]
    except TemplateRefusal:
        tail = ""
    return AnswerEnding(tail, end_of_turn(tail, specials))


def end_of_turn(tail: str, specials: Iterable[str]) -> str:
    """What ends an answer: the template's text after it, through the first special token; the rest belongs to the next turn."""
    ends = [tail.index(mark) + len(mark) for mark in specials if mark in tail]
    return tail[: min(ends)] if ends else ""


def answer_spans(messages: list[dict[str, Any]], tools: list[Any] | None, tokenizer: TextTokenizer, train_on: str) -> list[AnswerSpan]:
    """The answers of a conversation that are trained on. Raises RowError: template_refuses, prompt_not_prefix,
    calls_dropped."""
    template = tokenizer.template
    messages = guard_marks(messages, template.control)
    specials = tuple(tokenizer.specials)
    ending = answer_ending(template, specials)
    answers = [i for i, message in enumerate(messages) if message["role"] == "assistant"]
    result = []

    for index in answers if train_on == "all" else answers[-1:]:
        try:
            prompt = template.render(messages[:index], add_generation_prompt=True, tools=tools)
            whole = template.render(messages[: index + 1], tools=tools)
        except TemplateRefusal as error:
            raise RowError("template_refuses", f"the chat template refuses it: {error.cause}") from None

        # Some templates move earlier text once an answer is there.
        if not whole.startswith(prompt):
            whole = prompt + _written(prompt, whole, messages[: index + 1], tools, template)

        message = messages[index]
        whole = through_end(prompt, whole, message, ending, specials)
        if not whole[len(prompt) :].removesuffix(ending.end).strip():
            raise RowError("calls_dropped", "the chat template writes nothing of an answer that is only a call of a tool")
        result.append(AnswerSpan(prompt, whole, index + 1, message.get("train") is not False))
    return result


def _written(prompt: str, whole: str, messages: list[dict[str, Any]], tools: list[Any] | None, template: ChatTemplate) -> str:
    """What a template writes for the last answer where its text before that answer differs from the prompt (Nemo moves the system text).

    A probe in the answer's place shows where the answer begins; from the last question's text on, both must open the answer alike.
    Raises RowError prompt_not_prefix.
    """
    with suppress(TemplateRefusal):
        probed = template.render([*messages[:-1], {"role": "assistant", "content": PROBE_TEXT}], tools=tools)
        before, separator, _ = probed.partition(PROBE_TEXT)
        asked = str(messages[-2].get("content") or "").strip()
        opening = before.rpartition(asked)[2] if asked else ""
        if separator and whole.startswith(before) and opening and prompt.endswith(opening):
            return whole[len(before) :]
    raise RowError(
        "prompt_not_prefix", "the template writes the answer differently from how a prompt ends, so chat would not match training"
    )


def through_end(prompt: str, whole: str, message: dict[str, Any], ending: AnswerEnding, specials: tuple[str, ...]) -> str:
    """A rendered conversation cut off behind its last answer's end of turn."""
    if ending.tail and whole.endswith(ending.tail) and len(whole) - len(ending.tail) >= len(prompt):
        body = whole[: len(whole) - len(ending.tail)]
        return body + ending.end if ending.end else body.rstrip()

    # The template writes something else behind this answer: look for the end behind the answer's own text.
    written = whole[len(prompt) :]
    content = str(message.get("content") or "").strip()
    at = written.rfind(content) + len(content) if content and content in written else 0
    end = end_of_turn(written[at:], specials)
    return prompt + written[:at] + end if end else whole.rstrip()


def assemble_rows(
    example: Example, plan: list[AnswerSpan], encoded: list[tuple[list[int], list[int]]], tokenizer: TextTokenizer
) -> list[TokenizedRow]:
    """Rows of a conversation. Turns share a row where each prompt continues the last answer; otherwise one row an answer."""
    ends = set(tokenizer.specials.values())
    result: list[TokenizedRow] = []

    for span, (before, ids) in zip(plan, encoded, strict=True):
        if ids[: len(before)] != before:  # the tokenizer joins the prompt's end and the answer's start: chat never sees that token
            ids = before + tokenizer.plain(span.whole[len(span.prompt) :])

        # Every answer must teach where it ends.
        if ids[-1] not in ends:
            ids = [*ids, tokenizer.eos_id]
        labels = [IGNORE_INDEX] * len(before) + (ids[len(before) :] if span.trained else [IGNORE_INDEX] * (len(ids) - len(before)))

        # An answer whose prompt continues the last row extends that row; else it begins its own.
        last = result[-1] if result else None
        part = example if span.upto == len(example.messages) else replace(example, messages=example.messages[: span.upto])
        if last and len(last.ids) <= len(before) and ids[: len(last.ids)] == last.ids:
            labels[: len(last.ids)] = last.labels
            result[-1] = TokenizedRow(ids, labels, part)
        else:
            result.append(TokenizedRow(ids, labels, part))
    return [row for row in result if row.trained] or result[:1]


def token_pieces(example: Example, tokenizer: TextTokenizer, length: int) -> list[TokenizedRow]:
    """A document's pieces of at most `length` tokens, cut at paragraphs where one ends in a piece's second half; EOS after the last."""
    ids = [*tokenizer.encode(example.text), *([] if example.continues else [tokenizer.eos_id])]
    cuts = [0]
    breaks = _paragraph_ends(tokenizer.newlines(ids)) if len(ids) > length else []

    while len(ids) - cuts[-1] > length:
        inside = [end for end in breaks if cuts[-1] + length // 2 < end <= cuts[-1] + length]
        cuts.append(inside[-1] if inside else cuts[-1] + length)

    parts = [ids[start:end] for start, end in zip(cuts, [*cuts[1:], len(ids)], strict=True)]
    return [TokenizedRow(part, list(part), Example(text=tokenizer.decode(part), kind="text")) for part in parts if len(part) > 1]


def _paragraph_ends(newlines: list[int]) -> list[int]:
    """Numbers of the tokens that begin a paragraph: those behind at least two line breaks in a row."""
    result = []
    run = 0
    for index, count in enumerate(newlines):
        if count == 0 and run >= 2:
            result.append(index)
        run = run + count if count else 0
    return result
