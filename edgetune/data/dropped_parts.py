"""Which parts of a conversation leave no trace in the text that a chat template writes: of them a model sees and learns nothing."""

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

from edgetune.data.formats import Example
from edgetune.data.formats._pairs import Turns
from edgetune.data.template import ChatTemplate, TemplateRefusal

PartsKey = tuple[bool, frozenset[tuple[Any, ...]]]

DROPPED = {
    "tools": "the tools that it offers",
    "results": "the results of tools",
    "reasoning": "the reasoning before an answer",
    "system": "the system turn",
    "names": "the names of tools beside their results",
}
"""Parts without which a row still teaches something, in words. A row whose calls are dropped teaches the wrong thing, and is left out."""


def dropped_parts(example: Example, template: ChatTemplate) -> frozenset[str]:
    """Which of calls, tools, results, reasoning, system and names a conversation or prompt has, and its template does not write.

    Told by rendering it with and without each part, once for every set of parts: a template writes a part or it does not, whatever the
    part says. A conversation that the template refuses has none.
    """
    key = _parts_key(example)
    if not key[0] and not key[1]:
        return frozenset()
    known = _known(template)
    if key not in known:
        try:
            known[key] = frozenset(_dropped(example, template))
        except TemplateRefusal:
            return frozenset()
    return known[key]


@lru_cache(maxsize=16)
def _known(template: ChatTemplate) -> dict[PartsKey, frozenset[str]]:  # noqa: ARG001  (it is what the cache goes by)
    """What is known of a template, by the parts that rows have."""
    return {}


def _parts_key(example: Example) -> PartsKey:
    """Whether there are tools, and the kinds of turns that have more than a question or an answer in them."""
    kinds: set[tuple[Any, ...]] = set()
    for number, turn in enumerate(example.messages):
        role = turn["role"]
        if role == "assistant":
            if "tool_calls" in turn or "reasoning_content" in turn:
                kinds.add(
                    (role, bool(turn["content"]), len(turn.get("tool_calls", ())) > 1, "tool_calls" in turn, "reasoning_content" in turn)
                )
        elif role != "user":
            kinds.add((role, bool(turn["content"]), number == 0, "name" in turn))
    return bool(example.tools), frozenset(kinds)


def _dropped(example: Example, template: ChatTemplate) -> Iterator[str]:
    messages, tools = example.messages, example.tools

    # An answer's own parts: each answer with them must differ from the same without.
    for part, field in (("calls", "tool_calls"), ("reasoning", "reasoning_content")):
        ends = [end for end, turn in enumerate(messages, 1) if field in turn]
        if not all(
            _differ(messages[:end], [*messages[: end - 1], _without(messages[end - 1], field)], tools, tools, template, False)
            for end in ends
        ):
            yield part

    # What stands before answers, or at the end: some prompt must show it. A template may write it only in front of the last question.
    ends = [at for at, turn in enumerate(messages) if turn["role"] == "assistant"]
    prompts = [messages[:at] for at in (*ends, *([len(messages)] if messages[-1]["role"] != "assistant" else []))]

    def shows(change: Callable[[Turns], Turns], other_tools: list[Any] | None = tools) -> bool:
        return any(_differ(prompt, change(prompt), tools, other_tools, template, True) for prompt in prompts)

    if tools and not shows(lambda prompt: prompt, None):
        yield "tools"
    results = [turn for turn in messages if turn["role"] == "tool"]
    if any(turn["content"] for turn in results) and not shows(
        lambda prompt: [turn | {"content": ""} if turn["role"] == "tool" else turn for turn in prompt]
    ):
        yield "results"
    if any("name" in turn for turn in results) and not shows(lambda prompt: [_without(turn, "name") for turn in prompt]):
        yield "names"
    if any(turn["role"] == "system" for turn in messages) and not shows(
        lambda prompt: [turn for turn in prompt if turn["role"] != "system"]
    ):
        yield "system"


def _without(turn: dict[str, Any], field: str) -> dict[str, Any]:
    return {name: value for name, value in turn.items() if name != field}


def _differ(
    turns: Turns, other: Turns, tools: list[Any] | None, other_tools: list[Any] | None, template: ChatTemplate, prompt: bool
) -> bool:
    """Whether a template writes two lists of turns differently; one that it refuses is written differently."""
    text = template.render(turns, add_generation_prompt=prompt, tools=tools)
    try:
        return template.render(other, add_generation_prompt=prompt, tools=other_tools) != text
    except TemplateRefusal:
        return True
