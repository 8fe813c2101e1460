"""Votes trained on by their file's name: what each method reads of them, frozen when the run is made, and refused in words."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgetune.config.recipe import flag_of
from edgetune.data import store as rows_on_disk
from edgetune.preferences.record import Choice, Vote, assistant_answer
from edgetune.preferences.store import Store, store
from edgetune.storage.workspace import Run, Workspace
from tests.conftest import THINGS
from tests.preferences.conftest import pair

Call = Callable[..., tuple[int, str, str]]
SMALL = {"rank": 4, "max_length": 256, "max_steps": 2, "batch_size": 4, "gradient_accumulation": 1, "quantization": "none"}
WORDS = [word for name, value in SMALL.items() for word in (flag_of(name), value)]


@pytest.fixture
def votes(workspace: Workspace) -> Store:
    """40 votes between two answers, two ties, an answer judged alone, and one deleted vote."""
    found = store(workspace)
    for number in range(40):
        thing = THINGS[number % len(THINGS)]
        found.add(pair(f"Where is the {thing}, case {number}?", f"At {number}.", f"The {thing} is at {number}, as many know."))
    for number in range(2):
        found.add(pair(f"Which {number}?", "This.", "That one.", "tie"))
    found.add(Vote([{"role": "user", "content": "And?"}], [assistant_answer("Nothing.")], Choice("thumbs", False)))
    found.delete(found.add(pair("Deleted?", "Yes.", "No, it is not.")).id)
    return found


def texts(run: Run) -> list[Any]:
    """The examples that a run holds out, as its folder has them."""
    return [json.loads(line) for line in (run.data / "held_out.jsonl").read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize(
    ("method", "said_of_it", "count"),
    [
        *[(method, "prefs, 40 pairs", 40) for method in ("dpo", "orpo", "simpo", "cpo", "reward")],
        ("kto", "prefs, 81 judged answers", 81),
        ("sft", "prefs, 40 liked answers", 40),
        ("rl", "prefs, 43 prompts", 43),
    ],
)
def test_every_method_reads_its_shape(method: str, said_of_it: str, count: int, train: Callable[..., Run], votes: Store) -> None:
    more = {"reward": "length:5", "max_completion_length": 8, "num_generations": 2} if method == "rl" else {}
    run = train("r", work=False, base="nano", method=method, data="prefs", **SMALL, **more)
    request = run.request()
    assert request["votes"] == [said_of_it] and request["read"] == request["kept"] == count
    assert request["train"] + request["held_out"] == count and request["held_out"] > 0
    rows = rows_on_disk.TokenRows(run.data / rows_on_disk.TRAIN_FILE)
    assert len(rows) == request["train"]


def test_trains_and_tells_its_line(edgetune: Call, train: Callable[..., Run], votes: Store, workspace: Workspace) -> None:
    train("short", base="nano", method="dpo", data="prefs", **SMALL)
    code, out, err = edgetune("show", "short")
    assert code == 0 and "short (dpo on prefs, 40 pairs)" in out, err
    code, out, err = edgetune("train", "--from", "short", "--method", "kto", "--data", "prefs", *WORDS, "--dry-run")
    assert code == 0 and "continues short (dpo on prefs, 40 pairs)" in err and 'data = ["prefs"]' in out, err


def test_later_votes_change_nothing(train: Callable[..., Run], votes: Store, workspace: Workspace) -> None:
    """The rows are the run's own; the frozen file may go too, and the worker still reads what it was given."""
    import shutil

    from edgetune.jobs import worker

    run = train("r", work=False, base="nano", method="dpo", data="prefs", **SMALL)
    before = {path.name: path.read_bytes() for path in run.data.iterdir()}
    first = votes.votes()[0]
    votes.delete(first.id)
    votes.add(pair("New?", "Yes.", "No, never."))
    shutil.rmtree(workspace.votes_cache)
    assert worker.run_job(run.folder) == 0
    assert {path.name: path.read_bytes() for path in run.data.iterdir()} == before
    again = train("again", work=False, base="nano", method="dpo", data="prefs", **SMALL)
    assert again.request()["data_hash"] != run.request()["data_hash"] and again.request()["votes"] == ["prefs, 40 pairs"]


