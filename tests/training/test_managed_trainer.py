"""What a managed trainer does between steps: it waits for room on the disk, and goes on from checkpoints of earlier versions."""

from pathlib import Path
from typing import Any

import pytest

from edgetune.errors import EdgeTuneError
from edgetune.runs import launch, manage
from edgetune.runs.events import EventLog, read_events
from edgetune.storage.files import DiskFull
from edgetune.storage.workspace import Workspace
from edgetune.training import managed_trainer
from edgetune.training.progress import RunProgress


def test_a_write_waits_for_room_and_tells_afterwards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    waits: list[float] = []
    monkeypatch.setattr(managed_trainer.time, "sleep", waits.append)
    answers = [DiskFull("a"), DiskFull("a"), None]

    def write() -> Path:
        if answer := answers.pop(0):
            raise answer
        return tmp_path / "a"

    log = EventLog(tmp_path / "events.jsonl")
    assert managed_trainer.retry_while_full(log, tmp_path, write) == tmp_path / "a"
    assert len(waits) == 2 and capsys.readouterr().out.count("disk is full") == 1
    assert ["training waited" in event["text"] for event in read_events(log.path)] == [True]


def test_other_errors_and_a_stop_request_end_the_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(managed_trainer.time, "sleep", lambda seconds: (tmp_path / "stop").touch())
    log = EventLog(tmp_path / "events.jsonl")

    def fail(error: Exception) -> Path:
        raise error

    same_title = EdgeTuneError("The disk is full")
    with pytest.raises(EdgeTuneError) as caught:
        managed_trainer.retry_while_full(log, tmp_path, lambda: fail(same_title))
    assert caught.value is same_title and not (tmp_path / "stop").exists()
    with pytest.raises(DiskFull):
        managed_trainer.retry_while_full(log, tmp_path, lambda: fail(DiskFull("a")))
    assert (tmp_path / "stop").exists()


def test_progress_goes_through_a_checkpoint() -> None:
    before, after, old = RunProgress(), RunProgress(), RunProgress()
    before.best_loss, before.best_step, before.evals_without_improvement, before.warned = 1.5, 4, 3, True
    after.restore(before.as_dict())
    assert vars(after) == vars(before)
    old.restore({"best_loss": None, "best_step": 0, "without_gain": 2, "tokens": 7.0})
    assert old.evals_without_improvement == 2 and not old.warned and old.first == {}


@pytest.mark.parametrize("shape", ["cosine", "linear", "constant"])
@pytest.mark.parametrize(("warmup", "total"), [(0, 1), (0, 7), (1, 7), (3, 7), (5, 9)])
def test_rates_are_transformers_without_their_first_step_which_is_zero(shape: str, warmup: int, total: int) -> None:
    import torch
    from transformers import get_scheduler

    optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0)
    theirs = get_scheduler("constant_with_warmup" if shape == "constant" else shape, optimizer, warmup + 1, total + 1)
    share = theirs.lr_lambdas[0]
    rates = [managed_trainer.rate_share(step, shape, warmup, total) for step in range(total)]
    assert share(0) == 0 < min(rates) and max(rates) == rates[warmup] == 1.0
    assert rates == pytest.approx([share(step + 1) for step in range(total)])


def test_a_run_that_is_made_longer_goes_on_with_the_longer_schedule(train_in: Any, facts: Path, tmp_path: Path) -> None:
    options = {"base": "nano", "data": str(facts), "batch_size": 1, "gradient_accumulation": 1, "max_length": 64, "quantization": "none"}
    run = train_in(Workspace(tmp_path / "w"), "r", max_steps=5, warmup_ratio=0.2, learning_rate=1e-3, **options)
    manage.prepare_resume(run, 10)
    assert launch.start(run.folder).wait() == 0, launch.log_tail(run)
    steps = [event for event in read_events(run.events) if event["kind"] == "step"]
    assert [event["step"] for event in steps] == list(range(1, 11))
    short, long = ([1e-3 * managed_trainer.rate_share(step, "cosine", total // 5, total) for step in range(total)] for total in (5, 10))
    rates = [event["learning_rate"] for event in steps]
    assert rates == pytest.approx(short + long[5:]) and min(rates) > 0
