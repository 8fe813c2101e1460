"""A killed run ends in the same bits; evaluation leaves no trace; damaged checkpoints are skipped; a diverged run stops."""

import json
import os
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgetune.errors import EdgeTuneError
from edgetune.runs import checkpoints, launch
from edgetune.runs.events import EventLog, read_events
from edgetune.storage.workspace import Run, Workspace
from tests.conftest import THINGS, write_facts

SMALL = {
    "quantization": "nf4",
    "dropout": 0.1,
    "max_steps": 12,
    "batch_size": 2,
    "gradient_accumulation": 2,
    "eval_steps": 5,
    "save_steps": 3,
    "max_length": 256,
}


@pytest.fixture(scope="module")
def whole_nano(train_in: Any, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """An uninterrupted run on Nano, to compare with."""
    folder = tmp_path_factory.mktemp("whole")
    write_facts(folder / "facts.jsonl")
    run: Run = train_in(Workspace(folder / "workspace"), "whole", base="nano", data=str(folder / "facts.jsonl"), **SMALL)
    return run


def weights(run: Run) -> dict[str, Any]:
    from safetensors.torch import load_file

    return load_file(run.adapter / "adapter_model.safetensors")


def same_bits(a: dict[str, Any], b: dict[str, Any]) -> bool:
    import torch

    return a.keys() == b.keys() and all(a[k].dtype == b[k].dtype == torch.float32 and torch.equal(a[k], b[k]) for k in a)


@pytest.mark.parametrize("base", ["stories", "nano"])
def test_killed_and_resumed_run_ends_in_the_same_bits(
    base: str, request: pytest.FixtureRequest, train: Callable[..., Run], workspace: Workspace, facts: Path
) -> None:
    folder = str(request.getfixturevalue(base))
    # Nano's uninterrupted run is the one that the other tests compare with.
    whole = request.getfixturevalue("whole_nano") if base == "nano" else train("whole", base=folder, data=str(facts), **SMALL)
    killed = train("killed", base=folder, data=str(facts), work=False, **SMALL)
    worker = launch.start(killed.folder)
    while worker.poll() is None and launch.state(killed).step < 8:
        time.sleep(0.01)
    os.kill(worker.pid, signal.SIGKILL)
    worker.wait()
    state = launch.state(killed)
    assert state.status == "interrupted" and 8 <= state.step < 12
    assert launch.start(killed.folder).wait() == 0, launch.log_tail(killed)
    started = [e for e in read_events(killed.events) if e["kind"] == "started"]
    assert [e["from_step"] for e in started] == [0, 6] or started[1]["from_step"] == 9
    assert same_bits(weights(whole), weights(killed))


def test_stop_request_then_resume(whole_nano: Run, train: Callable[..., Run], facts: Path) -> None:
    stopped = train("stopped", base="nano", data=str(facts), work=False, **SMALL)
    worker = launch.start(stopped.folder)
    while launch.state(stopped).step < 4:
        time.sleep(0.01)
    worker.send_signal(signal.SIGTERM)
    assert worker.wait() == 0
    assert launch.state(stopped).status == "stopped"
    assert not checkpoints.find_damage(checkpoints.list_checkpoints(stopped.checkpoints)[-1].folder)
    assert launch.start(stopped.folder).wait() == 0
    assert same_bits(weights(whole_nano), weights(stopped))


def test_gradients_before_and_after_an_evaluation_are_equal(stories: Path, train: Callable[..., Run], facts: Path) -> None:
    """On processors with AVX512-BF16 bitsandbytes would otherwise repack the weights at the first evaluation."""
    import torch

    from edgetune import methods
    from edgetune.bases import tokenizer as tokenizers
    from edgetune.data import store
    from edgetune.runs.integrity import recipe_of
    from edgetune.training.model import build_model, trained_weights
    from edgetune.training.progress import RunProgress
    from edgetune.training.row_order import row_order
    from edgetune.training.trainer_setup import TrainerSetup

    for base in (str(stories), "nano"):
        run = train(f"run-{Path(base).name}", base=base, data=str(facts), work=False, **SMALL)
        recipe, request = recipe_of(run), run.request()
        rows = store.TokenRows(run.data / store.TRAIN_FILE)
        folder = Path(request["base"])
        torch.set_num_threads(1)
        model, tokenizer = build_model(recipe, folder, "cpu", request["dtype"]), tokenizers.load_tokenizer(folder, "2026-01-01")
        trainer = methods.get("sft").make_trainer(
            TrainerSetup(recipe, model, tokenizer, rows, run.folder, 12, 256, "cpu", request["dtype"])
        )
        trainer.order, trainer.events, trainer.recipe, trainer.folder, trainer.progress = (
            row_order([[0, len(rows), len(rows)]], 48, 0),
            EventLog(run.events),
            recipe,
            run.folder,
            RunProgress(),
        )
        trainer.held_out = [{"input_ids": i, "labels": la} for i, la in store.TokenRows(run.data / store.HELD_OUT_FILE)]
        trainer.optimizer = None
        batch = trainer.data_collator([{"input_ids": i, "labels": la} for i, la in rows[:2]])

        def gradients(trainer: Any = trainer, batch: Any = batch) -> dict[str, Any]:
            torch.manual_seed(5)
            trainer.model.train()
            trainer.model.zero_grad()
            trainer.compute_loss(trainer.model, dict(batch)).backward()
            return {name: p.grad.clone() for name, p in trained_weights(trainer.model).items()}

        before = gradients()
        trainer.evaluate()
        after = gradients()
        assert all(torch.equal(before[k], after[k]) for k in before)
        assert any(bool(g.abs().sum() > 0) for g in before.values())


def test_damaged_checkpoints_are_skipped_and_said(
    whole_nano: Run, train: Callable[..., Run], train_in: Any, workspace: Workspace, facts: Path
) -> None:
    broken = train("broken", base="nano", data=str(facts), **SMALL)
    shutil.rmtree(broken.adapter)
    newest = checkpoints.list_checkpoints(broken.checkpoints)[-1].folder / "weights.safetensors"
    raw = bytearray(newest.read_bytes())
    raw[-5] ^= 1
    newest.write_bytes(raw)
    assert launch.start(broken.folder).wait() == 0
    events = read_events(broken.events)
    assert any("damaged" in e.get("text", "") for e in events)
    assert same_bits(weights(whole_nano), weights(broken))


def test_a_diverged_run_stops_and_keeps_its_last_good_checkpoint(workspace: Workspace, train_in: Any, tmp_path: Path) -> None:
    """A base whose embedding of the tokens of one row alone is infinite: the loss is finite until that row's turn comes."""
    import torch
    from safetensors.torch import load_file, save_file

    from edgetune.bases import tokenizer as tokenizers
    from edgetune.data import store
    from edgetune.storage.paths import BUNDLED
    from edgetune.training.row_order import row_order

    questions = [f"What is the number of the {thing}?" for thing in THINGS[:7]] + ["zzz xxx zzz"]
    rows = [{"messages": [{"role": "user", "content": ask}, {"role": "assistant", "content": "7."}]} for ask in questions]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    tokenizer = tokenizers.load_tokenizer(BUNDLED, "2026-01-01")
    ids = [set(tokenizer.encode(tokenizer.template.render(row["messages"]))) for row in rows]
    bad = sorted(ids[-1].difference(*ids[:-1]))

    # The output layer is untied first, so that the infinite rows are read as input alone.
    folder = tmp_path / "broken"
    shutil.copytree(BUNDLED, folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "tie_word_embeddings": False}))
    tensors = load_file(folder / "model.safetensors")
    tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"].clone()
    tensors["model.embed_tokens.weight"][bad] = torch.inf
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})

    options = {**SMALL, "quantization": "none", "max_steps": 8, "batch_size": 1, "gradient_accumulation": 1, "save_steps": 1}
    run = train_in(
        workspace, "hot", base=str(folder), data=str(tmp_path / "rows.jsonl"), work=False, validation_split=0.0, data_seed=1, **options
    )
    trained = [ids for ids, _ in store.TokenRows(run.data / store.TRAIN_FILE)]
    turn = next(step for step, row in enumerate(row_order([[0, 8, 8]], 8, 1), start=1) if set(trained[row]) & set(bad))
    assert bad and 2 < turn <= 8

    assert launch.start(run.folder).wait() == 1
    state = launch.state(run)
    assert state.status == "failed" and state.error and state.error["title"] == f"Training diverged at step {turn}"
    assert state.error["cause"].startswith("The loss is not finite.")
    assert not run.adapter.exists()

    # What it said of the checkpoint must be true.
    newest = checkpoints.list_checkpoints(run.checkpoints)[-1]
    kept = load_file(newest.folder / "weights.safetensors")
    assert newest.step == turn - 1 and kept and all(tensor.isfinite().all() for tensor in kept.values())


