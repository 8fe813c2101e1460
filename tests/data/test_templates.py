"""For real templates and random conversations: prompts are what chat sends, targets what the template writes, every answer once.

The reference is transformers' own apply_chat_template.
"""

import json
from collections.abc import Callable
from typing import Any

import jinja2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgetune.bases.tokenizer import BaseTokenizer
from edgetune.data.formats import Example, module
from edgetune.data.labels import IGNORE_INDEX
from edgetune.data.render import Rules, TokenizedRow
from edgetune.data.tokenized import tokenize_many
from tests.data.conftest import FAMILIES
from tests.fixtures.datasets import dataset

WIDE = Rules(1 << 20)

words = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"], exclude_characters="<>[]|"), min_size=1, max_size=24).filter(
    str.strip
)
pieces = st.sampled_from(
    [
        "\n",
        "\n\n",
        " ",
        "  ",
        "```\nx = 1\n```",
        "naïve café",
        "北京",
        "🦙",
        "1234567",
        "Don't",
        "\t",
        "def f():\n    return 1",
        "<b>",
        "a|b",
    ]
)
texts = st.lists(words | pieces, min_size=1, max_size=5).map("".join).filter(str.strip)


@st.composite
def conversations(draw: Any) -> list[dict[str, str]]:
    """A system turn or none, then questions and answers in turn; some answers think first, and some conversations end in a question."""
    turns = [{"role": "system", "content": draw(texts)}] if draw(st.booleans()) else []
    for _ in range(draw(st.integers(1, 3))):
        answer = draw(texts)
        if draw(st.integers(0, 3)) == 0:
            answer = f"<think>\n{draw(texts)}\n</think>\n\n{answer}"
        turns += [{"role": "user", "content": draw(texts)}, {"role": "assistant", "content": answer}]
    if draw(st.integers(0, 4)) == 0:
        turns.append({"role": "user", "content": draw(texts)})
    return turns


def stretches(row: TokenizedRow) -> list[tuple[int, int]]:
    """Where a row's trained stretches begin and end."""
    result, start = [], None
    for index, label in enumerate([*row.labels, IGNORE_INDEX]):
        if label != IGNORE_INDEX and start is None:
            start = index
        elif label == IGNORE_INDEX and start is not None:
            result.append((start, index))
            start = None
    return result


def compare(name: str, tokens: BaseTokenizer, theirs: Any, messages: list[dict[str, Any]], tools: list[Any] | None = None) -> bool:
    """Hold what we train on against transformers' rendering; False when the template refuses the conversation."""
    end = FAMILIES[name].end
    rendered = tokenize_many([Example(messages, tools=tools)], tokens, WIDE)[0]
    try:
        answers = []
        for index in (i for i, m in enumerate(messages) if m["role"] == "assistant"):
            prompt = theirs.apply_chat_template(messages[:index], tools=tools, tokenize=False, add_generation_prompt=True)
            whole = theirs.apply_chat_template(messages[: index + 1], tools=tools, tokenize=False)
            if not whole.startswith(prompt):  # Nemo leaves the system text out as soon as an answer follows
                whole = prompt + whole[whole.rindex("[/INST]") + len("[/INST]") :]
            answers.append((prompt, whole[len(prompt) : whole.rindex(end) + len(end)]))
    except jinja2.TemplateError as refusal:
        assert rendered.error and rendered.error.kind in ("template_refuses", "calls_dropped"), (refusal, rendered.error)
        return False
    if rendered.error and rendered.error.kind == "calls_dropped":
        bare = [{key: value for key, value in message.items() if key != "tool_calls"} for message in messages]
        written, without = (theirs.apply_chat_template(one, tools=tools, tokenize=False) for one in (messages, bare))
        assert written == without
        return False
    assert not rendered.error, rendered.error
    trained = [(row, start, stop) for row in rendered.rows for start, stop in stretches(row)]
    assert len(trained) == len(answers)
    for (row, start, stop), (prompt, target) in zip(trained, answers, strict=True):
        assert row.labels[start:stop] == row.ids[start:stop]
        assert row.ids[:start] == tokens.encode(prompt)
        assert tokens.inner.decode(row.ids[start:stop], skip_special_tokens=False).strip() == target.strip()
        assert row.ids[stop - 1] == tokens.specials[end]
    return True


@pytest.mark.parametrize("name", list(FAMILIES))
def test_prompts_and_targets_are_exactly_the_templates(name: str, family: Callable[[str], BaseTokenizer]) -> None:
    from transformers import AutoTokenizer

    tokens = family(name)
    theirs = AutoTokenizer.from_pretrained(tokens.folder)
    seen = 0

    @settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck), database=None, derandomize=True)
    @given(conversations())
    def check(messages: list[dict[str, str]]) -> None:
        nonlocal seen
        seen += compare(name, tokens, theirs, messages)

    check()
    assert seen >= 10


@pytest.mark.parametrize("name", list(FAMILIES))
def test_tool_calls_are_trained_as_the_template_writes_them(name: str, family: Callable[[str], BaseTokenizer]) -> None:
    from transformers import AutoTokenizer

    tokens = family(name)
    theirs = AutoTokenizer.from_pretrained(tokens.folder)
    rows = json.loads(dataset("glaive_toolcall_en_demo.json").read_text(encoding="utf-8"))
    examples = [module("sharegpt").convert(row) for row in rows[:300:10]]
    calls = [e for e in examples if any(m.get("tool_calls") for m in e.messages)]
    assert len(calls) >= 10
    compared = sum(compare(name, tokens, theirs, e.messages, e.tools) for e in examples)
    refusing, dropping = ("gemma2", "nemo"), ("smollm3", "granite3", "phi3.5")  # roles that alternate, call ids of nine letters; no calls
    refused = len(calls) if name in (*refusing, *dropping) else 0
    assert compared == len(examples) - refused
