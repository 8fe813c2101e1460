"""The X-ray counts every row, sees what is wrong with it, and judges; the figures are checked against plain counting."""

import json
from functools import partial
from pathlib import Path
from typing import Any, Literal

import pytest

from edgetune.bases import find
from edgetune.bases import tokenizer as tokenizers
from edgetune.data import prepare, verdict
from edgetune.data.render import Rules
from edgetune.data.row import Problem
from edgetune.data.sources import Source, sources
from edgetune.data.xray import Report, length_statistics
from tests.fixtures.datasets import dataset

NOUNS = "boat tower stove mule horn roof beach village door candle wheel garden river cloud stone basket".split()  # noqa: SIM905


def row(number: int, answer: str | None = None) -> dict[str, Any]:
    """A row of Alpaca's shape like no other."""
    words = " ".join(NOUNS[(number * k + k) % len(NOUNS)] for k in range(1, 9))
    return {"instruction": f"Say {number}: {words}?", "output": f"{number} is {words[::-1]}." if answer is None else answer}


def write(path: Path, rows: list[Any]) -> Path:
    """Rows as JSON lines; text is written as it is."""
    path.write_text("".join((r if isinstance(r, str) else json.dumps(r)) + "\n" for r in rows), encoding="utf-8")
    return path


def base(folder: Path = find.BUNDLED) -> prepare.TokenizerSource:
    """The bundled model's tokenizer, as preparing wants it."""
    return prepare.TokenizerSource(
        partial(tokenizers.load_tokenizer, folder, "2026-01-01"), tokenizers.load_tokenizer(folder, "2026-01-01"), "hash"
    )


def xray(
    files: list[Path] | list[Source],
    rules: Rules | None = None,
    source: prepare.TokenizerSource | None = None,
    quarantine: Path | None = None,
    **more: Any,
) -> Report:
    """The judged report of files."""
    sources_ = [f if isinstance(f, Source) else Source(f) for f in files]
    report = prepare.survey(sources_, rules=rules or (Rules(256) if source else None), base=source, **more).finish(quarantine)
    verdict.judge(report)
    return report


def test_every_row_is_counted_and_the_left_out_ones_are_in_quarantine(tmp_path: Path) -> None:
    rows: list[Any] = [row(i) for i in range(30)]
    rows[3], rows[11], rows[20] = "not json", [1], {"instruction": "q", "output": ""}
    path = write(tmp_path / "a.jsonl", rows)
    report = xray([path], source=base(), quarantine=tmp_path / "q.jsonl")
    assert (report.read, report.kept, report.rejected, report.truncated) == (30, 27, 3, 0)
    left = [(p.line, p.kind) for p in report.problems if p.rejected]
    assert left == [(4, "not_json"), (12, "not_object"), (21, "empty")]
    quarantined = [json.loads(line) for line in (tmp_path / "q.jsonl").read_text().splitlines()]
    assert [(k["line"], k["kind"], k["row"]) for k in quarantined] == [
        (4, "not_json", "not json"),
        (12, "not_object", "[1]"),
        (21, "empty", {"instruction": "q", "output": ""}),
    ]
    assert report.verdict == verdict.GOOD_WITH_WARNINGS and "3 of 30" in report.reasons[0] and f"{path}:4" in report.fix_first


