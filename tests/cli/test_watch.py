"""`edgetune log`, `curves` and `show --answers`: what a run measured and did, in words and as a picture; two runs over one another."""

import json
import math
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from edgetune.runs.events import EventLog, follow
from edgetune.storage.workspace import Run
from tests.conftest import Train

Call = Callable[..., tuple[int, str, str]]


def live(run: Run, steps: int, slower: float = 1.0) -> Run:
    """Give a run that never started the events of one that did so many steps."""
    log = EventLog(run.events)
    log.append("started", total=100, device="cpu", dtype="float32", from_step=0, trained=1000, rows=30)
    for step in range(0, steps + 1):
        loss = 5 * math.exp(-step / 20 / slower)
        if step:
            figures = {"learning_rate": 1e-3, "grad_norm": 1.0, "tokens_per_second": 500.0, "memory": 600 * 2**20 + step * 2**20}
            log.append("step", step=step, total=100, loss=loss, seconds=0.5, eta=1.0, epoch=0.1, **figures)
        if step % 50 == 0:
            log.append("evaluated", step=step, loss=loss + 0.1, perplexity=2.0, improved=True)
            log.append("sample", step=step, prompt="user\nWho?\nassistant\n", answer=f"\x1b[31mat {step}\nSelma")
    log.append("finished", step=steps, last_step=steps, result="adapter")
    return run


@pytest.fixture
def two(train: Train, facts: Path) -> list[Run]:
    """Two runs that differ in rank, one with half the steps of the other."""
    words: dict[str, Any] = {"work": False, "base": "nano", "data": [str(facts)], "max_steps": 100}
    return [live(train("mine", **words), 100), live(train("other", **words, rank=4), 50, 2.0)]


def test_curves_of_two_runs_with_what_differs(edgetune: Call, two: list[Run]) -> None:
    code, out, _ = edgetune("curves", "mine", "other")
    assert code == 0 and "a loss of mine; A held out; b loss of other; B held out" in out
    drawn = out[: out.index("a loss of mine")]
    assert {"a", "A", "b", "B"} <= set(drawn) and "100" in drawn.splitlines()[-1]
    differing = out[out.index("a loss of mine") :].split("\n\n")[1].splitlines()
    assert [line.split() for line in differing] == [["mine", "other"], ["rank", "16", "4"]], "what is alike is not named"
    document = json.loads(edgetune("curves", "mine", "other", "--json")[1])
    assert document["differences"] == [{"option": "rank", "values": [16, 4]}]
    one, other = document["runs"]
    assert (one["best_held_out_loss"], one["at_step"], other["steps"]) == (pytest.approx(5 * math.exp(-5) + 0.1), 100, 50)
    assert one["curves"]["eval_loss"]["steps"] == [0, 50, 100] and len(other["curves"]["loss"]["values"]) == 50


def test_the_later_half_of_a_curve_and_a_logarithmic_scale(edgetune: Call, two: list[Run]) -> None:
    code, out, _ = edgetune("curves", "mine", "--of", "memory", "--last", 0.5)
    lines = out.splitlines()
    under = lines.index("a memory")
    assert code == 0 and lines[0].endswith("┐") and lines[under - 1].split() == ["50", "75", "100"] and "rank" not in out
    assert lines[1].split("┤")[0].strip() == "700", "in MiB"
    plain = edgetune("curves", "mine", "--log", "--smooth", 0.9)[1]
    heights = [float(line.split("┤")[0]) for line in plain.splitlines() if "┤" in line]
    ratios = [high / low for high, low in pairwise(heights)]
    assert len(ratios) == 4 and ratios == pytest.approx([ratios[0]] * 4, rel=0.02), "equal steps of the scale are equal factors"


def test_a_run_that_measured_nothing_yet(edgetune: Call, train: Train, facts: Path) -> None:
    train("new", work=False, base="nano", data=[str(facts)])
    code, out, err = edgetune("curves", "new")
    assert code == 0 and "Nothing was measured yet" in err and "status" in out
    assert edgetune("log", "new")[:2] == (0, "") and "No question was answered yet" in edgetune("show", "new", "--answers")[2]


def test_events_in_words(edgetune: Call, two: list[Run]) -> None:
    code, out, _ = edgetune("log", "mine")
    assert code == 0 and "training begins on cpu" in out and "held-out loss" in out and "step 7:" not in out and "\x1b" not in out
    code, every, err = edgetune("log", "mine", "--every", "--follow")
    assert code == 0 and "step 7: loss" in every and "mine is finished" in err
    kinds = [event["kind"] for event in json.loads(edgetune("log", "mine", "--json")[1])]
    assert kinds == ["started", *["evaluated", "sample"] * 3, "finished"]


def test_following_goes_on_past_the_end_of_an_earlier_try(two: list[Run]) -> None:
    log = EventLog(two[0].events)
    log.append("launched", pid=1)
    log.append("started", total=200, device="cpu", dtype="float32", from_step=100, trained=1000, rows=30)
    living, seen = iter([True, True, True, False]), []
    for event in follow(two[0].events, 0, lambda: next(living), poll=0.0):
        seen.append(event["kind"])
    assert next(living, None) is None, "it looked as long as the worker lived"
    assert seen[-1] == "started" and "finished" in seen


def test_answers_over_time(edgetune: Call, two: list[Run]) -> None:
    code, out, _ = edgetune("show", "mine", "--answers")
    assert code == 0 and out == "> Who?\n  before      [31mat 0 Selma\n  step 50     [31mat 50 Selma\n  step 100    [31mat 100 Selma\n\n"


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["curves", "nobody"], "no run"),
        (["curves", "mine", "nobody"], "no run"),
        (["curves", "mine", "--of", "warmth"], "no curve 'warmth'"),
        (["curves", "mine", "--smooth", "1"], "--smooth"),
        (["curves", "mine", "--last", "0"], "--last"),
        (["log", "mine", "--follow", "--json"], "--follow has no --json"),
    ],
)
def test_wrong_input_is_refused(words: list[str], why: str, edgetune: Call, train: Train, facts: Path) -> None:
    train("mine", work=False, base="nano", data=[str(facts)])
    code, out, err = edgetune(*words)
    if "--json" not in words:
        assert code == 2 and out == "" and why in err and "do:" in err
        out = edgetune(*words, "--json")[1]
    assert why in json.loads(out)["error"]["title"]


def test_a_damaged_run_is_an_error_with_a_remedy(edgetune: Call, two: list[Run]) -> None:
    (two[1].folder / "recipe.toml").write_text("[", encoding="utf-8")
    code, out, err = edgetune("curves", "mine", "other", "--json")
    assert code == 1 and "damaged" in json.loads(out)["error"]["title"]
    two[0].events.write_text('{"kind": "step"}\n{\n{}\n', encoding="utf-8")
    code, _, err = edgetune("log", "mine")
    assert code == 1 and "damaged" in err and "do:" in err
