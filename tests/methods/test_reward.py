"""Reward models: Bradley and Terry's loss, what they are worth, resume after a kill, and ranking answers."""

import json
import math
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgetune.errors import InputError
from edgetune.machine import hardware
from edgetune.methods.reward import assess_pairs
from edgetune.runs import launch
from edgetune.runs.describe_event import describe_event
from edgetune.runs.events import read_events
from edgetune.storage.workspace import Run
from tests.methods import formulas
from tests.methods.conftest import SMALL, write_pairs

pytestmark = pytest.mark.filterwarnings("ignore")
TASTE = {**SMALL, "base": "nano", "method": "reward"}


def test_the_loss_is_bradley_and_terrys(train: Callable[..., Run], trainer_of: Callable[..., Any], pairs: Path) -> None:
    import torch

    made = trainer_of(train("r", data=str(pairs), quantization="none", work=False, **TASTE))
    made.model.eval()
    rows = made.train_dataset.to_list()[:3]

    def reward(ids: list[int]) -> float:
        """By the head on the last hidden state of the text's last token, without padding or batch."""
        body = made.model.base_model.model.model
        with torch.no_grad():
            hidden = body(input_ids=torch.tensor([ids])).last_hidden_state[0, -1]
            return float(made.model.base_model.model.score(hidden))

    rewards = [(reward(row["chosen_ids"]), reward(row["rejected_ids"])) for row in rows]
    expected = float(np.mean([formulas.bradley_terry(*pair) for pair in rewards]))
    assert float(made.compute_loss(made.model, made.data_collator(rows))) == pytest.approx(expected, rel=1e-4)


def test_what_a_reward_model_is_worth() -> None:
    """Two of three ranked as voted, always sure to 90 % or even: numbers made by hand."""
    gap = math.log(9)
    found = assess_pairs([(gap, 0.0), (gap, 0.0), (0.0, gap)], [(1, 3), (1, 3), (2, 1)])
    assert found["accuracy"] == pytest.approx(2 / 3) and found["count"] == 3
    assert found["mean_certainty"] == pytest.approx(0.9) and found["calibration_error"] == pytest.approx(0.9 - 2 / 3)
    assert found["shorter_chosen"] == pytest.approx(2 / 3)
    assert found["length_correlation"] == pytest.approx(np.corrcoef([gap, 0, gap, 0, 0, gap], [1, 3, 1, 3, 2, 1])[0, 1])
    assert found["interval"] == pytest.approx((0.2077, 0.9385), abs=1e-4)  # Wilson's for 2 of 3, as in statistics' tables


def test_the_head_is_measured_on_a_base_in_bf16(train: Callable[..., Run], pairs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "choose_dtype", lambda *_: hardware.Choice("bfloat16", "asked for"))
    run = train("r", data=str(pairs), **{**TASTE, "max_steps": 1})
    found = {event["kind"]: event for event in read_events(run.events)}
    assert found["started"]["dtype"] == "bfloat16"
    assert math.isfinite(found["evaluated"]["loss"]) and 0 <= found["measured"]["accuracy"] <= 1


def test_it_learns_a_taste_and_ranks_with_it(
    train: Callable[..., Run], edgetune: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    run = train(
        "taste",
        data=str(write_pairs(tmp_path / "p.jsonl", 60)),
        **{**TASTE, "max_steps": 25, "validation_split": 0.25, "learning_rate": 3e-3},
    )
    events = read_events(run.events)
    seen = [e for e in events if e["kind"] == "evaluated"]
    assert any("held-out pairs ranked as voted" in describe_event(event) for event in events)
    assert seen[-1]["accuracy"] >= 0.85 and seen[-1]["loss"] < 0.6931 < seen[0]["loss"] + 0.2
    worth = json.loads((run.folder / "measured.json").read_text())
    assert worth["accuracy"] >= 0.85 and worth["length_correlation"] < -0.5 and worth["shorter_chosen"] == 1.0
    question = [{"role": "user", "content": "What is the number of the mule, case 99?"}]
    texts = ["It is 99. Many people know the number of the mule.", "99."]
    lines = [json.dumps({"messages": [*question, {"role": "assistant", "content": text}]}) for text in texts]
    (tmp_path / "answers.jsonl").write_text("\n".join([*lines, json.dumps({"messages": question})]), encoding="utf-8")
    code, out, err = edgetune("score", "taste", "--data", tmp_path / "answers.jsonl", "--json")
    document = json.loads(out.splitlines()[-1])  # before it stands what training in this process printed
    assert code == 0 and document["scored"] == 2 and [row["line"] for row in document["rejected"]] == [3] and ":3:" in err
    (group,) = document["prompts"]
    assert group["prompt"] == question and [one["answer"] for one in group["answers"]] == texts[::-1]
    code, out, err = edgetune("export", "taste")
    assert code == 2 and "scores, not answers" in err


def test_killed_and_resumed_reward_ends_in_the_same_bits(train: Callable[..., Run], pairs: Path) -> None:
    import torch
    from safetensors.torch import load_file

    options = {**TASTE, "data": str(pairs), "quantization": "nf4", "dropout": 0.1}
    whole, killed = train("whole", **options), train("killed", work=False, **options)
    worker = launch.start(killed.folder)
    while worker.poll() is None and launch.state(killed).step < 7:
        time.sleep(0.01)
    os.kill(worker.pid, signal.SIGKILL)
    worker.wait()
    assert launch.state(killed).status == "interrupted"
    assert launch.start(killed.folder).wait() == 0, launch.log_tail(killed)
    one, other = (load_file(run.adapter / "adapter_model.safetensors") for run in (whole, killed))
    assert any("score" in name for name in one) and one.keys() == other.keys()
    assert all(a.dtype == torch.float32 and torch.equal(a, other[name]) for name, a in one.items())


def test_scoring_needs_a_reward_model(train: Callable[..., Run], pairs: Path, facts: Path) -> None:
    from edgetune.training.reward_model import Scorer

    with pytest.raises(InputError, match="no reward model"):
        Scorer(train("s", base="nano", data=str(facts), work=False, **SMALL))
    with pytest.raises(InputError, match="no result yet"):
        Scorer(train("r", data=str(pairs), work=False, **TASTE))
