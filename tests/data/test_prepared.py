"""A run's rows: split without leaks, weighted, kept by content, and written so that training maps them."""

import json
import shutil
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from edgetune import methods
from edgetune.bases import find
from edgetune.bases import tokenizer as tokenizers
from edgetune.config.recipe import build
from edgetune.data import prepare, run_data, store
from edgetune.data.split import Prepared
from edgetune.errors import InputError
from edgetune.training.row_order import order
from tests.data.test_xray import base, row, write


def prepared(place: Path, made: prepare.TokenizerSource | None = None, **options: Any) -> Prepared:
    """A recipe's data, prepared with the bundled model."""
    recipe, _ = build({"base": "nano", **options})
    return prepare.prepare(recipe, made or base(), 256, place, methods.get(recipe.method))


def written(folder: Path, made: Prepared) -> tuple[list[str], list[str]]:
    """The trained and the held-out rows as text."""
    folder.mkdir()
    tokens = base().tokenizer
    run_data.write_run_data(folder, made, tokens)
    both = (store.TokenRows(folder / store.TRAIN_FILE), store.TokenRows(folder / store.HELD_OUT_FILE))
    train, held = ([tokens.decode(ids) for ids, _ in rows] for rows in both)
    return train, held


def test_the_split_is_whole_and_without_leaks(tmp_path: Path) -> None:
    rows = [row(i % 50) for i in range(100)]  # every row twice
    made = prepared(tmp_path / "cache", data=str(write(tmp_path / "a.jsonl", rows)), validation_split=0.2)
    train, held = written(tmp_path / "run", made)
    assert len(train) == made.train == 80 and len(held) == made.held_out == 20 and not set(train) & set(held)
    assert all(count == 2 for count in Counter(train + held).values())
    said = [json.loads(line)["messages"][0]["content"] for line in (tmp_path / "run" / "held_out.jsonl").read_text().splitlines()]
    assert Counter(said) == Counter(q for q in (r["instruction"] for r in rows) if any(q in h for h in held))
    again = written(tmp_path / "again", prepared(tmp_path / "cache", data=str(tmp_path / "a.jsonl"), validation_split=0.2))
    other = written(tmp_path / "other", prepared(tmp_path / "cache", data=str(tmp_path / "a.jsonl"), validation_split=0.2, data_seed=1))
    assert again == (train, held) and other[1] != held


def test_files_held_out_by_name_take_the_place_of_a_share(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    folder.mkdir()
    write(folder / "train.jsonl", [row(i) for i in range(30)])
    write(folder / "valid.jsonl", [row(i) for i in range(30, 37)])
    made = prepared(tmp_path / "cache", data=str(folder))
    assert (made.train, made.held_out) == (30, 7)
    named = prepared(tmp_path / "cache", data=str(folder / "train.jsonl"), validation=str(folder / "valid.jsonl"))
    assert (named.train, named.held_out) == (30, 7)
    with pytest.raises(InputError, match="both trained on and held out"):
        prepared(tmp_path / "cache", data=str(folder), validation=str(folder / "train.jsonl"))


def test_weights_draw_a_files_rows_more_or_less_often(tmp_path: Path) -> None:
    often = write(tmp_path / "often.jsonl", [row(i) for i in range(10)])
    seldom = write(tmp_path / "seldom.jsonl", [row(i) for i in range(10, 30)])
    made = prepared(tmp_path / "cache", data=[f"{often}:2", f"{seldom}:0.5"], validation_split=0.0)
    assert [(g.start, g.count, g.each) for g in made.groups] == [(0, 10, 20), (10, 20, 10)] and made.each_pass == 30
    drawn = Counter(order([[g.start, g.count, g.each] for g in made.groups], 60, 0))
    assert {drawn[i] for i in range(10)} == {4} and {drawn[i] for i in range(10, 30)} == {1}


def test_a_second_start_takes_the_rows_from_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "a.jsonl", [row(i) for i in range(20)])
    first = prepared(tmp_path / "cache", data=str(path))

    def never(*words: Any, **more: Any) -> None:
        raise AssertionError("read again")

    with monkeypatch.context() as patch:
        patch.setattr(prepare, "survey", never)
        second = prepared(tmp_path / "cache", data=str(path))
        assert second.report == first.report and second.folder == first.folder
        for name, value in (("overlong", "truncate"), ("train_on", "last"), ("format", "alpaca")):
            with pytest.raises(AssertionError, match="read again"):
                prepared(tmp_path / "cache", None, data=str(path), **{name: value})
    rows = first.folder / store.ROWS_FILE
    rows.write_bytes(rows.read_bytes()[:-40] + b"\x01" * 40)  # damaged: made again
    assert written(tmp_path / "run", prepared(tmp_path / "cache", data=str(path)))[0]
    write(path, [row(i) for i in range(21)])
    assert prepared(tmp_path / "cache", data=str(path)).report.read == 21


