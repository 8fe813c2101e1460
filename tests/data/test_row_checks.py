"""What a row holds that is not read, and conversations that cannot be learned as they stand, are counted and told."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgetune.bases import tokenizer as tokenizers
from edgetune.bases.tokenizer import BaseTokenizer
from edgetune.data import verdict
from edgetune.data.formats import module
from edgetune.data.render import Rules
from edgetune.data.row_checks import row_findings, unused_choice
from edgetune.data.tokenized import tokenize
from tests.data.test_templates import WIDE, compare, stretches
from tests.data.test_xray import base, write, xray

WEATHER = {
    "name": "weather",
    "description": "How warm a town is",
    "parameters": {"type": "object", "properties": {"town": {"type": "string"}}},
}
Q, A = {"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}


def talk(*turns: tuple[str, str]) -> dict[str, Any]:
    return {"conversations": [{"from": who, "value": text} for who, text in turns], "tools": json.dumps([WEATHER])}


def call(town: str) -> str:
    return json.dumps({"name": "weather", "arguments": {"town": town}})


TEXT_THEN_CALL = talk(
    ("human", "Is it warm in Bern?"), ("gpt", "One moment."), ("function_call", call("Bern")), ("observation", "9"), ("gpt", "9 degrees.")
)
TWO_CALLS = talk(
    ("human", "Bern and Riga?"),
    ("function_call", call("Bern")),
    ("function_call", call("Riga")),
    ("observation", "9"),
    ("observation", "2"),
    ("gpt", "9 and 2."),
)
CALL_THEN_TEXT = talk(("human", "Is it warm in Bern?"), ("function_call", call("Bern")), ("gpt", "One moment."))


@pytest.mark.parametrize(("row", "written"), [(TEXT_THEN_CALL, ["One moment.", "Bern"]), (TWO_CALLS, ["Bern", "Riga"])])
@pytest.mark.parametrize("name", ["qwen3", "qwen2.5"])
def test_turns_of_the_assistant_in_a_row_are_one_answer(
    name: str, row: dict[str, Any], written: list[str], family: Callable[[str], BaseTokenizer]
) -> None:
    from transformers import AutoTokenizer

    tokens = family(name)
    example = module("sharegpt").convert(row)
    assert compare(name, tokens, AutoTokenizer.from_pretrained(tokens.folder), example.messages, example.tools)
    rows = tokenize(example, tokens, WIDE)
    learned = [tokens.inner.decode(r.ids[a:b], skip_special_tokens=False) for r in rows for a, b in stretches(r)]
    assert len(learned) == 2 and all(piece in learned[0] for piece in written) and learned[0].count("<|im_end|>") == 1
    assert ("joined_turns", "turns of the assistant that follow each other are read as one") in list(row_findings(row))


@pytest.mark.parametrize("name", ["qwen3", "qwen2.5"])
def test_turns_that_cannot_be_one_are_told(name: str, family: Callable[[str], BaseTokenizer], tmp_path: Path) -> None:
    tokens = family(name)
    source = type(base())(lambda: tokens, tokens, "hash")
    report = xray([write(tmp_path / "a.jsonl", [TEXT_THEN_CALL] * 9 + [CALL_THEN_TEXT])], Rules(2000), source)
    assert report.read == 10 and report.rejected_counts in ({}, {"prompt_not_prefix": 1})
    assert report.rejected or report.problem_counts["two_answers"] == 1
    assert report.verdict == verdict.GOOD_WITH_WARNINGS


def test_an_answer_that_is_not_to_be_learned_is_masked(tmp_path: Path) -> None:
    tokens = base().tokenizer
    turns = [Q, {"role": "assistant", "content": "FORBIDDEN", "loss": False}, Q, {"role": "assistant", "content": "Allowed."}]
    rows = tokenize(module("messages").convert({"messages": turns}), tokens, WIDE)
    learned = "".join(tokens.decode([i for i, label in zip(r.ids, r.labels, strict=True) if label != -100]) for r in rows)
    assert "Allowed" in learned and "FORBIDDEN" not in learned
    assert "FORBIDDEN" in tokens.decode(rows[-1].ids)


@pytest.mark.parametrize(
    ("flag", "phrase"),
    [
        ({"supervised": False}, "a turn has 'supervised'"),
        ({"train_detail": [{"begin_offset": 0, "end_offset": 3, "train": False}]}, "a turn has 'train_detail'"),
        ({"mask": 1}, "a turn's 'mask' is 1"),
        ({"loss": "no"}, "a turn's 'loss' is 'no'"),
        ({"weight": 0.5}, "a turn's 'weight' is 0.5"),
    ],
)
def test_flags_that_are_not_understood_are_told(flag: dict[str, Any], phrase: str, tmp_path: Path) -> None:
    row = {"messages": [Q, {**A, **flag}]}
    kinds = dict(row_findings(row))
    assert set(kinds) == {"unknown_flag"} and kinds["unknown_flag"].startswith(phrase)
    report = xray([write(tmp_path / "a.jsonl", [row] * 12)], source=base())
    assert report.problem_counts["unknown_flag"] == 12 and '"loss": false' in " ".join([report.fix_first, *report.reasons])


def test_flags_and_keys_that_are_read_or_say_nothing_are_not_told() -> None:
    flags: tuple[dict[str, Any], ...] = (
        {"loss": True},
        {"weight": 0},
        {"mask": False},
        {"loss_mask": 1},
        {"train": "false"},
        {"refusal": None},
        {"audio": []},
    )
    for flag in flags:
        assert list(row_findings({"messages": [Q, {**A, **flag}]})) == []
    assert list(row_findings({"messages": [Q, A, {"role": "tool", "content": "1", "name": "f", "tool_call_id": "x"}]})) == []
    assert [kind for kind, _ in row_findings({"messages": [Q, A], "loss_mask": [0, 1]})] == ["unused_key"]
    assert list(row_findings({"instruction": "q", "output": "a", "weight": 70})) == []
    assert list(row_findings({"messages": [{**Q, "name": "Ann"}, A]})) == [("unused_key", "its turns' 'name' is not used")]


def test_conversations_that_end_in_the_users_turn_are_counted(tmp_path: Path) -> None:
    rows = [{"messages": [Q, A, {"role": "user", "content": f"How far {i}?"}, {"role": "user", "content": f"{i} km."}]} for i in range(20)]
    report = xray([write(tmp_path / "a.jsonl", rows)], source=base())
    assert report.problem_counts["no_last_answer"] == 20 and report.verdict == verdict.GOOD_WITH_WARNINGS
    assert "20 rows end in a turn that nobody answers: that turn teaches nothing" in report.reasons
    called = {"messages": [Q, A, {"role": "tool", "content": "1"}]}
    assert xray([write(tmp_path / "b.jsonl", [called] * 12)]).problem_counts["no_last_answer"] == 12


@pytest.mark.parametrize(("good", "phrase"), [(True, "--to messages"), (False, "Add answers labeled good.")])
def test_judged_answers_of_one_verdict_stop_a_run(good: bool, phrase: str, tmp_path: Path) -> None:
    rows = [{"prompt": f"Greet {i}.", "completion": f"Hello {i}.", "label": good} for i in range(16)]
    report = xray([write(tmp_path / "a.jsonl", rows)], source=base())
    assert report.verdict == verdict.DO_NOT_TRAIN and phrase in report.fix_first
    assert report.reasons[0] == f"all 16 answers are labeled {'good' if good else 'bad'}: nothing shows the difference"
    rows[3]["label"] = not good
    assert xray([write(tmp_path / "b.jsonl", rows)], source=base()).verdict != verdict.DO_NOT_TRAIN


def test_an_empty_system_turn_is_as_chat_sends_it(family: Callable[[str], BaseTokenizer]) -> None:
    tokens = family("qwen2.5")
    for empty in ("", "  \n"):
        row = tokenize(module("messages").convert({"messages": [{"role": "system", "content": empty}, Q, A]}), tokens, WIDE)[0]
        assert row.ids[: len(row.prompt)] == tokens.encode(tokens.template.render([Q], add_generation_prompt=True))
    assert "You are Qwen" in tokens.decode(row.ids)


def test_answers_that_are_the_word_none_are_learned(tmp_path: Path) -> None:
    labels = ["None", "Penicillin", "null", "NaN", "Nuts", "nan"] * 4
    rows = [{"instruction": f"Allergies in note {i}?", "output": label} for i, label in enumerate(labels)]
    report = xray([write(tmp_path / "a.jsonl", rows)], source=base())
    assert (report.kept, report.rejected) == (24, 0) and report.problem_counts["empty_word"] == 16 and report.verdict == verdict.GOOD

    # In a table of text the same words stand for a cell without a value.
    table = tmp_path / "a.csv"
    table.write_text("instruction,output\n" + "".join(f"q {i},{label}\n" for i, label in enumerate(labels)), encoding="utf-8")
    report = xray([table])
    assert report.rejected_counts == {"nan": 16} and "save the rows as .jsonl" in report.problems[0].message


@pytest.mark.parametrize(
    ("row", "column"),
    [
        ({"quality.responses": ["good"], "quality.responses.status": ["submitted"]}, "quality.responses"),
        ({"responses": {"quality": [{"value": "good", "user_id": "u"}]}}, "responses"),
        ({"quality": [{"user_id": "u", "value": "good", "status": "submitted"}]}, "quality"),
        ({"annotations": [{"id": 1, "result": [{"type": "pairwise", "value": {"selected": "left"}}]}]}, "annotations"),
        ({"annotation_id": 3, "lead_time": 2.5, "choice": "left"}, "annotation_id"),
        ({"responses": ["a", "b"], "annotations": []}, ""),
    ],
)
def test_choices_of_people_that_are_not_used_are_told(row: dict[str, Any], column: str, tmp_path: Path) -> None:
    assert unused_choice(row) == column
    rows = [{"instruction": f"q {i}", "output": f"an answer {i}", **row} for i in range(12)]
    report = xray([write(tmp_path / "a.jsonl", rows)], source=base())
    assert report.verdict == (verdict.GOOD_WITH_WARNINGS if column else verdict.GOOD)
    assert bool(report.problem_counts.get("unused_choice")) == bool(column)
    pair = {"prompt": "q", "chosen": "a", "rejected": "b", **row}
    assert "unused_choice" not in dict(row_findings(pair, judged=True))


def test_blocks_of_a_chat_program_are_no_answer(tmp_path: Path) -> None:
    block = '<details type="tool_calls" done="true" name="search">\n<summary>Tool Executed</summary>\n</details>\n'
    rows = [{"messages": [Q, {"role": "assistant", "content": f"{block}It is {i}."}]} for i in range(12)]
    report = xray([write(tmp_path / "a.jsonl", rows)])
    assert report.problem_counts["chat_markup"] == 12 and report.verdict == verdict.GOOD_WITH_WARNINGS


def test_a_filter_takes_what_transformers_has(tmp_path: Path, family: Callable[[str], BaseTokenizer]) -> None:
    from transformers import AutoTokenizer

    from edgetune.data.template import ChatTemplate

    source = (
        "{%- for tool in tools %}{{ tool | tojson(ensure_ascii=False, indent=2, separators=(',', ':'), sort_keys=True) }}{% endfor %}"
        "{{ messages[0].content | tojson(ensure_ascii=True) }}{{ tools | tojson }}"
    )
    folder = family("qwen2.5").folder
    theirs = AutoTokenizer.from_pretrained(folder)
    messages, tools = [{"role": "user", "content": "Köln <b>"}], [{"type": "function", "function": {"name": "ü", "b": 1, "a": [1, 2]}}]
    expected = theirs.apply_chat_template(messages, tools=tools, chat_template=source, tokenize=False)
    assert ChatTemplate(source).render(messages, tools=tools) == expected
    assert tokenizers.load_tokenizer(folder, "2026-01-01").template.render(messages)
