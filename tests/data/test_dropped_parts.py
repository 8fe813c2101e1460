"""What a template does not write is counted and told, and a call that it does not write is never learned as an empty answer.

The reference is transformers' apply_chat_template: a part is dropped when its words are nowhere in what that writes.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jinja2
import pytest

from edgetune.bases.tokenizer import BaseTokenizer
from edgetune.data import verdict
from edgetune.data.dropped_parts import dropped_parts
from edgetune.data.formats import Example
from edgetune.data.template import CHATML_TEMPLATE, ChatTemplate
from tests.data.conftest import FAMILIES
from tests.data.test_xray import base, write, xray
from tests.fixtures.datasets import dataset

TOOL = {"type": "function", "function": {"name": "heat", "description": "marktool", "parameters": {"type": "object", "properties": {}}}}
CALL = {"type": "function", "id": "abcdefghi", "function": {"name": "heat", "arguments": {"town": "markcall"}}}
MARKS = {"system": "marksystem", "tools": "marktool", "calls": "markcall", "results": "markresult", "reasoning": "markthought"}


def turns() -> list[dict[str, Any]]:
    return [
        {"role": "system", "content": "marksystem"},
        {"role": "user", "content": "How warm?"},
        {"role": "assistant", "content": "", "reasoning_content": "markthought", "tool_calls": [CALL]},
        {"role": "tool", "content": "markresult", "tool_call_id": "abcdefghi"},
        {"role": "assistant", "content": "Warm."},
    ]


@pytest.mark.parametrize("name", list(FAMILIES))
@pytest.mark.parametrize("start", [0, 1])
def test_what_is_dropped_is_what_transformers_does_not_write(
    name: str, start: int, family: Callable[[str], BaseTokenizer], tmp_path: Path
) -> None:
    from transformers import AutoTokenizer

    tokens = family(name)
    theirs = AutoTokenizer.from_pretrained(tokens.folder)
    messages = turns()[start:]
    dropped = dropped_parts(Example(messages, tools=[TOOL]), tokens.template)
    try:
        seen = [
            theirs.apply_chat_template(messages[: 2 - start], tools=[TOOL], tokenize=False, add_generation_prompt=True),
            theirs.apply_chat_template(messages[: 3 - start], tools=[TOOL], tokenize=False),
            theirs.apply_chat_template(messages[: 4 - start], tools=[TOOL], tokenize=False, add_generation_prompt=True),
        ]
    except jinja2.TemplateError:
        assert dropped == frozenset()  # the row is left out for the refusal
        return
    present = set(MARKS) - ({"system"} if start else set())
    assert dropped - {"names"} == {part for part in present if not any(MARKS[part] in text for text in seen)}


def test_a_result_that_nothing_answers_is_written_too() -> None:
    call = {"type": "function", "function": {"name": "heat", "arguments": {}}}
    example = Example([turns()[1], {"role": "assistant", "content": "One moment.", "tool_calls": [call]}, turns()[3]])
    assert dropped_parts(example, ChatTemplate(CHATML_TEMPLATE + "{# last #}")) == {"calls"}


@dataclass(frozen=True)
class Counted(ChatTemplate):
    """A template that counts how often it renders."""

    renders: list[int] = field(default_factory=list, compare=False)

    def render(self, *words: Any, **more: Any) -> str:
        self.renders.append(1)
        return super().render(*words, **more)


def test_rows_of_the_same_parts_are_looked_at_once() -> None:
    template = Counted(CHATML_TEMPLATE + "{# counted #}")
    for number in range(50):
        example = Example([{**turn, "content": turn["content"] and f"{turn['content']} {number}"} for turn in turns()], tools=[TOOL])
        assert dropped_parts(example, template) == {"calls", "tools", "reasoning"}
    assert len(template.renders) < 30
    plain = Example([{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}])
    count = len(template.renders)
    assert dropped_parts(plain, template) == frozenset() and len(template.renders) == count


def lamp(number: int) -> dict[str, Any]:
    call = {"type": "function", "function": {"name": "switch", "arguments": {"lamp": number}}}
    return {
        "messages": [
            {"role": "user", "content": f"Turn lamp {number} on."},
            {"role": "assistant", "content": "", "tool_calls": [call]},
            {"role": "tool", "content": "done"},
            {"role": "assistant", "content": f"It burns: lamp {number}."},
        ],
        "tools": [{"type": "function", "function": {"name": "switch", "parameters": {}}}],
    }


def test_calls_that_the_template_does_not_write_are_never_learned_as_nothing(tmp_path: Path) -> None:
    path = write(tmp_path / "lamps.jsonl", [lamp(i) for i in range(40)])
    report = xray([path], source=base())
    assert report.rejected_counts == {"calls_dropped": 40} and report.verdict == verdict.DO_NOT_TRAIN
    assert report.tokens["trained_tokens"] == 0 and "Use a base whose chat template writes calls" in report.fix_first

    # On a base that writes them, all is as it was.
    assert xray([path]).rejected == 0


def test_the_calls_of_a_real_dataset_are_counted(tmp_path: Path) -> None:
    path = dataset("glaive_toolcall_en_demo.json")
    rows = json.loads(path.read_text(encoding="utf-8"))
    calling = sum(any(turn["from"] == "function_call" for turn in row["conversations"]) for row in rows)
    offering = sum(row["tools"] not in ("", "[]") and not any(t["from"] == "function_call" for t in row["conversations"]) for row in rows)
    report = xray([path], source=base(), rules=None)
    long = report.rejected_counts.get("too_long", 0)
    assert report.rejected_counts["calls_dropped"] == calling and report.verdict == verdict.DO_NOT_TRAIN
    assert offering - long <= report.problem_counts.get("tools_dropped", 0) <= offering


def test_reasoning_that_is_not_written_is_told_with_what_to_do(tmp_path: Path) -> None:
    rows = [
        {"messages": [{"role": "user", "content": f"q {i}"}, {"role": "assistant", "content": f"a {i}", "reasoning_content": f"hm {i}"}]}
        for i in range(20)
    ]
    report = xray([write(tmp_path / "a.jsonl", rows)], source=base())
    assert report.problem_counts == {"reasoning_dropped": 20} and report.verdict == verdict.GOOD_WITH_WARNINGS
    assert report.reasons == ["20 rows have reasoning that the chat template does not write: it is not learned"]
    assert report.fix_first.startswith("Use a base that reasons, or write the reasoning into the answer as <think>")
