"""What Jinja writes for the messages that Ollama hands to a template: the text that a Go template must give."""

from dataclasses import dataclass, replace
from typing import Any

from edgetune.data.template import ChatTemplate, TemplateRefusal

Message = dict[str, Any]
CUT = "Qq0cut0qQ"
"""Put behind an answer to find what the template writes after it."""
END = "Qq0end0qQ"
"""Stands for EOS while a template is examined, so that it can be told apart from other text."""
ROLES = ("system", "user", "assistant", "tool")


@dataclass(frozen=True)
class Reference:
    """A chat template as a program with llama.cpp's tokenizer uses it.

    adds_bos: the tokenizer puts BOS in front by itself, so that the text must not hold it too. switch: the template can be told
    `enable_thinking=false`.
    """

    template: ChatTemplate
    adds_bos: bool

    @property
    def switch(self) -> bool:
        """Whether the template can be told not to think."""
        return "enable_thinking" in self.template.source

    def examined(self) -> "Reference":
        """The same with EOS written as END."""
        return replace(self, template=replace(self.template, eos_token=END))

    def render(self, messages: list[Message], off: bool = False) -> str:
        """The prompt's text: up to where the assistant begins to write or, where its turn is begun, continues.

        off: thinking is turned off. Raises TemplateRefusal where the template refuses the messages.
        """
        if messages[-1]["role"] != "assistant":
            return self._without_bos(self._text(messages, off, True))
        whole = self._text(messages, off, False)
        marked = self._text([*messages[:-1], {**messages[-1], "content": messages[-1]["content"] + CUT}], off, False)
        _, mark, tail = marked.rpartition(CUT)
        begun = messages[-1]["content"].strip()
        if not mark or not whole.endswith(tail) or begun not in whole:  # as transformers' continue_final_message
            raise TemplateRefusal("The chat template cannot continue an answer", "It rewrites what is begun.", "End with a question.")
        return self._without_bos(whole[: len(whole) - len(tail)])

    def closed(self, messages: list[Message], off: bool = False) -> str:
        """The text of a conversation in which nobody is about to write."""
        return self._without_bos(self._text(messages, off, False))

    def _text(self, messages: list[Message], off: bool, prompt: bool) -> str:
        unguarded = replace(self.template, control=frozenset())  # Ollama reads special tokens in messages as what they name
        return unguarded.render(messages, prompt, variables={"enable_thinking": False} if off else None)

    def _without_bos(self, text: str) -> str:
        return text.removeprefix(self.template.bos_token) if self.adds_bos else text


def search_term_pairs(source: str) -> list[tuple[str, str]]:
    """Pairs of a template's search terms, each with itself too: of the first twelve that are no role's name."""
    terms = [term for term in search_terms(source) if term not in ROLES][:12]
    return [(first, second) for first in terms for second in terms]


def search_terms(source: str) -> list[str]:
    """Texts that a template looks for in its messages, in order of appearance.

    They are the constants of `in`, `==` and of methods like `split` and `startswith`; white space alone is left out.
    """
    from jinja2 import nodes

    from edgetune.data.template import template_environment

    terms: list[str] = []
    tree = template_environment().parse(source)
    for node in tree.find_all((nodes.Compare, nodes.Call)):
        if isinstance(node, nodes.Call):
            inner = node.args if isinstance(node.node, nodes.Getattr) else []
        else:
            inner = [node.expr, *(operand.expr for operand in node.ops)]
        terms += [part.value for part in inner if isinstance(part, nodes.Const) and isinstance(part.value, str)]
    return [word for word in dict.fromkeys(terms) if len(word.strip()) > 1]