def test_the_cache_keeps_the_newest(tmp_path: Path) -> None:
    from edgetune.data import cache

    for count in range(12, 12 + cache.MAX_CACHED + 2):
        prepared(tmp_path / "cache", data=str(write(tmp_path / "a.jsonl", [row(i) for i in range(count)])))
    reads = [json.loads((p / cache.REPORT_FILE).read_text())["report"]["read"] for p in (tmp_path / "cache").iterdir()]
    assert len(reads) == cache.MAX_CACHED and max(reads) == 12 + cache.MAX_CACHED + 1


def test_documents_are_cut_at_paragraphs_and_end_once(tmp_path: Path) -> None:
    paragraphs = [f"Paragraph {i}. " + "The lamp of the tower turns all night. " * (2 + i % 4) for i in range(150)]
    (tmp_path / "book.txt").write_text("\n\n".join(paragraphs), encoding="utf-8")
    made = prepared(tmp_path / "cache", data=str(tmp_path / "book.txt"), validation_split=0.0)
    folder = tmp_path / "run"
    folder.mkdir()
    tokens = base().tokenizer
    run_data.write_run_data(folder, made, tokens)
    rows = store.TokenRows(folder / store.TRAIN_FILE)
    assert made.report.read > 1 and all(len(ids) <= 256 for ids, _ in rows)
    assert [ids[-1] == tokens.eos_id for ids, _ in rows] == [False] * (len(rows) - 1) + [True]
    begins = [tokens.decode(ids).lstrip().startswith("Paragraph") for ids, _ in rows]
    assert sum(begins) > 0.9 * len(rows)
    text = "".join(tokens.decode(ids) for ids, _ in rows)
    assert [p.split(".")[0] for p in paragraphs] == [f"Paragraph {w.split('.')[0]}" for w in text.split("Paragraph ")[1:]]


def test_replay_rows_are_drawn_behind_the_own_and_never_held_out(tmp_path: Path) -> None:
    own = write(tmp_path / "own.jsonl", [row(i) for i in range(20)])
    old = write(tmp_path / "old.jsonl", [row(i) for i in range(200)])  # holds every own row too
    made = prepared(tmp_path / "cache", data=str(own), replay=str(old), replay_ratio=0.5, epochs=2.0, validation_split=0.5)
    train, held = written(tmp_path / "run", made)
    assert [(g.start, g.count, g.each) for g in made.groups] == [(0, 10, 10), (10, 20, 10)]
    assert len(train) == 30 and not set(train) & set(held)


def test_preferences_are_not_trained_on_as_answers(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", [{"prompt": f"q{i}", "chosen": "yes", "rejected": "no"} for i in range(12)])
    with pytest.raises(InputError, match="not for sft") as caught:
        prepared(tmp_path / "cache", data=str(path))
    assert "data convert" in caught.value.remedy


def test_chatml_only_where_its_marks_are_tokens(tmp_path: Path, stories: Path) -> None:
    assert tokenizers.load_tokenizer(stories, "").origin == "plain"
    shutil.copytree(find.BUNDLED, tmp_path / "base")
    (tmp_path / "base" / "chat_template.jinja").unlink()
    settings = json.loads((tmp_path / "base" / "tokenizer_config.json").read_text())
    settings.pop("chat_template", None)
    (tmp_path / "base" / "tokenizer_config.json").write_text(json.dumps(settings))
    tokens = tokenizers.load_tokenizer(tmp_path / "base", "")
    assert tokens.origin == "chatml"
    turns = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yo"}]
    assert tokens.template.render(turns) == "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nYo<|im_end|>\n"
    made = prepare.TokenizerSource(partial(tokenizers.load_tokenizer, tmp_path / "base", ""), tokens, "x")
    report = prepared(tmp_path / "cache", made, data=str(write(tmp_path / "a.jsonl", [row(i) for i in range(12)]))).report
    assert report.tokens["ends_trained"] == 12


def test_files_of_several_shapes_go_together_and_of_several_kinds_do_not(tmp_path: Path) -> None:
    one = write(tmp_path / "a.jsonl", [row(i) for i in range(10)])
    turns = [[{"from": "human", "value": f"hey {i}"}, {"from": "gpt", "value": f"ho {i}"}] for i in range(5)]
    two = write(tmp_path / "b.jsonl", [{"conversations": turn} for turn in turns])
    made = prepared(tmp_path / "cache", data=[str(one), str(two)], validation_split=0.0)
    assert made.report.format == "alpaca and sharegpt" and made.train == 15 and made.report.rejected == 0
    assert [file["format"] for file in made.report.files] == ["alpaca", "sharegpt"] and "a.jsonl: Alpaca: 10 of 10" in made.report.reason
    (tmp_path / "c.txt").write_text("Just text.")
    with pytest.raises(InputError, match="different kinds"):
        prepared(tmp_path / "cache", data=[str(one), str(tmp_path / "c.txt")])
