"""A run's rows: split without leaks, weighted, kept by content, and written so that training maps them."""

import json
import shutil
from collections import Counter
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from edgetune import methods
from edgetune.bases import find
from edgetune.bases import tokenizer as tokenizers
from edgetune.config.recipe import build_recipe
from edgetune.data import cache, prepare, run_data, store
from edgetune.data.render import Rules
from edgetune.data.sources import Source
from edgetune.data.split import Prepared
from edgetune.data.template import ChatTemplate
from edgetune.errors import InputError
from edgetune.training.row_order import row_order
from tests.data.test_xray import base, row, write


def prepared(cache_folder: Path, source: prepare.TokenizerSource | None = None, **options: Any) -> Prepared:
    """A recipe's data, prepared with the bundled model."""
    recipe, _ = build_recipe({"base": "nano", **options})
    return prepare.prepare(recipe, source or base(), 256, cache_folder, methods.get(recipe.method))


def written(folder: Path, data: Prepared) -> tuple[list[str], list[str]]:
    """The trained and the held-out rows as text."""
    folder.mkdir()
    tokens = base().tokenizer
    run_data.write_run_data(folder, data, tokens)
    both = (store.TokenRows(folder / store.TRAIN_FILE), store.TokenRows(folder / store.HELD_OUT_FILE))
    train, held = ([tokens.decode(ids) for ids, _ in rows] for rows in both)
    return train, held


def test_the_split_is_whole_and_without_leaks(tmp_path: Path) -> None:
    rows = [row(i % 50) for i in range(100)]  # every row twice
    data = prepared(tmp_path / "cache", data=str(write(tmp_path / "a.jsonl", rows)), validation_split=0.2)
    train, held = written(tmp_path / "run", data)
    assert len(train) == data.train == 80 and len(held) == data.held_out == 20 and not set(train) & set(held)
    assert all(count == 2 for count in Counter(train + held).values())
    questions = [json.loads(line)["messages"][0]["content"] for line in (tmp_path / "run" / "held_out.jsonl").read_text().splitlines()]
    assert Counter(questions) == Counter(q for q in (r["instruction"] for r in rows) if any(q in h for h in held))
    again = written(tmp_path / "again", prepared(tmp_path / "cache", data=str(tmp_path / "a.jsonl"), validation_split=0.2))
    other = written(tmp_path / "other", prepared(tmp_path / "cache", data=str(tmp_path / "a.jsonl"), validation_split=0.2, data_seed=1))
    assert again == (train, held) and other[1] != held


def test_files_held_out_by_name_take_the_place_of_a_share(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    folder.mkdir()
    write(folder / "train.jsonl", [row(i) for i in range(30)])
    write(folder / "valid.jsonl", [row(i) for i in range(30, 37)])
    data = prepared(tmp_path / "cache", data=str(folder))
    assert (data.train, data.held_out) == (30, 7)
    named = prepared(tmp_path / "cache", data=str(folder / "train.jsonl"), validation=str(folder / "valid.jsonl"))
    assert (named.train, named.held_out) == (30, 7)
    with pytest.raises(InputError, match="both trained on and held out"):
        prepared(tmp_path / "cache", data=str(folder), validation=str(folder / "train.jsonl"))


def test_weights_draw_a_files_rows_more_or_less_often(tmp_path: Path) -> None:
    often = write(tmp_path / "often.jsonl", [row(i) for i in range(10)])
    seldom = write(tmp_path / "seldom.jsonl", [row(i) for i in range(10, 30)])
    data = prepared(tmp_path / "cache", data=[f"{often}:2", f"{seldom}:0.5"], validation_split=0.0)
    assert [(g.start, g.count, g.each) for g in data.groups] == [(0, 10, 20), (10, 20, 10)] and data.each_pass == 30
    drawn = Counter(row_order([[g.start, g.count, g.each] for g in data.groups], 60, 0))
    assert {drawn[i] for i in range(10)} == {4} and {drawn[i] for i in range(10, 30)} == {1}


def test_a_second_start_takes_the_rows_from_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "a.jsonl", [row(i) for i in range(20)])
    first = prepared(tmp_path / "cache", data=str(path))

    def never(*arguments: Any, **more: Any) -> None:
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


