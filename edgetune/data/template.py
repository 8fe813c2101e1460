"""From messages to the text a model reads: the one function that training and chat both use."""

import datetime
import json
from collections.abc import Container
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

from edgetune.data.typed_marks import GUARD, GUARD_ESCAPE, guard_marks
from edgetune.errors import InputError

PLAIN_TEMPLATE = (
    "{%- for message in messages -%}"
    "{%- if message['role'] == 'system' -%}{{- message['content'] + '\n\n' -}}"
    "{%- elif message['role'] == 'assistant' -%}{{- 'Assistant: ' + message['content'] + eos_token + '\n\n' -}}"
    "{%- else -%}{{- 'User: ' + message['content'] + '\n\n' -}}{%- endif -%}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- 'Assistant:' -}}{%- endif -%}"
)
"""For bases without a template: ordinary text, every answer ended by the base's EOS. The prompt ends before the space, so that the
answer's first token carries it, as in ordinary text."""

CHATML_TOKENS = ("<|im_start|>", "<|im_end|>")
CHATML_TEMPLATE = (
    "{%- for message in messages -%}"
    "{{- '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' -}}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\n' -}}{%- endif -%}"
)
"""For models without a template whose vocabulary has ChatML's marks as tokens that are matched whole."""

MAX_RENDERED_CHARACTERS = 4_000_000
"""Characters a template may write; a template is a program and may run away."""


def default_template(added: Container[str]) -> tuple[str, str]:
    """Name ("chatml" or "plain") and text of the template for a model that brings none, in training and in chat.

    added: the tokens that its vocabulary matches whole.
    """
    return ("chatml", CHATML_TEMPLATE) if all(token in added for token in CHATML_TOKENS) else ("plain", PLAIN_TEMPLATE)


class TemplateRefusal(InputError):
    """The template itself refuses the messages (a system turn, roles that do not alternate …)."""


@cache
def template_environment() -> Any:
    """The sandbox in which chat templates run, made once: what transformers gives templates, and nothing of the machine."""
    from jinja2 import nodes
    from jinja2.ext import Extension
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class Generation(Extension):  # type: ignore[misc,unused-ignore]
        """`{% generation %}` marks what the assistant writes; rendering passes it through."""

        tags = {"generation"}  # noqa: RUF012  (jinja2 declares it so)

        def parse(self, parser: Any) -> Any:
            line = next(parser.stream).lineno
            body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
            return nodes.Scope(body, lineno=line)

    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[Generation, "jinja2.ext.loopcontrols"])
    environment.filters["tojson"] = _to_json
    return environment


def _to_json(value: Any, ensure_ascii: bool = False, indent: int | None = None, separators: Any = None, sort_keys: bool = False) -> str:
    """The filter `tojson` with the arguments that transformers' has (utils/chat_template_utils.py); jinja2's own would escape HTML."""
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def today() -> str:
    """The date a run freezes, ISO format."""
    return datetime.date.today().isoformat()


@dataclass(frozen=True)
class ChatTemplate:
    """A chat template with all it needs to render the same text every time.

    source: Jinja text. bos_token, eos_token: what the template may write. date: the day `strftime_now` tells (ISO). control: special
    tokens that are mere text where a message holds them (typed_marks.py).
    """

    source: str
    bos_token: str = ""
    eos_token: str = ""
    date: str = ""
    control: frozenset[str] = frozenset()

    @cached_property
    def _compiled(self) -> Any:
        from jinja2 import TemplateError

        try:
            return template_environment().from_string(self.source)
        except TemplateError as error:
            raise InputError(
                "The chat template cannot be read", str(error), "Check the model's chat_template.jinja or tokenizer_config.json."
            ) from error

    @cached_property
    def opens(self) -> bool:
        """Whether the text of a conversation begins with a special token."""
        with suppress(TemplateRefusal):
            text = self.render([{"role": "user", "content": "a"}], add_generation_prompt=True)
            return text.startswith(tuple(self.control))
        return False

    def render(
        self,
        messages: list[dict[str, Any]],
        add_generation_prompt: bool = False,
        tools: list[Any] | None = None,
        variables: dict[str, Any] | None = None,
    ) -> str:
        """The text of a conversation; with `add_generation_prompt`, up to where the assistant begins to write.

        variables: what else the template may ask for (`enable_thinking`).
        Raises TemplateRefusal where the template refuses the messages or cannot render them.
        """
        from jinja2 import TemplateError

        def refuse(message: str) -> None:
            raise TemplateRefusal(
                "The chat template refuses these messages", str(message), "Change the rows it names, or use another base."
            )

        def strftime_now(pattern: str) -> str:
            return datetime.date.fromisoformat(self.date or today()).strftime(pattern)

        # What somebody typed must not become a mark of the conversation.
        guarded, guarded_tools = guard_marks(messages, self.control), guard_marks(tools, self.control)

        # Written piece by piece, so that a template that runs away is stopped.
        try:
            parts = []
            size = 0
            for part in self._compiled.generate(
                **(variables or {}),
                messages=guarded,
                add_generation_prompt=add_generation_prompt,
                tools=guarded_tools,
                bos_token=self.bos_token,
                eos_token=self.eos_token,
                raise_exception=refuse,
                strftime_now=strftime_now,
            ):
                parts.append(part)
                size += len(part)
                if size > MAX_RENDERED_CHARACTERS:
                    refuse(f"it wrote more than {MAX_RENDERED_CHARACTERS} characters")
            text = "".join(parts)
            return text if guarded is messages and guarded_tools is tools else text.replace(GUARD_ESCAPE, GUARD)
        except (TemplateError, TypeError, ValueError, LookupError, AttributeError, ArithmeticError, RecursionError, MemoryError) as error:
            raise TemplateRefusal(
                "The chat template cannot render these messages", str(error), "Check the messages' roles and contents."
            ) from error
