"""What a managed trainer does between steps: it waits for room on the disk, and goes on from checkpoints of earlier versions."""

from pathlib import Path

import pytest

from edgetune.errors import EdgeTuneError
from edgetune.runs.events import EventLog, read_events
from edgetune.storage.files import DiskFull
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
