"""Pairs become rows as answers do; what cannot be compared is counted and listed, and never trained on."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgetune.bases import tokenizer as tokenizers
from edgetune.data import store
from edgetune.data.examine import conversations
from edgetune.data.formats import Example
from edgetune.data.labels import IGNORE_INDEX
from edgetune.data.render import Rules
from edgetune.data.tokenized import tokenize
from edgetune.errors import InputError
from edgetune.storage.workspace import Run
from tests.methods.conftest import SMALL, write_pairs

OPTIONS = {**SMALL, "base": "nano", "method": "dpo", "work": False}


def turn(role: str, text: str) -> dict[str, str]:
    return {"role": role, "content": text}


def rows_of(run: Run, name: str = store.TRAIN_FILE) -> list[dict[str, Any]]:
    return store.TokenRows(run.data / name).whole(10_000)


def test_both_sides_are_what_training_on_that_answer_would_be(nano: Path, tmp_path: Path, train: Callable[..., Run]) -> None:
    """A pair's rows beside the rows of the same two conversations as sft prepares them, which are tested against transformers."""
    file = write_pairs(tmp_path / "p.jsonl", 12)
    pairs = [json.loads(line) for line in file.read_text().splitlines()]
    run = train("r", data=str(file), **{**OPTIONS, "validation_split": 0.0})
    tokenizer = tokenizers.load_tokenizer(nano, run.request()["template_date"])
    rows = rows_of(run)
    assert len(rows) == len(pairs)
    for row, pair in zip(rows, pairs, strict=True):
        for side in ("chosen", "rejected"):
            expected = tokenize(Example(pair["prompt"] + pair[side]), tokenizer, Rules(256, train_on="last"))[0]
            assert row[f"{side}_ids"] == expected.ids and row[f"{side}_labels"] == expected.labels
            assert expected.labels[-1] == tokenizer.specials["<|im_end|>"]


def test_a_judged_answer_alone_is_trained_on() -> None:
    turns = [turn("user", "a"), turn("assistant", "b"), turn("user", "c"), turn("assistant", "d")]
    (judged,) = conversations(Example(turns, kind="unpaired", label=False))
    assert [m.get("train") for m in judged.messages] == [False, False, False, None] and judged.label is False


BAD: list[tuple[str, dict[str, Any]]] = [
    ("chosen_equals_rejected", {"chosen": [turn("assistant", "Same.")], "rejected": [turn("assistant", "Same. ")]}),
    ("empty", {"chosen": [turn("assistant", "")], "rejected": [turn("assistant", "No.")]}),
    ("no_answer", {"chosen": [turn("user", "Yes?")], "rejected": [turn("assistant", "No.")]}),
    ("unknown_role", {"chosen": [turn("oracle", "Yes.")], "rejected": [turn("assistant", "No.")]}),
    ("too_long", {"chosen": [turn("assistant", "word " * 400)], "rejected": [turn("assistant", "No.")]}),
]


def test_bad_pairs_are_counted_and_listed_and_never_trained_on(tmp_path: Path, train: Callable[..., Run]) -> None:
    file = write_pairs(tmp_path / "p.jsonl", 30)
    with file.open("a", encoding="utf-8") as more:
        for _, sides in BAD:
            more.write(json.dumps({"prompt": [turn("user", "Well?")], **sides}) + "\n")
    run = train("r", data=str(file), **OPTIONS)
    request, report = run.request(), json.loads((run.data / "xray.json").read_text())
    assert (request["read"], request["kept"], request["rejected"]) == (35, 30, 5)
    assert {(p["line"], p["kind"]) for p in report["problems"] if p["rejected"]} == {(31 + i, kind) for i, (kind, _) in enumerate(BAD)}
    quarantined = [json.loads(line) for line in (run.data / "rejected.jsonl").read_text().splitlines()]
    assert {row["kind"] for row in quarantined} == {kind for kind, _ in BAD}
    assert len(rows_of(run)) + len(rows_of(run, store.HELD_OUT_FILE)) == 30


def test_pairs_that_become_equal_tokens_are_left_out(nano: Path) -> None:
    """A template that trims makes two answers one, though their texts differ."""
    from dataclasses import replace

    from edgetune.data.examine import Job, examine
    from edgetune.data.row import RawRow

    tokenizer = tokenizers.load_tokenizer(nano, "2026-01-01")
    source = tokenizer.template.source.replace("message['content']", "(message['content'] | lower)").replace(
        "message.content", "(message.content | lower)"
    )
    lower = replace(tokenizer, template=replace(tokenizer.template, source=source))
    row = {"prompt": [turn("user", "Hi")], "chosen": [turn("assistant", "Yes.")], "rejected": [turn("assistant", "YES.")]}
    job = Job(("pair_lists",), rules=Rules(256), look=False)
    batch = examine(0, "f", [RawRow(1, json.dumps(row).encode())], job, tokenizer)
    left = examine(0, "f", [RawRow(1, json.dumps(row).encode())], job, lower)
    assert len(batch.units) == 1 and not left.units and left.rejected[0].kind == "chosen_equals_rejected"


def test_pairs_are_split_whole_and_equal_ones_together(tmp_path: Path, train: Callable[..., Run]) -> None:
    file = write_pairs(tmp_path / "p.jsonl", 24)
    file.write_text(file.read_text() * 2, encoding="utf-8")
    run = train("r", data=str(file), **{**OPTIONS, "validation_split": 0.25})
    trained, held = ({json.dumps(row) for row in rows_of(run, name)} for name in (store.TRAIN_FILE, store.HELD_OUT_FILE))
    assert not trained & held and len(trained | held) == 24
    request = run.request()
    assert (request["train"], request["held_out"]) == (36, 12) and request["groups"] == [[0, 36, 36]]
    for row in rows_of(run):
        shared = next(i for i, label in enumerate(row["chosen_labels"]) if label != IGNORE_INDEX)
        assert row["chosen_ids"][:shared] == row["rejected_ids"][:shared] and row["rejected_labels"][shared - 1] == IGNORE_INDEX


def test_rankings_become_a_row_for_every_pair(tmp_path: Path, train: Callable[..., Run]) -> None:
    from edgetune.data.formats import module

    lines = [json.dumps(module("ranking").SAMPLE | {"prompt": f"Question {i}?"}) for i in range(20)]
    (tmp_path / "r.jsonl").write_text("\n".join(lines), encoding="utf-8")
    run = train("r", data=str(tmp_path / "r.jsonl"), **{**OPTIONS, "validation_split": 0.0})
    each = len(module("ranking").convert(module("ranking").SAMPLE).pairs)
    assert run.request()["kept"] * each == run.request()["train"]


def test_methods_refuse_examples_of_another_kind(tmp_path: Path, facts: Path, train: Callable[..., Run]) -> None:
    with pytest.raises(InputError, match="not for dpo") as caught:
        train("r", data=str(facts), **OPTIONS)
    assert "chosen" in caught.value.remedy
    with pytest.raises(InputError, match="not for sft"):
        train("r", data=str(write_pairs(tmp_path / "p.jsonl")), **{**OPTIONS, "method": "sft"})