def test_loss_that_is_not_finite_is_never_filtered(workspace: Workspace, train_in: Any, facts: Path, tmp_path: Path) -> None:
    """A base with one infinite weight gives a loss that is not finite at the first look."""
    import torch
    from safetensors.torch import load_file, save_file

    from edgetune.storage.paths import BUNDLED

    folder = tmp_path / "broken"
    shutil.copytree(BUNDLED, folder)
    tensors = load_file(folder / "model.safetensors")
    tensors["model.norm.weight"][0] = torch.inf
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    run = train_in(workspace, "inf", base=str(folder), data=str(facts), work=False, **{**SMALL, "validation_split": 0.0})
    assert launch.start(run.folder).wait() == 1
    state = launch.state(run)
    assert state.status == "failed" and state.error and "not finite" in state.error["cause"]


def test_changed_base_and_rows_are_refused(train: Callable[..., Run], facts: Path, tmp_path: Path) -> None:
    from edgetune.runs.integrity import require_unchanged
    from edgetune.storage.paths import BUNDLED

    folder = tmp_path / "base"
    shutil.copytree(BUNDLED, folder)
    run = train("r", base=str(folder), data=str(facts), work=False, **SMALL)
    require_unchanged(run, run.request())
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "rms_norm_eps": 1e-6}))
    with pytest.raises(EdgeTuneError, match="base of r has changed"):
        require_unchanged(run, run.request())
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "config.json").write_bytes((BUNDLED / "config.json").read_bytes())
    (run.data / "train.arrow").write_bytes(b"x")
    with pytest.raises(EdgeTuneError, match="rows of r have changed"):
        require_unchanged(run, run.request())


def test_two_workers_one_owner(train: Callable[..., Run], facts: Path) -> None:
    run = train("one", base="nano", data=str(facts), work=False, **{**SMALL, "max_steps": 4})
    workers = [launch.start(run.folder) for _ in range(2)]
    codes = sorted(w.wait() for w in workers)
    assert codes == [0, 1]
    assert sum(e["kind"] == "started" for e in read_events(run.events)) == 1


def test_a_torn_last_event_is_held_back_and_closed_off(tmp_path: Path) -> None:
    log = EventLog(tmp_path / "events.jsonl")
    log.append("a")
    with open(log.path, "ab") as file:
        file.write(b'{"seq": 2, "ki')
    assert [e["kind"] for e in read_events(log.path)] == ["a"]
    EventLog(log.path).append("b")
    assert [(e["seq"], e["kind"]) for e in read_events(log.path)] == [(1, "a"), (2, "b")]
    log.path.write_bytes(b"nonsense\n" + log.path.read_bytes())
    with pytest.raises(EdgeTuneError, match="damaged"):
        read_events(log.path)
