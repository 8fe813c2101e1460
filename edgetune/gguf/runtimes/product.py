"""What every program needs to know about an exported model."""

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from edgetune.bases.tokenizer import BaseTokenizer
from edgetune.chat.model_info import DEFAULT_CONTEXT
from edgetune.chat.sampling import Sampling
from edgetune.chat.turns import QUESTION, answer_frame, end_marks, stop_text
from edgetune.data.template import ChatTemplate, TemplateRefusal
from edgetune.gguf.source import source_tokenizer

if TYPE_CHECKING:
    from edgetune.gguf.source import Source

DATE_CALL = "strftime_now"
SYSTEM = "probe-system"
"""A system message that no template writes by itself."""


@dataclass(frozen=True)
class Layout:
    """What a program's folder holds. gguf: the model's path in it. texts: other files. notes: what a user should know beforehand."""

    gguf: str
    texts: dict[str, str]
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Product:
    """An exported model. context: its longest text in tokens. sampling: chat's defaults."""

    name: str
    template: ChatTemplate
    tokenizer: BaseTokenizer
    context: int
    sampling: Sampling = field(default_factory=Sampling)

    @property
    def window(self) -> int:
        """Context to ask for."""
        return min(self.context, DEFAULT_CONTEXT)

    @property
    def dated(self) -> bool:
        """Whether the template writes today's date."""
        return DATE_CALL in self.template.source

    @property
    def tools(self) -> bool:
        """Whether the template knows tools."""
        return "tools" in self.template.source

    @cached_property
    def stops(self) -> list[str]:
        """What ends an answer: the mark of the turn's end (or the text, where no special token ends it), and the end of all text."""
        frame = answer_frame(self.template)
        marks = end_marks(self.template, self.tokenizer.specials) or [stop_text(frame) if frame else ""]
        return [stop for stop in dict.fromkeys((*marks, self.template.eos_token)) if stop]

    @cached_property
    def default_system(self) -> str:
        """The system message that the template writes by itself where there is none; empty where none gives the same prompt if it is sent.

        Programs that put a system message of their own in front would replace it.
        """
        question = [{"role": "user", "content": QUESTION}]
        try:
            bare = self.template.render(question, True)
            before, probe, after = self.template.render([{"role": "system", "content": SYSTEM}, *question], True).partition(SYSTEM)
            if not probe or len(bare) < len(before) + len(after):
                return ""
            text = bare[len(before) : len(bare) - len(after)]
            same = self.template.render([{"role": "system", "content": text}, *question], True) == bare
        except TemplateRefusal:
            return ""
        return text if same else ""


def describe_product(source: "Source") -> Product:
    """What an export will be. Raises InputError where its tokenizer cannot be read."""
    tokenizer = source_tokenizer(source)
    return Product(source.name, tokenizer.template, tokenizer, source.context)


def with_date_written_out(template: ChatTemplate) -> str | None:
    """The template's source with its date written out, for programs that would write today's; None where that does not hold.

    It holds where every call of `strftime_now` names its pattern and the text then no longer depends on the day.
    """
    import datetime
    import json
    import re
    from dataclasses import replace

    day = datetime.date.fromisoformat(template.date)

    def written(call: re.Match[str]) -> str:
        return json.dumps(day.strftime(call[2]), ensure_ascii=False)

    # On another day the text must be the same: a pattern that is worked out, not written down, would still follow the calendar.
    source = re.sub(DATE_CALL + r"\(\s*(['\"])([^'\"]*)\1\s*\)", written, template.source)
    still = replace(template, source=source, date="2001-02-03")
    try:
        for messages in ([{"role": "user", "content": "a"}], [{"role": "system", "content": "b"}, {"role": "user", "content": "a"}]):
            if still.render(messages, True) != template.render(messages, True):
                return None
    except TemplateRefusal:
        return None
    return source
