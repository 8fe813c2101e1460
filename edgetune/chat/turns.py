"""How a chat template begins and ends an assistant's turn, found by rendering a probe: no list of families to keep up to date."""

from contextlib import suppress
from dataclasses import dataclass

from edgetune.chat.engine import Engine
from edgetune.data.template import ChatTemplate, TemplateRefusal

QUESTION, ANSWER, REPLY = "probe-question", "probe-answer", "probe-reply"


@dataclass(frozen=True)
class TurnMarks:
    """What surrounds an answer.

    lead: white space the template puts between the generation prompt and the answer (a plain template's "Assistant:" and " Hi").
    stop_ids: the token the template writes after an answer. stops: that text, where no special token ends the turn.
    """

    lead: str
    stop_ids: tuple[int, ...]
    stops: tuple[str, ...]


def turn_marks(template: ChatTemplate, engine: Engine) -> TurnMarks:
    """Find the marks of a template with this model's vocabulary. A template that refuses the probe has none but the model's own."""
    opening = [{"role": "user", "content": QUESTION}]
    answered = [*opening, {"role": "assistant", "content": ANSWER}]
    try:
        prompt, whole = template.render(opening, add_generation_prompt=True), template.render(answered)
    except TemplateRefusal:
        return TurnMarks("", (), ())

    # What surrounds a finished answer in the rendered text.
    before, answer, behind = whole.partition(ANSWER)
    if not answer:
        return TurnMarks("", (), ())
    between = before[len(prompt) :] if before.startswith(prompt) else ""
    lead = between if between.isspace() else ""

    # What surrounds it when another question follows, which is what a turn in the middle looks like.
    following = behind
    with suppress(TemplateRefusal):  # a template for one question and one answer: what it writes at the very end must do
        following = template.render([*answered, {"role": "user", "content": REPLY}]).partition(ANSWER)[2].partition(REPLY)[0] or behind

    # A special token ends the turn, where there is one.
    special = _first_special(following, engine)
    if special is not None:
        return TurnMarks(lead, (special,), ())
    # Plain text ends the turn: what comes after any answer, or else what opens the next question.
    stop = _common_start(behind, following).rstrip() or following.rstrip()
    return TurnMarks(lead, (), (stop,) if stop else ())


def _common_start(one: str, other: str) -> str:
    size = next((at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
    return one[:size]


def _first_special(text: str, engine: Engine) -> int | None:
    """The first token in a text that the tokenizer knows as special; user-defined ones count unless they are mere white space (Gemma's)."""
    for token in engine.describe(engine.tokenize(text)):
        if token.control or token.eog or (token.user_defined and token.data.strip()):
            return token.id
    return None