def test_the_same_rows_as_the_exported_file(edgetune: Call, train: Callable[..., Run], votes: Store, tmp_path: Path) -> None:
    out = tmp_path / "pairs.jsonl"
    assert edgetune("prefs", "export", "prefs", "--out", out)[0] == 0
    by_name = train("one", work=False, base="nano", method="dpo", data="prefs", **SMALL)
    by_file = train("two", work=False, base="nano", method="dpo", data=str(out), **SMALL)
    assert by_name.request()["data_hash"] == by_file.request()["data_hash"] and by_file.request()["votes"] == []


def test_a_path_that_exists_wins(
    edgetune: Call, train: Callable[..., Run], votes: Store, facts: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = tmp_path / "here" / "prefs"
    folder.mkdir(parents=True)
    facts.rename(folder / "facts.jsonl")
    monkeypatch.chdir(folder.parent)
    run = train("r", work=False, base="nano", data="prefs", **SMALL)
    assert run.request()["votes"] == [] and run.request()["format"] == "messages"


def test_looked_at_before_a_run(edgetune: Call, votes: Store) -> None:
    code, out, err = edgetune("data", "check", "prefs", "--base", "nano", "--json")
    report = json.loads(out)
    assert code in (0, 1) and (report["format"], report["read"], report["kept"]) == ("pair_lists", 40, 40), err
    code, out, err = edgetune("data", "preview", "prefs", "--row", "3", "--json")
    assert code == 0 and "case 2" in out, err
    assert edgetune("fit", "--base", "nano", "--data", "prefs", "--method", "dpo")[0] in (0, 1)


def test_weights_and_files_beside_votes(train: Callable[..., Run], votes: Store, tmp_path: Path) -> None:
    more = tmp_path / "more.jsonl"
    turn = {"prompt": [{"role": "user", "content": "What is far?"}], "chosen": [{"role": "assistant", "content": "Mars."}]}
    row = {**turn, "rejected": [{"role": "assistant", "content": "Mars is far away, they say."}]}
    more.write_text(json.dumps(row) + "\n", encoding="utf-8")
    run = train("r", work=False, base="nano", method="dpo", data=["prefs:2", str(more)], **SMALL)
    assert run.request()["read"] == 41 and run.request()["votes"] == ["prefs, 40 pairs"]


@pytest.mark.parametrize(
    ("words", "title", "remedy"),
    [
        (["train", "--base", "nano", "--method", "dpo", "--data", "perfs"], "no file and no preference file called 'perfs'", "prefs"),
        (["train", "--base", "nano", "--method", "dpo", "--data", "liked"], "liked holds no pairs", "--method kto"),
        (["train", "--base", "nano", "--method", "kto", "--data", "ties"], "ties holds no judged answers", "edgetune rank"),
        (["train", "--base", "nano", "--method", "dpo"], "No examples were named", "--data prefs"),
        (["data", "check", "perfs"], "no file and no preference file", "edgetune rank"),
        (["data", "check", "ties"], "ties holds no pairs", "edgetune rank"),
        (["eval", "nothing.gguf", "--data", "perfs"], "no file and no preference file", "edgetune rank"),
    ],
)
def test_refused_in_words(words: list[str], title: str, remedy: str, edgetune: Call, votes: Store, workspace: Workspace) -> None:
    asked = [{"role": "user", "content": "Which?"}]
    store(workspace, "liked").add(Vote(asked, [assistant_answer("This.")], Choice("thumbs", True)))
    store(workspace, "ties").add(pair("Which?", "This.", "That.", "tie"))
    code, out, err = edgetune(*words)
    assert code == 2 and title in err and remedy in err and not out, err
    assert not workspace.runs()


def test_few_votes_are_said(edgetune: Call, workspace: Workspace) -> None:
    few = store(workspace, "few")
    for number in range(12):
        few.add(pair(f"What is {number}?", f"{number}.", f"It is {number}, they say."))
    code, _, err = edgetune("train", "--base", "nano", "--method", "dpo", "--data", "few", *WORDS, "--dry-run", "--anyway")
    assert code == 0 and "only 11 pairs to train on" in err and "edgetune rank" in err, err
    code, _, err = edgetune("train", "--base", "nano", "--method", "kto", "--data", "few", *WORDS, "--dry-run", "--anyway")
    assert code == 0 and "judged answers to train on" in err, err
