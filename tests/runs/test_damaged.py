"""A damaged run folder is an error where it is named, and is left out by whatever looks at all runs."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgetune.bases import find
from edgetune.config.recipe import Recipe
from edgetune.errors import EdgeTuneError, InputError
from edgetune.estimate import training_time
from edgetune.runs import manage
from edgetune.runs.checkpoints import write_manifest
from edgetune.runs.events import EventLog
from edgetune.runs.integrity import recipe_of
from edgetune.runs.overview import Overview
from edgetune.storage.workspace import Run, Workspace
from tests.conftest import Train

Call = Callable[..., tuple[int, str, str]]
STEP = {"step": 1, "total": 4, "loss": 2.0, "tokens_per_second": 1234.0, "seconds": 0.1, "eta": 0.3}


@pytest.fixture
def three(train: Train, facts: Path) -> list[Run]:
    """Runs that did one step each, named in the order they were made in."""
    found = []
    for name in ("first", "second", "third"):
        run = train(name, work=False, base="nano", data=[str(facts)], max_steps=4, quantization="none")
        EventLog(run.events).append("step", **STEP)
        found.append(run)
    return found


def damage(run: Run, how: str) -> None:
    """Make a run unreadable in one of the ways that disks and people have."""
    request, log = run.folder / "request.json", run.events
    if how == "request":
        request.write_text("{", encoding="utf-8")
    elif how == "fields":
        request.write_text('{"steps": 4, "data": [], "base": "nano"}', encoding="utf-8")
    elif how == "log":
        log.write_text('{"kind": "step"\n{}\n', encoding="utf-8")
    elif how == "event":
        log.write_text('{"seq": 1, "kind": "step"}\n', encoding="utf-8")
    elif how == "value":
        log.write_text('{"seq": 1, "kind": "step"}\n[]\n', encoding="utf-8")
    else:
        log.unlink()
        log.mkdir()


@pytest.mark.parametrize("how", ["request", "fields", "log", "event", "value", "folder"])
def test_what_walks_over_all_runs_leaves_a_damaged_one_out(
    how: str, three: list[Run], edgetune: Call, workspace: Workspace, facts: Path
) -> None:
    damage(three[-1], how)
    words = ("--base", "nano", "--data", str(facts), "--quantization", "none", "--json")
    for command in (("fit", *words), ("train", *words, "--dry-run"), ("data", "check", str(facts), "--base", "nano", "--json")):
        code, out, err = edgetune(*command)
        assert code == 0, (command, out, err)
    code, out, err = edgetune("prune", "--json")
    assert code == 0 and "third is damaged" in err and "second" not in err
    code, out, err = edgetune("runs", "--json")
    assert code == 0 and [run["name"] for run in json.loads(out)] == ["first", "second"]
    assert edgetune("disk")[0] == 0
    assert [seen.status for seen in Overview(workspace).look()] == ["damaged", "interrupted", "interrupted"]


@pytest.mark.parametrize("how", ["request", "fields", "log", "event", "value"])
def test_it_is_an_error_where_it_is_named(how: str, three: list[Run], edgetune: Call) -> None:
    damage(three[-1], how)
    code, out, err = edgetune("show", "third")
    assert code == 1 and "damaged" in err and "do:" in err and out == ""


def test_extending_a_run_leaves_it_where_it_stood(three: list[Run], workspace: Workspace) -> None:
    manage.prepare_resume(three[0], steps=8)
    for age, run in enumerate(reversed(three)):  # a copy of a workspace gives files any time
        os.utime(run.folder / "recipe.toml", (age, age))
    assert [run.name for run in workspace.runs()] == ["first", "second", "third"]


def test_runs_that_did_not_note_when_they_were_made_come_in_the_order_of_their_recipes(three: list[Run], workspace: Workspace) -> None:
    for age, run in enumerate(three, 1):
        request = run.request()
        assert request.pop("created") > 1e9
        (run.folder / "request.json").write_text(json.dumps(request), encoding="utf-8")
        os.utime(run.folder / "recipe.toml", (age, age))
    manage.prepare_resume(three[0], steps=8)
    assert [run.name for run in workspace.runs()] == ["first", "second", "third"]


@pytest.mark.parametrize(
    ("change", "counts"),
    [({}, True), ({"rank": 4}, True), ({"quantization": "nf4"}, False), ({"method": "dpo"}, False), ({"lora": False}, False)],
)
def test_only_a_run_that_was_trained_the_same_way_tells_the_speed(
    change: dict[str, Any], counts: bool, three: list[Run], workspace: Workspace, nano: Path
) -> None:
    base, recipe = find.describe_base(nano), Recipe(**{"base": "nano", "quantization": "none", "device": "cpu", **change})
    rate, reason = training_time.training_speed(recipe, base, workspace)
    assert rate and (rate == STEP["tokens_per_second"]) == counts and ("the run third" in reason) == counts


@pytest.mark.parametrize("text", ["[", "method = 'sorcery'\n", "\x80"])
def test_a_damaged_recipe_is_an_error_with_a_remedy(text: str, three: list[Run], workspace: Workspace, nano: Path) -> None:
    three[-1].recipe_file.write_bytes(text.encode("latin-1"))
    with pytest.raises(EdgeTuneError, match="damaged"):
        recipe_of(three[-1])
    recipe = Recipe(base="nano", quantization="none", device="cpu")
    assert "the run second" in training_time.training_speed(recipe, find.describe_base(nano), workspace)[1]


def test_a_finished_run_goes_on_only_where_its_result_is_damaged(three: list[Run]) -> None:
    run = three[0]
    EventLog(run.events).append("finished", step=4, last_step=4, result="adapter")
    run.adapter.mkdir()
    (run.adapter / "weights").write_bytes(b"1234")
    write_manifest(run.adapter)
    with pytest.raises(InputError, match="is finished"):
        manage.prepare_resume(run)

    (run.adapter / "weights").write_bytes(b"1235")
    manage.prepare_resume(run)
