"""Votes in every shape people bring and trainers read: written, recognised, read back the same, and accepted by TRL as they are."""

import json
from pathlib import Path
from typing import Any

import pytest

from edgetune.data import formats
from edgetune.data.detect import detect_format
from edgetune.data.row import ParsedRow
from edgetune.errors import InputError
from edgetune.preferences import importing
from edgetune.preferences.record import Choice, Vote, assistant_answer
from edgetune.preferences.shapes import rows
from edgetune.preferences.store import Store
from tests.fixtures.datasets import dataset
from tests.preferences.conftest import pair

ASKED = [{"role": "user", "content": "What is far?"}]
TALK = [*ASKED, {"role": "assistant", "content": "The moon."}, {"role": "user", "content": "And near?"}]
PAIRS = ["pair_lists", "ranking", "pair_messages", "pair_turns", "pair_strings", "pair_whole"]


def votes() -> list[Vote]:
    """Votes of every type, those that prefer nothing among them."""
    return [
        pair("What is far?", "The moon.", "My nose."),
        pair("What is near?", "The moon.", "My nose.", "right"),
        pair("What is red?", "Blood.", "A rose.", "tie"),
        pair("What is blue?", "Blood.", "A rose.", "bad"),
        Vote(TALK, [assistant_answer("My nose."), assistant_answer("The sea."), assistant_answer("My hat.")], Choice("ranking", [1, 3, 1])),
        Vote(ASKED, [assistant_answer("The sun"), assistant_answer("The sun, far off.")], Choice("edit")),
        Vote(ASKED, [assistant_answer("Mars.")], Choice("thumbs", True)),
        Vote(ASKED, [assistant_answer("Nothing.")], Choice("thumbs", False)),
        Vote(ASKED, [assistant_answer("x"), assistant_answer("y")], Choice("skip")),
    ]


def expected_pairs(shape: str) -> set[tuple[str, str, str]]:
    talk = shape not in ("pair_strings",)
    found = {("What is far?", "The moon.", "My nose."), ("What is near?", "My nose.", "The moon.")}
    found |= {("What is far?", "The sun, far off.", "The sun")}
    return found | ({("And near?", "My nose.", "The sea."), ("And near?", "My hat.", "The sea.")} if talk else set())


@pytest.mark.parametrize("shape", PAIRS)
def test_pairs_are_recognised_and_read_back_the_same(shape: str) -> None:
    made, refused = rows(votes(), shape)
    assert len(refused) == (shape == "pair_strings")
    found = detect_format([ParsedRow("f", number, row) for number, row in enumerate(json.loads(json.dumps(made)), 1)])
    assert (found.format, found.matching) == (shape, len(made))
    read = set()
    for row in made:
        example = formats.module(shape).convert(row)
        read |= {(example.messages[-1]["content"], good[-1]["content"], bad[-1]["content"]) for good, bad in example.pairs}
        assert example.messages in (TALK, example.messages[-1:])
    assert read == expected_pairs(shape)


def test_unpaired_has_every_verdict() -> None:
    made, _ = rows(votes(), "unpaired")
    found = detect_format([ParsedRow("f", number, row) for number, row in enumerate(made, 1)])
    assert (found.format, found.matching) == ("unpaired", len(made))
    labels = {(row["prompt"][-1]["content"], row["completion"][0]["content"]): row["label"] for row in made}
    assert labels == {
        ("What is far?", "The moon."): True,
        ("What is far?", "My nose."): False,
        ("What is near?", "The moon."): False,
        ("What is near?", "My nose."): True,
        ("What is blue?", "Blood."): False,
        ("What is blue?", "A rose."): False,
        ("And near?", "My nose."): True,
        ("And near?", "The sea."): False,
        ("And near?", "My hat."): True,
        ("What is far?", "The sun"): False,
        ("What is far?", "The sun, far off."): True,
        ("What is far?", "Mars."): True,
        ("What is far?", "Nothing."): False,
    }


def test_of_two_verdicts_the_later_one_stands_and_repeats_are_no_rows() -> None:
    up, down = (Vote(ASKED, [assistant_answer("Mars.")], Choice("thumbs", good)) for good in (True, False))
    assert [row["label"] for row in rows([up, down], "unpaired")[0]] == [False]
    first = pair("What is far?", "The moon.", "My nose.")
    again = Vote(first.prompt, first.candidates[::-1], Choice("pair", "left"), about={"repeats": first.id})
    assert rows([first, again])[0] == rows([first])[0] and len(rows([first])[0]) == 1


