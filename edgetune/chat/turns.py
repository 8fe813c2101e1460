"""Where an assistant's turn begins and ends, found by rendering a probe: no list of families to keep up to date.

llama.cpp stops at what `turn_marks` says, other programs' folders name what `answer_frame` and `stop_text` give, and while training the
ids of `turn_end_ids` and `answer_end_ids` count, which come from the text that training rendered.
"""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgetune.chat.engine import Engine
from edgetune.data.labels import IGNORE_INDEX
from edgetune.data.render import answer_ending
from edgetune.data.template import ChatTemplate, TemplateRefusal

if TYPE_CHECKING:
    from edgetune.bases.tokenizer import BaseTokenizer
    from edgetune.data.store import LabelledIds

QUESTION, ANSWER, REPLY = "probe-question", "probe-answer", "probe-reply"
ROWS_EXAMINED = 50
"""Trained rows whose last token is looked at: their answers end alike."""


@dataclass(frozen=True)
class AnswerFrame:
    """What a template writes around an answer.

    lead: white space between the generation prompt and the answer (a plain template's "Assistant:" and " Hi"). at_end: the text after an
    answer that nothing follows. before_question: the text between an answer and the next question.
    """

    lead: str
    at_end: str
    before_question: str


@dataclass(frozen=True)
class TurnMarks:
    """What surrounds an answer, for a model's vocabulary.

    lead: as in AnswerFrame. stop_ids: the token the template writes after an answer. stops: that text, where no special token ends the
    turn.
    """

    lead: str
    stop_ids: tuple[int, ...]
    stops: tuple[str, ...]


def answer_frame(template: ChatTemplate) -> AnswerFrame | None:
    """Find what surrounds an answer; None where the template refuses the probe or leaves the answer out."""
    opening = [{"role": "user", "content": QUESTION}]
    answered = [*opening, {"role": "assistant", "content": ANSWER}]
    try:
        prompt = template.render(opening, add_generation_prompt=True)
        whole = template.render(answered)
    except TemplateRefusal:
        return None

    # What surrounds a finished answer in the rendered text.
    before, answer, at_end = whole.partition(ANSWER)
    if not answer:
        return None
    between = before[len(prompt) :] if before.startswith(prompt) else ""
    lead = between if between.isspace() else ""

    # What surrounds it when another question follows, which is what a turn in the middle looks like.
    before_question = at_end
    with suppress(TemplateRefusal):  # a template for one question and one answer: what it writes at the very end must do
        longer = template.render([*answered, {"role": "user", "content": REPLY}])
        before_question = longer.partition(ANSWER)[2].partition(REPLY)[0] or at_end
    return AnswerFrame(lead, at_end, before_question)


def stop_text(frame: AnswerFrame) -> str:
    """The plain text that ends a turn where no special token does: what comes after any answer, or else what opens the next question."""
    return _common_start(frame.at_end, frame.before_question).rstrip() or frame.before_question.rstrip()


def turn_marks(template: ChatTemplate, engine: Engine) -> TurnMarks:
    """Find the marks of a template with this model's vocabulary. A template that refuses the probe has none but the model's own."""
    frame = answer_frame(template)
    if frame is None:
        return TurnMarks("", (), ())

    # A special token ends the turn, where there is one; else plain text does.
    special = _first_special(frame.before_question, engine)
    if special is not None:
        return TurnMarks(frame.lead, (special,), ())
    stop = stop_text(frame)
    return TurnMarks(frame.lead, (), (stop,) if stop else ())


def end_marks(template: ChatTemplate, specials: Iterable[str]) -> list[str]:
    """The special tokens at which an answer ends: what the template writes after a last one, then what it writes before a question.

    specials: all special tokens. Both are the same for most templates; a template that writes neither has none.
    """
    specials = tuple(mark for mark in specials if mark.strip())
    frame = answer_frame(template)
    marks = [_first_mark(answer_ending(template, specials).tail, specials), _first_mark(frame.before_question if frame else "", specials)]
    return [mark for mark in dict.fromkeys(marks) if mark]


def _first_mark(text: str, specials: tuple[str, ...]) -> str:
    """The special token that a text has first; of those that begin at the same place the longest."""
    return min((mark for mark in specials if mark in text), key=lambda mark: (text.find(mark), -len(mark)), default="")


def turn_end_ids(tokenizer: "BaseTokenizer") -> list[int]:
    """The tokens that end an answer: EOS, and the template's end of turn."""
    marks = end_marks(tokenizer.template, tokenizer.specials)
    return sorted({tokenizer.eos_id, *(tokenizer.specials[mark] for mark in marks)})


def answer_end_ids(rows: Sequence["LabelledIds"], tokenizer: "BaseTokenizer") -> list[int]:
    """The tokens that end an answer: those of `turn_end_ids`, and the special ones that trained answers end with."""
    specials = set(tokenizer.specials.values())
    trained_ends = {ids[-1] for ids, labels in rows[:ROWS_EXAMINED] if labels[-1] != IGNORE_INDEX and ids[-1] in specials}
    return sorted({*turn_end_ids(tokenizer), *trained_ends})


def _common_start(first: str, second: str) -> str:
    differs = (at for at, (a, b) in enumerate(zip(first, second, strict=False)) if a != b)
    return first[: next(differs, min(len(first), len(second)))]


def _first_special(text: str, engine: Engine) -> int | None:
    """The first token in a text that the tokenizer knows as special; user-defined ones count unless they are mere white space (Gemma's)."""
    for token in engine.describe(engine.tokenize(text)):
        if token.control or token.eog or (token.user_defined and token.data.strip()):
            return token.id
    return None