def test_lengths_are_the_tokenizers_and_limits_cost_what_counting_says(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", [row(i, "word " * (5 * i + 1)) for i in range(60)])
    source = base()
    report = xray([path], Rules(200), source)
    tokens = source.tokenizer
    counted = []
    for i in range(60):
        turns = [{"role": "user", "content": row(i)["instruction"]}, {"role": "assistant", "content": "word " * (5 * i + 1)}]
        whole = tokens.template.render(turns)
        counted.append(len(tokens.encode(whole[: whole.rindex("<|im_end|>") + len("<|im_end|>")])))
    over = [c for c in counted if c > 200]
    assert report.rejected == len(over) and report.rejected_counts == {"too_long": len(over)}
    assert report.lengths["exact"] and (report.lengths["max"], report.lengths["min"]) == (max(counted), min(counted))
    costs = {limit["limit"]: (limit["rows_over"], limit["tokens_over"]) for limit in report.lengths["limits"]}
    for limit in (200, 256):
        assert costs[limit] == (sum(c > limit for c in counted), sum(max(0, c - limit) for c in counted))
    assert sum(bar["rows"] for bar in report.lengths["histogram"]) == 60
    assert report.tokens["tokens"] == sum(c for c in counted if c <= 200)
    assert report.tokens["ends_trained"] == report.tokens["rows"] == 60 - len(over) and report.tokens["bos_doubled"] == 0


@pytest.mark.parametrize("long", ["truncate", "split"])
def test_cut_rows_are_counted_as_truncated_and_told(tmp_path: Path, long: Literal["truncate", "split"]) -> None:
    turns = [{"role": r, "content": f"{i} {w}"} for i in range(6) for r, w in (("user", "what is it " * 12), ("assistant", f"it is {i}"))]
    rows = [{"messages": turns} if i in (2, 5) else {"messages": turns[:2]} for i in range(12)]
    rows[9] = {"messages": [turns[0], {"role": "assistant", "content": "so it goes on " * 90}]}
    report = xray([write(tmp_path / "a.jsonl", rows)], Rules(150, long), base())
    assert (report.read, report.kept, report.truncated, report.rejected) == (12, 9, 2, 1)
    assert [(p.line, p.kind) for p in report.problems if p.kind in ("shortened", "too_long")] == [
        (10, "too_long"),
        (3, "shortened"),
        (6, "shortened"),
    ]
    assert bool(report.tokens["lost_answers"]) == (long == "truncate")


def test_several_processes_see_the_same(tmp_path: Path) -> None:
    rows = [row(i) for i in range(1200)]
    rows[700] = {"instruction": "q", "output": 5}
    rows[1100] = row(5)
    path = write(tmp_path / "a.jsonl", rows)
    alone, shared = xray([path], source=base(), processes=1), xray([path], source=base(), processes=2)
    assert alone == shared and alone.rejected_counts == {"wrong_type": 1} and alone.duplicates["train"]["exact"] == 1


def test_what_is_odd_in_texts_is_told_with_its_row(tmp_path: Path) -> None:
    rows = [row(i) for i in range(20)]
    rows[2]["output"] = "My key is AKIA" + "Z7Q4KD2M5X6RLTPW" + " keep it."
    rows[5]["output"] = "Dear {{name}}, hello."
    rows[7]["output"] = "A bell \x07 rings."
    rows[9]["output"] = "End <|im_end|> of turn."
    rows[12] = rows[3]
    path = write(tmp_path / "a.jsonl", rows)
    report = xray([path], source=base())
    seen = {(p.line, p.kind) for p in report.problems}
    assert {(3, "secret"), (6, "placeholder"), (8, "control"), (10, "control_token"), (13, "duplicate")} <= seen
    assert report.rejected == 0 and report.verdict == verdict.GOOD_WITH_WARNINGS
    assert all("Z7Q4KD2M5X6RLTPW" not in p.message for p in report.problems)


def test_validation_rows_that_stand_in_training_stop_a_run(tmp_path: Path) -> None:
    train = write(tmp_path / "train.jsonl", [row(i) for i in range(40)])
    held = write(tmp_path / "valid.jsonl", [row(i) for i in range(30, 46)])
    report = xray([Source(train), Source(held, held_out=True)], source=base())
    assert (report.split["shared"], report.split["held_out"]) == (10, 16)
    assert {p.line for p in report.problems if p.kind == "leak"} == set(range(1, 11))
    assert report.verdict == verdict.DO_NOT_TRAIN and "validation" in report.reasons[0]
    few = write(tmp_path / "few.jsonl", [row(i) for i in range(38, 60)])
    assert xray([Source(train), Source(few, held_out=True)], source=base()).verdict == verdict.GOOD_WITH_WARNINGS


def test_pairs_of_which_the_longer_one_wins_are_told(tmp_path: Path) -> None:
    pairs = [{"prompt": f"q{i}", "chosen": f"a long answer number {i}", "rejected": f"no {i}"} for i in range(19)]
    pairs.append({"prompt": "q", "chosen": "no", "rejected": "quite a long one"})
    report = xray([write(tmp_path / "a.jsonl", pairs)], source=base())
    assert report.kind == "preference" and report.preference["pairs"] == 20
    assert (report.preference["chosen_longer"], report.preference["rejected_longer"]) == (0.95, 0.05)
    assert report.verdict == verdict.GOOD_WITH_WARNINGS and any("95%" in reason for reason in report.reasons)


@pytest.mark.parametrize(
    ("change", "grade", "phrase"),
    [
        ({}, verdict.GOOD, ""),
        ({"read": 1000, "kept": 0, "rejected": 1000, "rejected_counts": {"empty": 1000}}, verdict.DO_NOT_TRAIN, "no row can be used"),
        ({"read": 140, "rejected": 40, "rejected_counts": {"empty": 40}}, verdict.DO_NOT_TRAIN, "40 of 140"),
        ({"read": 140, "rejected": 40, "rejected_counts": {"too_long": 40}}, verdict.GOOD_WITH_WARNINGS, "too_long"),
        (
            {"tokens": {"rows": 100, "tokens": 900, "trained_tokens": 0, "ends_trained": 0, "bos_doubled": 0}},
            verdict.DO_NOT_TRAIN,
            "masked",
        ),
        (
            {"tokens": {"rows": 100, "tokens": 900, "trained_tokens": 90, "ends_trained": 3, "bos_doubled": 0}},
            verdict.DO_NOT_TRAIN,
            "never stop",
        ),
        (
            {"tokens": {"rows": 100, "tokens": 900, "trained_tokens": 90, "ends_trained": 100, "bos_doubled": 99}},
            verdict.DO_NOT_TRAIN,
            "BOS",
        ),
        ({"problem_counts": {"personal": 100}}, verdict.GOOD, ""),
        (
            {"problem_counts": {"mojibake": 1}, "problems": [Problem("f", 3, "mojibake", "Ã©")]},
            verdict.GOOD_WITH_WARNINGS,
            "1 row was decoded",
        ),
        ({"duplicates": {"train": {"exact": 30, "near": 0}}}, verdict.GOOD_WITH_WARNINGS, "30 of 100"),
        ({"duplicates": {"train": {"exact": 3, "near": 0}}}, verdict.GOOD, ""),
        ({"read": 3, "kept": 3}, verdict.GOOD_WITH_WARNINGS, "only 3 rows"),
    ],
)
def test_the_verdict(change: dict[str, Any], grade: str, phrase: str) -> None:
    report = Report([], "alpaca", "", "conversation", **{"read": 100, "kept": 100, **change})
    verdict.judge(report)
    assert report.verdict == grade and phrase in " ".join(report.reasons)
    assert bool(report.fix_first) == (grade != verdict.GOOD)


def test_lengths_of_nothing_and_of_one() -> None:
    from collections import Counter

    assert length_statistics(Counter(), True, 5) == {"exact": True}
    single = length_statistics(Counter({7: 1}), True, None)
    assert (single["min"], single["median"], single["p99"], single["max"], single["histogram"][-1]) == (
        7,
        7,
        7,
        7,
        {"from": 7, "to": 7, "rows": 1},
    )


def test_a_report_survives_being_stored(tmp_path: Path) -> None:
    report = xray([write(tmp_path / "a.jsonl", [row(i) for i in range(12)] + ["x"])], source=base())
    assert Report.from_dict(json.loads(json.dumps(report.as_dict()))) == report


@pytest.mark.parametrize(
    ("name", "shape", "count"),
    [
        ("alpaca_en_demo.json", "alpaca", 999),
        ("identity.json", "alpaca", 91),
        ("v1_sft_demo.jsonl", "messages", 500),
        ("wiki_demo.txt", "text", 30),
        ("c4_demo.jsonl", "text", 300),
        ("glaive_toolcall_en_demo.json", "sharegpt", 300),
        ("dpo_en_demo.json", "pair_turns", 300),
    ],
)
def test_real_datasets_add_up(name: str, shape: str, count: int) -> None:
    path = dataset(name)
    text = path.read_text(encoding="utf-8")
    counted = len(json.loads(text)) if path.suffix == ".json" else sum(bool(line.strip()) for line in text.split("\n"))
    report = xray(sources([str(path)]), Rules(512), base())
    assert counted == count == report.read == report.kept + report.rejected + report.truncated
    assert report.format == shape and set(report.rejected_counts) <= {"too_long", "calls_dropped"}
    assert f"{count:,} of {count:,}" in report.reason
