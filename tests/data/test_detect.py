"""The format is told from rows spread over the whole file, with the reason; and what fits nothing is met with a mapping that works."""

import re
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgetune.data.detect import SAMPLE_ROWS, EvenSample, apply_map, check_map, detect_format, parse_map
from edgetune.data.formats import format_order, module
from edgetune.data.row import ParsedRow
from edgetune.errors import InputError

ALPACA = {"instruction": "q", "output": "a"}
CHAT = module("messages").SAMPLE


def rows(*values: dict[str, Any]) -> list[ParsedRow]:
    return [ParsedRow("f.jsonl", number, value) for number, value in enumerate(values, 1)]


def refused(*values: dict[str, Any], requested: str = "auto") -> InputError:
    with pytest.raises(InputError) as caught:
        detect_format(rows(*values), requested)
    return caught.value


@pytest.mark.parametrize("name", format_order())
def test_every_format_is_found_and_explains_itself(name: str) -> None:
    detected = detect_format(rows(*[module(name).SAMPLE] * 1000))
    assert (detected.format, detected.matching, detected.sampled) == (name, 1000, 1000)
    assert detected.reason == f"{module(name).TITLE}: 1,000 of 1,000 sampled rows have {module(name).SHAPE}"
    assert detect_format(rows(module(name).SAMPLE), name).format == name


def test_broken_rows_do_not_hide_the_format() -> None:
    broken = [ParsedRow("f.jsonl", 1, {}, "not JSON", "not_json")] * 50
    detected = detect_format(broken + rows(*[ALPACA] * 85, *[{"x": 1}] * 15))
    assert (detected.format, detected.matching, detected.sampled) == ("alpaca", 85, 100)
    unanswered = rows(*[{"prompt": "q", "chosen": "a", "rejected": "b"}] * 85, *[{"prompt": "q", "chosen": "a", "rejected": None}] * 15)
    assert detect_format(unanswered).format == "pair_strings"
    assert detect_format(rows(*[{"messages": [], "text": ""}] * 15, *[{**CHAT, "text": ""}] * 85)).format == "messages"


def test_a_table_of_two_shapes_is_mixed_although_every_row_has_all_columns() -> None:
    none = {"messages": None, "instruction": None, "output": None}
    error = refused(*[{**none, **ALPACA}] * 40, *[{**none, **CHAT}] * 60)
    assert "mixes" in error.title
    assert "60 of 100 sampled rows have the shape of messages (OpenAI, ChatML), the first at line 41 of f.jsonl" in error.cause
    assert "40 of 100 sampled rows have the shape of Alpaca, the first at line 1 of f.jsonl" in error.cause
    assert detect_format(rows({**none, **ALPACA}, {**none, **CHAT}), "alpaca").matching == 1


def test_too_many_rows_without_a_shape_are_not_passed_over() -> None:
    error = refused(*[ALPACA] * 70, *[{"x": 1}] * 30)
    assert "Too many" in error.title and "line 71" in error.cause and "x (1)" in error.cause and "--format alpaca" in error.remedy


@pytest.mark.parametrize(
    "row",
    [
        {"Question": "q", "Response": "a"},
        {"input": "q", "output": "a"},
        {"user": "q", "assistant": "a"},
        {"query": "q", "reply": "a"},
        {"context": "c", "query": "q", "reply": "a"},
        {"Instruction": "q", "Output": "a"},
        {"INSTRUCTION": "q", "INPUT": "", "OUTPUT": "a"},
        {"userInput": "q", "modelOutput": "a", "id": 7},
        {"System Prompt": "s", "Question": "q", "Answer": "a"},
        {"data": {"question": "q", "answer": "a"}},
        {"prompt": "q", "answer": "a"},
        {"query": "q", "preferred": "a", "worse": "b"},
        {"Content": "long text"},
        {"dialog": CHAT["messages"]},
        {"lines": module("sharegpt").SAMPLE["conversations"]},
    ],
)
def test_a_proposed_mapping_works(row: dict[str, Any]) -> None:
    error = refused(*[row] * 3)
    assert all(f"{column} (" in error.cause for column in row)
    match = re.search(r'--column-map (?:"([^"]*)"|(\S+)):', error.remedy)
    assert match, error.remedy
    mapping = parse_map([match[1] or match[2]])
    check_map(rows(row), mapping)
    mapped = detect_format(rows(apply_map(row, mapping)))
    assert module(mapped.format).convert(apply_map(row, mapping))


