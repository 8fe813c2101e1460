"""A run's history: read in pieces, bounded, and equal to what the events say."""

import json
import math
from pathlib import Path

import pytest

from edgetune.errors import EdgeTuneError
from edgetune.runs import events
from edgetune.runs.curve import Curve
from edgetune.runs.describe_event import describe_event
from edgetune.runs.history import MAX_SAMPLES, History
from edgetune.storage.workspace import Run


def step(number: int, loss: float, total: int = 100) -> dict[str, object]:
    """A step's event as the trainer writes it."""
    return {
        "kind": "step",
        "step": number,
        "total": total,
        "loss": loss,
        "learning_rate": 1e-4,
        "grad_norm": 1.0,
        "tokens_per_second": 100.0,
        "seconds": 0.5,
        "memory": 2**20,
        "eta": 1.0,
        "epoch": number / 10,
    }


def write(run: Run, lines: list[dict[str, object]]) -> None:
    """A log as a worker leaves it."""
    run.folder.mkdir(parents=True, exist_ok=True)
    run.events.write_text("".join(json.dumps({"seq": n, **line}) + "\n" for n, line in enumerate(lines, 1)), encoding="utf-8")


def whole(run: Run) -> History:
    """The history of all that is there."""
    history = History(run)
    while history.update():
        pass
    return history


def test_a_curve_keeps_the_mean_of_what_it_was_given() -> None:
    curve = Curve(most=100)
    values = [math.sin(i / 50) + 2 for i in range(100_000)]
    for number, value in enumerate(values):
        curve.add(number, value)
    assert len(curve) < 200
    assert curve.stride == 512
    start = 512 * 7
    assert curve.values[7] == pytest.approx(sum(values[start : start + 512]) / 512)
    assert curve.steps[7] == start + 511


def test_a_resumed_run_replaces_the_steps_that_it_repeats() -> None:
    curve = Curve()
    for number in range(10):
        curve.add(number, 1.0)
    for number in range(6, 12):
        curve.add(number, 2.0)
    assert curve.steps == list(range(12))
    assert curve.values == [1.0] * 6 + [2.0] * 6


def test_what_is_not_finite_is_not_drawn() -> None:
    curve = Curve()
    for value in (1.0, math.nan, math.inf, None, 2.0):
        curve.add(len(curve), value)
    assert curve.values == [1.0, 2.0]


def test_smoothing_is_the_bias_corrected_moving_average() -> None:
    curve = Curve()
    for number, value in enumerate([4.0, 2.0, 6.0]):
        curve.add(number, value)
    assert curve.smoothed(0.0) == [4.0, 2.0, 6.0]
    expected = [4.0, (0.5 * 4 + 2) / 1.5, (0.25 * 4 + 0.5 * 2 + 6) / 1.75]
    assert curve.smoothed(0.5) == pytest.approx(expected)


def test_a_hundred_thousand_events_stay_bounded_and_readable(tmp_path: Path) -> None:
    run = Run(tmp_path / "long")
    lines = [step(n, 1.0, 100_000) for n in range(1, 100_000)]
    lines += [{"kind": "sample", "step": n, "prompt": "p", "answer": "a"} for n in range(0, 3000)]
    lines += [{"kind": "finished", "step": 99_999, "last_step": 99_999, "result": "adapter"}]
    write(run, lines)
    history = whole(run)
    assert len(history.places) == len(lines)
    assert len(history.news) == 3001
    assert all(len(curve) <= 2000 for curve in history.curves.values())
    assert len(history.state.samples) <= 2 * MAX_SAMPLES
    assert history.state.samples[0]["step"] == 0 and history.state.samples[-1]["step"] == 2999
    assert history.event(77_000)["step"] == 77_001
    assert history.state.status == history.status == "finished"
    assert history.places.itemsize * len(history.places) < 2**20


def test_the_pieces_add_up_to_the_fold_over_all(tmp_path: Path) -> None:
    run = Run(tmp_path / "run")
    lines: list[dict[str, object]] = [{"kind": "launched"}, {"kind": "started", "total": 8000, "device": "cpu"}]
    for n in range(1, 8000):
        lines.append(step(n, 8000 / n))
        if n % 1000 == 0:
            lines.append({"kind": "evaluated", "step": n, "loss": 10 - n / 1000, "perplexity": 1.0, "improved": True})
    write(run, lines)
    assert run.events.stat().st_size > 2**20
    assert whole(run).state == events.fold(events.read_events(run.events))


def test_a_torn_last_line_is_held_back_and_a_torn_middle_is_an_error(tmp_path: Path) -> None:
    run = Run(tmp_path / "run")
    write(run, [step(1, 2.0)])
    with open(run.events, "ab") as file:
        file.write(b'{"seq": 2, "kind": "no')
    history = whole(run)
    assert len(history.places) == 1
    with open(run.events, "ab") as file:
        file.write(b'te", "text": "x"}\n')
    assert history.update() and len(history.places) == 2
    with open(run.events, "ab") as file:
        file.write(b'{"torn\n{"kind": "note"}\n')
    with pytest.raises(EdgeTuneError, match="damaged"):
        history.update()


def test_events_have_words() -> None:
    ranked = {"accuracy": 0.5, "interval": [0.4, 0.6], "count": 9, "margin": 0.0}
    said = [
        describe_event({"kind": "evaluated", "step": 5, "loss": 1.0, "perplexity": 2.7, "improved": True}),
        describe_event({"kind": "evaluated", "step": 0, "loss": 1.0, "improved": True} | ranked),
        describe_event({"kind": "failed", "error": {"title": "It broke", "cause": "why", "remedy": "do this"}}),
        describe_event({"kind": "sample", "step": 3, "prompt": "user\nWho?\nassistant\n", "answer": "Selma"}),
        describe_event({"kind": "checkpoint", "step": 3, "best": True}),
    ]
    assert said == [
        "step 5: held-out loss 1.0000, perplexity 2.70: improved",
        "step 0: held-out loss 1.0000, 50% of 9 preferred as voted (40% to 60%), margin 0.000: the model before training",
        "failed: It broke. why do this",
        "step 3: asked “Who?”, it answered “Selma”",
        "step 3: checkpoint saved, the best so far",
    ]