def test_the_key_of_prepared_data_changes_with_its_version_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.jsonl").write_bytes(b'{"text": "a"}\n')
    tokenizer: Any = SimpleNamespace(template=ChatTemplate("{{ messages }}", "<s>", "</s>", "2026-01-01"), bos_id=1, eos_id=2)
    rules = Rules(max_length=256, overlong="split", train_on="last")
    key = cache.cache_key([Source(Path("a.jsonl"))], "auto", {"output": "reply"}, rules, tokenizer, "hash")
    assert key == "cb883d2f4c2d8c6edd3540e1a5800b75"


def test_the_cache_keeps_the_newest(tmp_path: Path) -> None:
    for count in range(12, 12 + cache.MAX_CACHED + 2):
        prepared(tmp_path / "cache", data=str(write(tmp_path / "a.jsonl", [row(i) for i in range(count)])))
    reads = [json.loads((p / cache.REPORT_FILE).read_text())["report"]["read"] for p in (tmp_path / "cache").iterdir()]
    assert len(reads) == cache.MAX_CACHED and max(reads) == 12 + cache.MAX_CACHED + 1


def test_documents_are_cut_at_paragraphs_and_end_once(tmp_path: Path) -> None:
    paragraphs = [f"Paragraph {i}. " + "The lamp of the tower turns all night. " * (2 + i % 4) for i in range(150)]
    (tmp_path / "book.txt").write_text("\n\n".join(paragraphs), encoding="utf-8")
    data = prepared(tmp_path / "cache", data=str(tmp_path / "book.txt"), validation_split=0.0)
    folder = tmp_path / "run"
    folder.mkdir()
    tokens = base().tokenizer
    run_data.write_run_data(folder, data, tokens)
    rows = store.TokenRows(folder / store.TRAIN_FILE)
    assert data.report.read > 1 and all(len(ids) <= 256 for ids, _ in rows)
    assert [ids[-1] == tokens.eos_id for ids, _ in rows] == [False] * (len(rows) - 1) + [True]
    begins = [tokens.decode(ids).lstrip().startswith("Paragraph") for ids, _ in rows]
    assert sum(begins) > 0.9 * len(rows)
    text = "".join(tokens.decode(ids) for ids, _ in rows)
    assert [p.split(".")[0] for p in paragraphs] == [f"Paragraph {w.split('.')[0]}" for w in text.split("Paragraph ")[1:]]


def test_replay_rows_are_drawn_behind_the_own_and_never_held_out(tmp_path: Path) -> None:
    own = write(tmp_path / "own.jsonl", [row(i) for i in range(20)])
    old = write(tmp_path / "old.jsonl", [row(i) for i in range(200)])  # holds every own row too
    data = prepared(tmp_path / "cache", data=str(own), replay=str(old), replay_ratio=0.5, epochs=2.0, validation_split=0.5)
    train, held = written(tmp_path / "run", data)
    assert [(g.start, g.count, g.each) for g in data.groups] == [(0, 10, 10), (10, 20, 10)]
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
    source = prepare.TokenizerSource(partial(tokenizers.load_tokenizer, tmp_path / "base", ""), tokens, "x")
    report = prepared(tmp_path / "cache", source, data=str(write(tmp_path / "a.jsonl", [row(i) for i in range(12)]))).report
    assert report.tokens["ends_trained"] == 12


def test_files_of_several_shapes_go_together_and_of_several_kinds_do_not(tmp_path: Path) -> None:
    first = write(tmp_path / "a.jsonl", [row(i) for i in range(10)])
    turns = [[{"from": "human", "value": f"hey {i}"}, {"from": "gpt", "value": f"ho {i}"}] for i in range(5)]
    second = write(tmp_path / "b.jsonl", [{"conversations": turn} for turn in turns])
    data = prepared(tmp_path / "cache", data=[str(first), str(second)], validation_split=0.0)
    assert data.report.format == "alpaca and sharegpt" and data.train == 15 and data.report.rejected == 0
    assert [file["format"] for file in data.report.files] == ["alpaca", "sharegpt"] and "a.jsonl: Alpaca: 10 of 10" in data.report.reason
    (tmp_path / "c.txt").write_text("Just text.")
    with pytest.raises(InputError, match="different kinds"):
        prepared(tmp_path / "cache", data=[str(first), str(tmp_path / "c.txt")])