@pytest.mark.parametrize(
    "row",
    [
        {"versions": [{"role": "user", "content": [{"type": "text", "text": "q"}]}], "currentlySelected": 0},
        {"input": {"messages": [{"role": "user", "content": "q"}]}, "outcome": "good"},
        {"data": {"question": "q", "answer": 5}},
    ],
)
def test_a_mapping_that_keeps_no_row_is_not_proposed(row: dict[str, Any]) -> None:
    remedy = refused(*[row] * 3).remedy
    assert "Try --column-map" not in remedy and "--column-map instruction=COLUMN,output=COLUMN" in remedy


def test_columns_that_say_nothing_are_shown_with_how_to_map_them() -> None:
    error = refused({"a1": None, "b2": "y" * 10_000}, {"a1": "found\x1b[31m", "b2": ""})
    assert "a1 ('found" in error.cause and "\x1b" not in error.cause and len(error.cause) < 200
    assert "--column-map instruction=COLUMN,output=COLUMN" in error.remedy


def test_a_format_that_is_asked_for_must_fit_a_row() -> None:
    error = refused(ALPACA, requested="sharegpt")
    assert "Found instead: Alpaca: 1 of 1" in error.cause
    assert "Did you mean sharegpt?" in refused(ALPACA, requested="sharegtp").cause
    assert "--column-map" in refused({"Question": "q", "Answer": "a"}, requested="alpaca").remedy
    labelled = {"prompt": "q", "completion": "a", "label": "easy"}
    assert detect_format(rows(labelled)).format == "unpaired"
    assert detect_format(rows(labelled), "prompt_completion").reason == "asked for; 1 of 1 sampled rows fit prompt and completion"


def test_rows_that_cannot_be_read_are_no_format() -> None:
    with pytest.raises(InputError, match="No row") as caught:
        detect_format([ParsedRow("f.jsonl", 3, {}, "not JSON", "not_json")])
    assert "line 3" in caught.value.cause
    with pytest.raises(InputError, match="No row"):
        detect_format([])


@given(st.integers(0, 5000), st.integers(1, 50))
def test_a_sample_is_spread_over_the_stream(length: int, size: int) -> None:
    sample: EvenSample[int] = EvenSample(size)
    for number in range(length):
        sample.add(number)
    items = sample.items
    assert items == sorted(set(items)) and len(items) == min(length, size)
    gaps = [after - before for before, after in pairwise([*items, length])]
    assert not items or (items[0] == 0 and max(gaps) <= 3 * length / size + 2)


def test_a_sample_holds_little_of_a_long_stream() -> None:
    sample: EvenSample[int] = EvenSample()
    for number in range(100_000):
        sample.add(number)
    assert len(sample.items) == SAMPLE_ROWS and len(sample.held) <= 2 * SAMPLE_ROWS and sample.items[-1] > 99_000


def test_a_mapping_renames_columns_and_follows_paths() -> None:
    mapping = parse_map(["instruction=question, output = answers.text.0", "system=data.persona"])
    assert mapping == {"instruction": "question", "output": "answers.text.0", "system": "data.persona"}
    row = {"question": "q", "instruction": "old", "answers": {"text": ["a"]}, "data": {"persona": "s"}, "id": 1}
    before = repr(row)
    assert apply_map(row, mapping) == {
        "instruction": "q",
        "output": "a",
        "system": "s",
        "answers": {"text": ["a"]},
        "data": {"persona": "s"},
        "id": 1,
    }
    assert repr(row) == before
    assert apply_map({"a": 1, "b": 2}, {"a": "b", "b": "a"}) == {"a": 2, "b": 1}
    assert apply_map({"x.y": 1, "x": {"y": 2}}, {"text": "x.y"}) == {"text": 1, "x": {"y": 2}}
    assert apply_map({"other": 1}, mapping) == {"other": 1}


@pytest.mark.parametrize("text", ["question", "=question", "instruction=", "a=b,,c=d", "", "a=b,a=c", "a=b,c=b"])
def test_a_mapping_that_says_nothing_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="--column-map"):
        parse_map([text])


def test_a_mapping_must_name_columns_that_are_there() -> None:
    with pytest.raises(InputError, match="'qestion'") as caught:
        check_map(rows({"question": "q"}, {"other": 1}), {"instruction": "qestion", "output": "other"})
    assert "question ('q')" in caught.value.cause and "Did you mean question?" in caught.value.remedy