@pytest.mark.parametrize("shape", [*PAIRS, "unpaired"])
def test_every_shape_comes_in_and_goes_out_the_same(shape: str, tmp_path: Path, store: Store) -> None:
    made, _ = rows(votes(), shape)
    file = tmp_path / f"{shape}.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in [*made, made[0]]), encoding="utf-8")
    done = importing.import_file(str(file), store)
    assert (done.format, done.read, done.taken, done.repeated, done.left_out) == (shape, len(made) + 1, len(made), 1, [])
    key = json.dumps
    assert sorted(map(key, rows(store.votes(), shape)[0])) == sorted(map(key, made))
    assert importing.import_file(str(file), store).taken == 0


@pytest.mark.parametrize("name", [name for name in formats.format_order() if formats.example_kind(name) in ("preference", "unpaired")])
def test_every_known_preference_shape_can_be_taken(name: str, tmp_path: Path, store: Store) -> None:
    form = formats.module(name)
    example = form.convert(form.SAMPLE)
    file = tmp_path / "sample.jsonl"
    file.write_text(json.dumps(form.SAMPLE) + "\n", encoding="utf-8")
    assert importing.import_file(str(file), store).taken == 1
    [vote] = store.votes()
    prompt, best = (example.messages, example.pairs[0][0]) if example.pairs else (example.messages[:-1], example.messages[-1:])
    assert vote.prompt == prompt and vote.candidates[0].completion == best


def test_another_preference_file_comes_in_as_it_stands_and_is_no_dataset(store: Store, tmp_path: Path, edgetune: Any) -> None:
    made = [store.add(vote) for vote in votes()]
    store.delete(made[0].id)
    store.amend(made[1].id, Choice("pair", "left"))
    other = Store(tmp_path / "other.jsonl")
    assert importing.import_file(str(store.path), other).taken == len(made) - 1
    assert other.votes() == store.votes()
    code, _, err = edgetune("data", "convert", store.path, "--to", "preference", "--out", tmp_path / "x.jsonl")
    assert code == 2 and "prefs export" in err


def test_a_file_without_preferences_is_refused(facts: Path, store: Store) -> None:
    with pytest.raises(InputError, match="no preferences"):
        importing.import_file(str(facts), store)
    assert not store.path.exists()


def test_real_pairs_come_in(store: Store) -> None:
    done = importing.import_file(str(dataset("dpo_en_demo.json")), store)
    assert done.read == 300 and done.taken + done.repeated + len(done.left_out) == 300 and done.taken > 250
    made, refused = rows(store.votes())
    assert len(made) == done.taken and not refused


def test_duplicates_and_contradictions() -> None:
    first, other = pair("Which?", "a", "b"), pair("Which?", "a", "c")
    twin, against = pair("Which?", "b", "a", "right"), pair("Which?", "b", "a", "left")
    assert list(importing.duplicates([first, other, twin, against])) == [(first, twin)]
    assert list(importing.contradictions([first, other, twin, against])) == [(twin, against)]


@pytest.mark.parametrize("shape", ["pair_lists", "unpaired"])
def test_trl_trains_on_the_file_as_it_is(shape: str, nano: Path, tmp_path: Path) -> None:
    """The datasets library reads the file, and TRL's own trainer takes a step on it, without a word from us in between."""
    import datasets
    import trl
    from transformers import AutoModelForCausalLM, AutoTokenizer

    many = [vote for number in range(3) for vote in [pair(f"What is {number}?", "The moon.", "My nose."), *votes()]]
    made, _ = rows(many, shape)
    file = tmp_path / "votes.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in made), encoding="utf-8")
    data = datasets.load_dataset("json", data_files=str(file), split="train", cache_dir=str(tmp_path / "cache"))
    config, trainer = (trl.DPOConfig, trl.DPOTrainer) if shape == "pair_lists" else (trl.KTOConfig, trl.KTOTrainer)
    options: dict[str, Any] = {"output_dir": str(tmp_path / "out"), "max_steps": 1, "per_device_train_batch_size": 4, "report_to": "none"}
    arguments = config(**options, bf16=False, use_cpu=True, save_strategy="no", gradient_checkpointing=False)
    model, tokenizer = AutoModelForCausalLM.from_pretrained(nano), AutoTokenizer.from_pretrained(nano)
    done = trainer(model=model, args=arguments, train_dataset=data, processing_class=tokenizer).train()
    assert done.global_step == 1 and done.training_loss > 0
