"""Every shape is recognised and converted, and every row that cannot be used says why, with a kind to count it by."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgetune.data.formats import Example, format_order, module
from edgetune.data.formats.pair_whole import boundary
from edgetune.data.read import read_rows
from edgetune.data.row import RowError
from tests.fixtures.datasets import dataset

Row = dict[str, Any]
Turns = list[Row]


def turn(role: str, content: Any, **more: Any) -> Row:
    return {"role": role, "content": content, **more}


Q, A, B = turn("user", "q"), turn("assistant", "a"), turn("assistant", "b")
S = turn("system", "s")
CHAT = Example([Q, A])
PAIR = Example([Q], kind="preference", pairs=[([A], [B])])
HH = "\n\nHuman: q\n\nAssistant: "
CALL = {"type": "function", "function": {"name": "f", "arguments": {"x": 1}}}
TOOL = {"type": "function", "function": {"name": "f", "parameters": {}}}
CALLED = Example([Q, turn("assistant", "", tool_calls=[CALL]), turn("tool", "1"), A], tools=[TOOL])


def parts(*texts: str, key: str = "text") -> Turns:
    return [{"type": "text", key: text} for text in texts]


FLAGS = ("weight", "loss_weight", "loss", "loss_mask", "train", "trainable", "training")
MASKS: list[Row] = [
    *({key: no} for key in FLAGS for no in (0, False)),
    {"loss": "false"},
    {"mask": True},
    {"masked": "true"},
    {"loss": True, "train": False},
]
NO_MASKS: list[Row] = [{"loss": True}, {"loss": None}, {"mask": False}, {"mask": 1}, {"mask": 0}, {"weight": 0.5}, {"train": "1"}]

VARIANTS: list[tuple[str, Row, Example]] = [
    (
        "ranking",
        {"prompt": "q", "answers": [{"answer": "c", "rank": 3}, {"answer": "b", "rank": 2}, {"answer": "a", "rank": 1}]},
        Example([Q], kind="preference", pairs=[([A], [B]), ([A], [turn("assistant", "c")]), ([B], [turn("assistant", "c")])]),
    ),
    (
        "ranking",
        {"prompt": [S, Q], "answers": [{"answer": "b", "rank": 2}, {"answer": "a", "rank": 1}, {"answer": "c", "rank": 2}]},
        Example([S, Q], kind="preference", pairs=[([A], [B]), ([A], [turn("assistant", "c")])]),
    ),
    (
        "pair_messages",
        {
            "chosen_messages": [turn("user", parts("q", key="value")), turn("assistant", parts("a", key="value"))],
            "rejected_messages": [turn("user", parts("q", key="value")), turn("assistant", parts("b", key="value"))],
        },
        PAIR,
    ),
    ("pair_preferred", {"input": {"messages": [Q]}, "preferred_output": [A], "non_preferred_output": [B]}, PAIR),
    ("pair_preferred", {"input": [Q], "preferred_output": [A], "non_preferred_output": [B]}, PAIR),
    (
        "pair_preferred",
        {"input": {"messages": [S, Q], "tools": [TOOL]}, "preferred_output": [A], "non_preferred_output": [B]},
        Example([S, Q], tools=[TOOL], kind="preference", pairs=PAIR.pairs),
    ),
    ("pair_lists", {"prompt": [Q], "chosen": [A], "rejected": [B]}, PAIR),
    ("pair_lists", {"prompt": "q", "chosen": [A], "rejected": [B]}, PAIR),
    ("pair_lists", {"prompt": "q", "chosen": [Q, A], "rejected": [Q, B], "messages": [Q, A]}, PAIR),
    (
        "pair_lists",
        {"prompt": "q", "system": "s", "chosen": [Q, A], "rejected": [Q, B]},
        Example([S, Q], kind="preference", pairs=PAIR.pairs),
    ),
    ("pair_lists", {"chosen": [Q, A], "rejected": [Q, B], "chosen_score": 1.0}, PAIR),
    ("pair_lists", {"messages": [Q], "chosen": [A], "rejected": [B]}, PAIR),
    ("pair_lists", {"question": "q", "chosen_response": [A], "rejected_response": [B]}, PAIR),
    (
        "pair_lists",
        {"chosen": [S, Q, A, Q, A], "rejected": [S, Q, A, Q, B]},
        Example([S, Q, A, Q], kind="preference", pairs=PAIR.pairs),
    ),
    (
        "pair_lists",
        {"chosen": [Q, A, turn("user", "x"), B], "rejected": [Q, A, turn("user", "y"), B]},
        Example([Q], kind="preference", pairs=[([A, turn("user", "x"), B], [A, turn("user", "y"), B])]),
    ),
    (
        "pair_lists",
        {"prompt": [Q], "chosen": [A, turn("user", "x"), A], "rejected": [A, turn("user", "x"), B]},
        Example([Q, A, turn("user", "x")], kind="preference", pairs=PAIR.pairs),
    ),
    ("pair_turns", {"messages": [Q], "chosen": A, "rejected": B}, PAIR),
    (
        "pair_turns",
        {
            "conversations": [{"from": "human", "value": "q"}],
            "chosen": {"from": "gpt", "value": "a"},
            "rejected": {"from": "gpt", "value": "b"},
            "tools": json.dumps([TOOL]),
        },
        Example([Q], tools=[TOOL], kind="preference", pairs=PAIR.pairs),
    ),
    ("pair_strings", {"prompt": "q", "chosen": "a", "rejected": "b", "system": ""}, PAIR),
    ("pair_strings", {"prompt": HH, "chosen": "a", "rejected": "b"}, PAIR),
    ("pair_strings", {"question": "q", "chosen_response": "a", "rejected_response": "b"}, PAIR),
    (
        "pair_strings",
        {"instruction": "do", "input": "this", "system": "s", "chosen": "a", "rejected": "b"},
        Example([S, turn("user", "do\nthis")], kind="preference", pairs=PAIR.pairs),
    ),
    ("pair_whole", {"chosen": f"{HH}a", "rejected": f"{HH}b"}, PAIR),
    ("pair_whole", {"prompt": None, "chosen": "q\na", "rejected": "q\nb"}, PAIR),
    (
        "pair_whole",
        {"chosen": f"{HH}a{HH}a", "rejected": f"{HH}a{HH}b"},
        Example([Q, A, Q], kind="preference", pairs=PAIR.pairs),
    ),
    ("unpaired", {"prompt": "q", "completion": "a", "label": 0}, Example([Q, A], kind="unpaired", label=False)),
    ("unpaired", {"prompt": [Q], "completion": [A], "label": True}, Example([Q, A], kind="unpaired", label=True)),
    ("unpaired", {"prompt": "q", "completion": "a", "label": "False"}, Example([Q, A], kind="unpaired", label=False)),
    ("unpaired", {"messages": [Q, A], "label": 1.0}, Example([Q, A], kind="unpaired", label=True)),
    ("unpaired", {"instruction": "q", "input": "", "output": "a", "kto_tag": True}, Example([Q, A], kind="unpaired", label=True)),
    (
        "unpaired",
        {"conversations": [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}], "kto_tag": False},
        Example([Q, A], kind="unpaired", label=False),
    ),
    ("messages", {"messages": [Q, A], "chosen": None, "rejected": None, "label": None}, CHAT),
    ("messages", {"texts": [turn("User", "q"), turn("model", "a")]}, CHAT),
    ("messages", {"conversations": [turn("user", parts("q")), A]}, CHAT),
    ("messages", {"messages": [turn("user", parts("q", key="value"), loss_weight=0.0), {**A, "weight": 1}]}, CHAT),
    ("messages", {"messages": [turn("developer", "s"), Q, A, Q]}, Example([S, Q, A, Q])),
    ("messages", {"messages": [Q, Q, A, B]}, Example([Q, Q, turn("assistant", "a\n\nb")])),
    ("messages", {"messages": [turn("system", ""), Q, A]}, CHAT),
    ("messages", {"messages": [Q, A], "system": " "}, CHAT),
    *[
        ("messages", {"messages": [Q, {**B, **flag}, Q, {**A, "loss_weight": 1.0}]}, Example([Q, {**B, "train": False}, Q, A]))
        for flag in MASKS
    ],
    *[("messages", {"messages": [Q, {**A, **flag}]}, CHAT) for flag in NO_MASKS],
    ("messages", {"messages": [Q, {**A, "loss": False}, B]}, Example([Q, {**A, "train": False}, B])),
    ("alpaca", {"instruction": "q", "output": "None", "system": " "}, Example([Q, turn("assistant", "None")])),
    ("alpaca", {"instruction": "q", "output": "NaN"}, Example([Q, turn("assistant", "NaN")])),
    ("messages", {"messages": [Q, turn("assistant", "null")]}, Example([Q, turn("assistant", "null")])),
    (
        "pair_strings",
        {"prompt": "q", "chosen": "a", "rejected": "None"},
        Example([Q], kind="preference", pairs=[([A], [turn("assistant", "None")])]),
    ),
    ("text", {"text": "nan"}, Example(text="nan", kind="text")),
    (
        "messages",
        {
            "messages": [
                Q,
                turn(
                    "assistant",
                    '<details type="reasoning" done="true" duration="3">\n<summary>Thought for 3 seconds</summary>\n'
                    "&gt; 1 &lt; 2\n&gt; so yes\n</details>\na",
                ),
            ]
        },
        Example([Q, {**A, "reasoning_content": "1 < 2\nso yes"}]),
    ),
    (
        "messages",
        {
            "messages": [
                Q,
                turn("assistant", '<details type="reasoning">\n<summary>Thinking</summary>\n> 1 &lt; 2\n> so yes\n</details>\na'),
            ]
        },
        Example([Q, {**A, "reasoning_content": "1 < 2\nso yes"}]),
    ),
    ("messages", {"messages": [Q, {**A, "thinking": "hm", "name": None}]}, Example([Q, {**A, "reasoning_content": "hm"}])),
    (
        "messages",
        {"messages": [Q, turn("assistant", [{"type": "reasoning", "value": "hm"}, *parts("a")])]},
        Example([Q, {**A, "reasoning_content": "hm"}]),
    ),
    (
        "messages",
        {
            "messages": [
                Q,
                {
                    "role": "assistant",
                    "content": None,
                    "tool_calls": [{"type": "function", "function": {"name": "f", "arguments": '{"x": 1}'}}],
                },
                turn("tool", "1"),
                A,
            ],
            "tools": [{"name": "f", "parameters": {}}],
        },
        CALLED,
    ),
    (
        "messages",
        {
            "messages": [
                Q,
                {"role": "assistant", "content": "", "tool_calls": [{"id": "c1", **CALL}]},
                turn("tool", "", tool_call_id="c1", name="f"),
                A,
            ]
        },
        Example(
            [Q, turn("assistant", "", tool_calls=[{"id": "c1", **CALL}]), turn("tool", "", name="f", tool_call_id="c1"), A],
        ),
    ),
    (  # a null that the tool knows is an argument
        "messages",
        {
            "messages": [Q, turn("assistant", "", tool_calls=[{"name": "f", "arguments": {"x": None, "y": None}}])],
            "tools": [{"name": "f", "parameters": {"properties": {"x": {"type": "null", "default": None}, "y": None}}}],
        },
        Example(
            [Q, turn("assistant", "", tool_calls=[{"type": "function", "function": {"name": "f", "arguments": {"x": None}}}])],
            tools=[{"type": "function", "function": {"name": "f", "parameters": {"properties": {"x": {"type": "null", "default": None}}}}}],
        ),
    ),
    (
        "sharegpt",
        {
            "conversations": [
                {"from": "human", "value": "q"},
                {"from": "function_call", "value": '{"name": "f", "arguments": {"x": 1}}'},
                {"from": "observation", "value": "1"},
                {"from": "gpt", "value": "a"},
            ],
            "tools": '[{"name": "f", "parameters": {}}]',
        },
        CALLED,
    ),
    (
        "sharegpt",
        {
            "conversations": [
                {"from": "human", "value": "q"},
                {"from": "function_call", "value": '{"name": "f", "arguments": {"x": 1}}'},
                {"from": "function_call", "value": '{"name": "g"}'},
                {"from": "observation", "value": "1"},
                {"from": "gpt", "value": "a"},
                {"from": "function_call", "value": '{"name": "f", "arguments": {"x": 1}}'},
            ],
        },
        Example(
            [
                Q,
                turn("assistant", "", tool_calls=[CALL, {"type": "function", "function": {"name": "g", "arguments": {}}}]),
                turn("tool", "1"),
                turn("assistant", "a", tool_calls=[CALL]),
            ]
        ),
    ),
    (
        "messages",
        {"messages": [Q, turn("assistant", "", tool_calls=[CALL]), A]},
        Example([Q, turn("assistant", "", tool_calls=[CALL]), A]),
    ),
    (
        "sharegpt",
        {
            "conversations": [
                {"from": "human", "value": "q"},
                {"from": "function_call", "value": '[{"name": "f", "arguments": {"x": 1}}, {"name": "g"}]'},
            ],
            "tools": "[]",
        },
        Example([Q, turn("assistant", "", tool_calls=[CALL, {"type": "function", "function": {"name": "g", "arguments": {}}}])]),
    ),
    ("sharegpt", {"system": "s", "messages": [{"from": "human", "value": "q"}, {"from": "bing", "value": "a"}]}, Example([S, Q, A])),
    ("prompt_completion", {"prompt": [Q], "completion": [A]}, CHAT),
    ("prompt_completion", {"prompt": "q", "completion": [A], "image": ""}, CHAT),
    ("prompt_completion", {"prompt": "q", "response": "a"}, CHAT),
    ("prompt_completion", {"question": "q", "answer": "a", "context": None, "label": "easy"}, CHAT),
    ("prompt_completion", {"question": "q", "answer": "a", "context": "c"}, Example([turn("user", "c\n\nq"), A])),
    ("alpaca", {"instruction": "q", "output": "a", "text": "Below is an instruction …"}, CHAT),
    ("alpaca", {"instruction": "q", "input": math.nan, "system": math.nan, "history": [], "response": "a"}, CHAT),
    ("alpaca", {"instruction": "q", "output": None, "response": "a"}, CHAT),
    ("alpaca", {"instruction": "", "input": "q", "output": "a"}, CHAT),
    (
        "alpaca",
        {"instruction": "do", "input": "this", "output": "done", "system": "s", "history": [["q", "a"]]},
        Example([S, Q, A, turn("user", "do\nthis"), turn("assistant", "done")]),
    ),
    ("alpaca", {"instruction": "do", "context": "this", "response": "a", "category": "x"}, Example([turn("user", "do\nthis"), A])),
    ("prompt", {"prompt": "q", "ground_truth": "4"}, Example([Q], kind="prompt")),
    ("prompt", {"prompt": [S, Q], "chosen": None}, Example([S, Q], kind="prompt")),
    ("text", {"text": "t", "url": "u"}, Example(text="t", kind="text")),
]


def first(row: Row) -> str | None:
    """The first format whose shape the row has."""
    return next((name for name in format_order() if module(name).detect(row)), None)


def test_no_two_formats_are_tried_at_once() -> None:
    precedence = [module(name).PRECEDENCE for name in format_order()]
    assert precedence == sorted(set(precedence)) and len(precedence) >= 15


@pytest.mark.parametrize("name", format_order())
def test_a_sample_is_of_its_own_shape_and_of_no_earlier_one(name: str) -> None:
    form = module(name)
    assert first(form.SAMPLE) == name
    assert form.TITLE and form.SHAPE and "." not in form.SHAPE
    if name in ("process_reward", "vote_log"):
        with pytest.raises(RowError, match=r"process reward|prefs export") as caught:
            form.convert(form.SAMPLE)
        assert caught.value.kind == name
    else:
        assert isinstance(form.convert(form.SAMPLE), Example)


@pytest.mark.parametrize(("name", "row", "meant"), VARIANTS)
def test_variants_are_told_apart_and_mean_what_they_say(name: str, row: Row, meant: Example) -> None:
    assert first(row) == name
    before = json.dumps(row)
    assert module(name).convert(row) == meant
    assert json.dumps(row) == before


TRAPS: list[tuple[str, str, Row]] = [
    ("missing", "alpaca", {"instruction": "q", "output": None}),
    ("missing", "alpaca", {"instruction": "q"}),
    ("missing", "messages", {"messages": None}),
    ("missing", "prompt_completion", {"prompt": "q", "completion": None}),
    ("missing", "pair_lists", {"prompt": "q", "chosen": [A], "rejected": None}),
    ("missing", "pair_strings", {"prompt": "q", "chosen": "a"}),
    ("missing", "ranking", {"prompt": "q"}),
    ("missing", "text", {"text": None}),
    ("missing", "pair_preferred", {"input": None, "preferred_output": [A], "non_preferred_output": [B]}),
    ("no_turns", "pair_preferred", {"input": {"messages": []}, "preferred_output": [A], "non_preferred_output": [B]}),
    ("wrong_type", "alpaca", {"instruction": "q", "output": 5}),
    ("wrong_type", "alpaca", {"instruction": ["q"], "output": "a"}),
    ("wrong_type", "alpaca", {"instruction": "q", "output": "a", "system": 5}),
    ("wrong_type", "messages", {"messages": [Q, "a"]}),
    ("wrong_type", "messages", {"messages": "q"}),
    ("wrong_type", "messages", {"messages": [Q, turn("assistant", 7)]}),
    ("wrong_type", "unpaired", {"prompt": "q", "completion": "a", "label": "good"}),
    ("wrong_type", "unpaired", {"prompt": "q", "completion": "a", "label": 2}),
    ("wrong_type", "unpaired", {"prompt": "q", "completion": "a", "label": [1]}),
    ("label", "unpaired", {"prompt": "q", "completion": "a", "label": None}),
    ("label", "unpaired", {"messages": [Q, A], "label": math.nan}),
    ("empty", "alpaca", {"instruction": "q", "output": " \n"}),
    ("empty", "alpaca", {"instruction": "", "input": " ", "output": "a"}),
    ("empty", "messages", {"messages": [turn("user", ""), A]}),
    ("empty", "messages", {"messages": [Q, turn("assistant", parts("", " "))]}),
    ("empty", "pair_whole", {"chosen": f"{HH}a", "rejected": HH}),
    ("nul", "alpaca", {"instruction": "q\x00", "output": "a"}),
    ("nul", "messages", {"messages": [Q, turn("assistant", "a\x00é")]}),
    ("nul", "messages", {"messages": [Q, A], "tools": [{"name": "f\x00"}]}),
    ("surrogate", "alpaca", {"instruction": "q", "output": "\ud800"}),
    ("surrogate", "alpaca", {"instruction": "q", "output": "a", "history": [["\ud800", "x"]]}),
    (
        "surrogate",
        "sharegpt",
        {
            "conversations": [
                {"from": "human", "value": "q"},
                {"from": "function_call", "value": '{"name": "f", "arguments": {"x": "\\ud800"}}'},
            ]
        },
    ),
    ("nan", "alpaca", {"instruction": "q", "output": math.nan}),
    ("nan", "alpaca", {"instruction": math.nan, "output": "a"}),
    ("no_turns", "messages", {"messages": [turn("system", " ")]}),
    ("empty", "messages", {"messages": [Q, turn("assistant", '<details type="reasoning">hm</details>')]}),
    ("no_answer", "messages", {"messages": [Q]}),
    ("no_answer", "messages", {"messages": [Q, {**A, "weight": 0}]}),
    ("no_answer", "unpaired", {"messages": [Q, A, Q], "label": True}),
    ("no_answer", "pair_turns", {"messages": [Q], "chosen": Q, "rejected": A}),
    ("no_answer", "pair_lists", {"chosen": [Q, A], "rejected": [Q]}),
    ("assistant_first", "messages", {"messages": [A, Q, A]}),
    ("assistant_first", "messages", {"messages": [S, A]}),
    ("assistant_first", "prompt", {"prompt": [A]}),
    ("no_turns", "messages", {"messages": []}),
    ("no_turns", "prompt_completion", {"prompt": [], "completion": []}),
    ("no_turns", "prompt", {"prompt": [S]}),
    ("unknown_role", "messages", {"messages": [turn("robot", "q"), A]}),
    ("unknown_role", "messages", {"messages": [{"role": ["user"], "content": "q"}, A]}),
    ("unknown_role", "sharegpt", {"conversations": [{"from": None, "value": "q"}]}),
    ("not_text", "messages", {"messages": [turn("user", [{"type": "image_url", "image_url": "x"}]), A]}),
    ("not_text", "messages", {"messages": [turn("user", [{"type": "input_audio"}]), A]}),
    ("not_text", "sharegpt", {"image": "a.png", "conversations": [{"from": "human", "value": "<image>"}, {"from": "gpt", "value": "a"}]}),
    ("chosen_equals_rejected", "pair_strings", {"prompt": "q", "chosen": "a", "rejected": "a "}),
    ("chosen_equals_rejected", "pair_lists", {"chosen": [Q, A], "rejected": [Q, A]}),
    ("chosen_equals_rejected", "pair_whole", {"chosen": f"{HH}a", "rejected": f"{HH}a"}),
    ("chosen_equals_rejected", "pair_whole", {"chosen": "q a", "rejected": "q a"}),
    ("chosen_equals_rejected", "ranking", {"prompt": "q", "answers": [{"answer": "a", "rank": 1}, {"answer": "a", "rank": 2}]}),
    ("no_prompt", "pair_whole", {"chosen": "a", "rejected": "b"}),
    ("no_prompt", "pair_lists", {"chosen": [A], "rejected": [B]}),
    ("tool_call", "sharegpt", {"conversations": [{"from": "human", "value": "q"}, {"from": "function_call", "value": "{f(1)}"}]}),
    ("tool_call", "sharegpt", {"conversations": [{"from": "human", "value": "q"}, {"from": "function_call", "value": "[]"}]}),
    ("tool_call", "sharegpt", {"conversations": [{"from": "human", "value": "q"}, {"from": "function_call", "value": "[" * 100_000}]}),
    ("tool_call", "messages", {"messages": [Q, {**A, "tool_calls": [{"function": {"name": "f", "arguments": "x=1"}}]}]}),
    ("tool_call", "messages", {"messages": [Q, {**A, "tool_calls": [{"function": {"arguments": "{}"}}]}]}),
    ("tools", "messages", {"messages": [Q, A], "tools": "[{"}),
    ("tools", "messages", {"messages": [Q, A], "tools": ["f"]}),
    ("tools", "alpaca", {"instruction": "q", "output": "a", "tools": [{"parameters": {}}]}),
    ("history", "alpaca", {"instruction": "q", "output": "a", "history": 5}),
    ("history", "alpaca", {"instruction": "q", "output": "a", "history": [["q"]]}),
    ("rank", "ranking", {"prompt": "q", "answers": [{"answer": "a", "rank": 1}, {"answer": "b", "rank": 1}]}),
    ("rank", "ranking", {"prompt": "q", "answers": [{"answer": "a", "rank": "first"}]}),
    ("rank", "ranking", {"prompt": "q", "answers": [{"answer": "a", "rank": True}, {"answer": "b", "rank": 2}]}),
    ("process_reward", "process_reward", {"prompt": "q", "completions": ["a"], "labels": [True]}),
]


@pytest.mark.parametrize(("kind", "name", "row"), TRAPS)
def test_rows_that_cannot_be_used_say_why(kind: str, name: str, row: Row) -> None:
    with pytest.raises(RowError) as caught:
        module(name).convert(row)
    assert (caught.value.kind, bool(str(caught.value))) == (kind, True)


def test_reasons_name_the_place_and_the_remedy() -> None:
    with pytest.raises(RowError, match=r"'output' should be text and is int; put it in quotes"):
        module("alpaca").convert({"instruction": "q", "output": 5})
    with pytest.raises(RowError, match=r"'messages', turn 2: .*'image_url'"):
        module("messages").convert({"messages": [Q, turn("assistant", [{"type": "image_url"}])]})


def test_labels_and_pairs_are_never_taken_for_plain_answers() -> None:
    for label in (True, 0, "good"):
        for row in ({"prompt": "q", "completion": "a"}, {"messages": [Q, A]}):
            assert [name for name in format_order() if module(name).detect({**row, "label": label})] == ["unpaired"]
    for name in ("alpaca", "messages", "sharegpt", "prompt_completion"):
        assert [n for n in format_order() if module(n).detect({**module(name).SAMPLE, "kto_tag": False})] == ["unpaired"]
    assert first({"messages": [Q, A], "chosen": "a", "rejected": 5}) is None
    assert first({"instruction": "q", "output": "a", "chosen": "a", "rejected": "b"}) == "pair_strings"


@pytest.mark.parametrize(
    ("chosen", "rejected", "prompt"),
    [
        ("Is it? Yes.", "Is it? No.", "Is it?"),
        ("Q: far?\nA: moon", "Q: far?\nA: nose", "Q: far?"),
        ("the moon is far", "the moon is near", "the moon is"),
        ("moonlight", "moonshine", ""),
        ("Is it? ", "Is it? No.", "Is"),
    ],
)
def test_a_common_beginning_ends_at_a_line_a_sentence_or_a_word(chosen: str, rejected: str, prompt: str) -> None:
    assert chosen[: boundary(chosen, rejected)].strip() == prompt


words = st.text(st.characters(exclude_categories=()), max_size=6) | st.sampled_from(
    ("q", "user", "gpt", "function_call", "text", "nan", HH)
)
leaves = st.none() | st.booleans() | st.integers(-2, 3) | st.floats() | words
KEYS = ("role", "from", "content", "value", "type", "text", "answer", "rank", "tool_calls", "function", "name", "arguments", "weight")
values = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4), max_leaves=8
)
COLUMNS = sorted(
    {key for name in format_order() for key in module(name).SAMPLE}
    | {"messages", "tools", "system", "history", "input", "kto_tag", "question"}
)


@given(st.dictionaries(st.sampled_from(COLUMNS), values, max_size=5))
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
def test_any_row_is_an_example_or_a_reason(row: Row) -> None:
    for name in format_order():
        assert module(name).detect(row) in (True, False)
        try:
            example = module(name).convert(row)
        except RowError as error:
            json.dumps([error.kind, str(error)])
            continue
        json.dumps([example.messages, example.pairs, example.tools, example.text], ensure_ascii=False).encode()
        assert example.text or example.messages


def load(path: Path) -> list[Row]:
    """The rows of a file of JSON or JSON lines, by json alone."""
    text = path.read_text(encoding="utf-8")
    return [json.loads(line) for line in text.split("\n") if line.strip()] if path.suffix == ".jsonl" else json.loads(text)


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("alpaca_en_demo.json", "alpaca"),
        ("identity.json", "alpaca"),
        ("gsm8k-train.json", "alpaca"),
        ("v1_sft_demo.jsonl", "messages"),
        ("c4_demo.jsonl", "text"),
        ("glaive_toolcall_en_demo.json", "sharegpt"),
        ("dpo_en_demo.json", "pair_turns"),
    ],
)
def test_real_datasets(file: str, name: str) -> None:
    values = load(dataset(file))
    assert {first(value) for value in values} == {name}
    read = [row.value for row in read_rows(dataset(file))]
    assert read == values
    examples = [module(name).convert(value) for value in read]
    turns = [m for e in examples for m in e.messages]
    if name == "alpaca":
        assert [e.messages[-1]["content"] for e in examples] == [v["output"] for v in values]
    elif name == "messages":
        assert [m["content"] for m in turns] == [p["content"][0]["value"] for v in values for p in v["messages"]]
    elif name == "text":
        assert [e.text for e in examples] == [v["text"] for v in values]
    elif name == "sharegpt":
        speakers = [t["from"] for v in values for t in v["conversations"]]
        assert len(turns) == len(speakers)
        assert sum("tool_calls" in m for m in turns) == speakers.count("function_call") > 0
        assert sum(m["role"] == "tool" for m in turns) == speakers.count("observation") > 0
        called = [json.loads(t["value"]) for v in values for t in v["conversations"] if t["from"] == "function_call"]
        assert [m["tool_calls"][0]["function"] for m in turns if "tool_calls" in m] == called
        assert [[t["function"] for t in e.tools or []] for e in examples] == [json.loads(v["tools"]) for v in values]
    else:
        assert len(turns) == sum(len(v["conversations"]) for v in values)
        assert [[pair[0][0]["content"], pair[1][0]["content"]] for e in examples for pair in e.pairs] == [
            [v["chosen"]["value"], v["rejected"]["value"]] for v in values
        ]


def test_a_text_file_is_documents() -> None:
    path = dataset("wiki_demo.txt")
    documents = list(read_rows(path))
    lines = [line for line in path.read_text(encoding="utf-8").split("\n") if line.strip()]
    assert [module("text").convert(row.value).text for row in documents] == lines
