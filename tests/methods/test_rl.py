"""RLOO's advantages by its formula, the distance to the reference, what ends a run, resume, and a reward that is learned."""

import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgetune.errors import EdgeTuneError, InputError
from edgetune.methods.rl import find_warning, repetition_share, split_prompt
from edgetune.runs import launch
from edgetune.runs.events import read_events
from edgetune.storage.workspace import Run
from tests.methods import formulas
from tests.methods.conftest import SMALL, write_pairs
from tests.methods.test_dpo import log_probability

pytestmark = pytest.mark.filterwarnings("ignore")
RL = {
    **SMALL,
    "base": "nano",
    "method": "rl",
    "batch_size": 4,
    "gradient_accumulation": 2,
    "num_generations": 4,
    "max_completion_length": 24,
    "max_steps": 6,
}


@pytest.fixture
def prompts(tmp_path: Path) -> Path:
    """A small file of prompts without answers."""
    lines = [json.dumps({"prompt": f"What is the opposite of case {i}?"}) for i in range(20)]
    (tmp_path / "prompts.jsonl").write_text("\n".join(lines), encoding="utf-8")
    return tmp_path / "prompts.jsonl"


@pytest.mark.parametrize("algorithm", ["rloo", "grpo"])
def test_advantages_equal_the_formula(
    algorithm: str, train: Callable[..., Run], trainer_of: Callable[..., Any], prompts: Path, nano: Path
) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    options = {**RL, "quantization": "none", "beta": 0.2, "algorithm": algorithm}
    run = train("r", data=str(prompts), reward="length:5", work=False, **options)
    made, reference = trainer_of(run), AutoModelForCausalLM.from_pretrained(nano, dtype="float32")
    made.model.train()
    torch.manual_seed(3)
    inputs = [made.train_dataset[number] for number in (0, 1) for _ in range(4)]
    out = made._generate_and_score_completions(inputs)
    rewards = []
    for number in range(8):
        prompt = json.loads(inputs[number]["prompt"])
        answer = out["completion_ids"][number][out["completion_mask"][number].bool()].tolist()
        ids, labels = prompt + answer, [-100] * len(prompt) + answer
        distance = log_probability(made.model, ids, labels)[0] - log_probability(reference, ids, labels)[0]
        reward = max(0.0, 1 - abs(len(answer) - 5) / 5)
        rewards.append(reward - 0.2 * distance if algorithm == "rloo" else reward)
    if algorithm == "rloo":
        expected = [value for start in (0, 4) for value in formulas.rloo(rewards[start : start + 4])]
    else:  # Shao et al. 2024, section 4.1.2: in units of the group's own spread
        groups = [np.array(rewards[start : start + 4]) for start in (0, 4)]
        expected = [float(v) for g in groups for v in (g - g.mean()) / (g.std(ddof=1) + 1e-4)]
    assert np.std(rewards) > 0.05
    assert out["advantages"].tolist() == pytest.approx(expected, abs=2e-3)


@pytest.mark.parametrize("algorithm", ["rloo", "grpo"])
def test_a_reward_is_learned_and_the_distance_shown(algorithm: str, train: Callable[..., Run], prompts: Path) -> None:
    options = {**RL, "max_steps": 20, "learning_rate": 2e-3, "algorithm": algorithm, "kl_limit": 50.0, "keep_best": False, "beta": 0.01}
    run = train("r", data=str(prompts), reward="length:2", **{**options, "validation_split": 0.4, "eval_steps": 20})
    events = read_events(run.events)
    steps = [e for e in events if e["kind"] == "step"]
    assert len(steps) == 20 and all({"reward", "kl", "length", "repetition"} <= set(e) for e in steps)
    assert np.mean([e["reward"] for e in steps[-5:]]) > np.mean([e["reward"] for e in steps[:5]]) + 0.05
    seen = [e for e in events if e["kind"] == "evaluated"]
    assert len(seen) == 2 and seen[-1]["loss"] == pytest.approx(-seen[-1]["reward"])


def test_beyond_the_limit_the_last_good_adapter_is_kept(train: Callable[..., Run], prompts: Path) -> None:
    options = {**RL, "max_steps": 40, "learning_rate": 0.02, "save_steps": 1, "validation_split": 0.0, "kl_limit": 0.2, "beta": 0.001}
    run = train("r", data=str(prompts), reward="length:20", **options)
    events = read_events(run.events)
    (said,) = [e for e in events if e["kind"] == "warning" and "nats a token" in e["text"]]
    finished = events[-1]
    assert finished["kind"] == "finished" and finished["step"] <= said["step"] - 2 and finished["last_step"] < 40
    distances = {e["step"]: e["kl"] for e in events if e["kind"] == "step"}
    assert all(distances[step] <= 0.2 for step in range(1, finished["step"] + 2)) and distances[said["step"]] > 0.2


def test_killed_and_resumed_rl_ends_in_the_same_bits(train: Callable[..., Run], prompts: Path) -> None:
    import torch
    from safetensors.torch import load_file

    options = {**RL, "max_steps": 8, "data": str(prompts), "reward": "length:4", "quantization": "nf4"}
    whole, killed = train("whole", **options), train("killed", work=False, **options)
    worker = launch.start(killed.folder)
    while worker.poll() is None and launch.state(killed).step < 5:
        time.sleep(0.01)
    os.kill(worker.pid, signal.SIGKILL)
    worker.wait()
    assert launch.state(killed).status == "interrupted"
    assert launch.start(killed.folder).wait() == 0, launch.log_tail(killed)
    one, other = (load_file(run.adapter / "adapter_model.safetensors") for run in (whole, killed))
    assert one.keys() == other.keys() and all(torch.equal(a, other[name]) for name, a in one.items())


def test_against_a_reward_model(train: Callable[..., Run], tmp_path: Path, stories: Path) -> None:
    file = write_pairs(tmp_path / "p.jsonl", 40)
    train("taste", base="nano", method="reward", data=str(file), **{**SMALL, "max_steps": 15, "learning_rate": 3e-3})
    run = train("r", data=str(file), reward="model:taste", **{**RL, "max_steps": 2})
    assert all(np.isfinite(e["reward"]) for e in read_events(run.events) if e["kind"] == "step")
    with pytest.raises(InputError, match="different tokenizer"):
        train("other", data=str(file), reward="model:taste", work=False, **{**RL, "base": str(stories)})


@pytest.mark.parametrize(("value", "said"), [("nan", "It is nan"), ("inf", "It is inf"), ("-1e30", "It is -1e+30, which is too large")])
def test_a_reward_that_is_no_number_is_named_with_its_answer(
    value: str, said: str, train: Callable[..., Run], trainer_of: Callable[..., Any], prompts: Path
) -> None:
    file = prompts.with_name("mine.py")
    file.write_text(f"def reward(prompt, answer, expected):\n    return float('{value}') if 'two' in answer else 1.0\n", encoding="utf-8")
    spec = f"python_file:{file}"
    made = trainer_of(train("r", data=str(prompts), reward=spec, work=False, **{**RL, "quantization": "none"}), seed=None)
    asked, sound, bad = (made.processing_class.encode(text) for text in ("Count!", "one", "one two"))
    with pytest.raises(EdgeTuneError) as caught:
        made.judge([json.dumps(asked)] * 2, [sound, bad], ["", ""])
    assert spec in caught.value.title and said in caught.value.cause
    assert "'one two'" in caught.value.cause and "'Count!'" in caught.value.cause
    assert "--learning-rate" not in caught.value.remedy


def test_rewards_that_are_all_alike_are_said_once(train: Callable[..., Run], prompts: Path) -> None:
    run = train("r", data=str(prompts), reward="regex:no such words", **{**RL, "max_steps": 2, "validation_split": 0.0})
    (said,) = [event for event in read_events(run.events) if event["kind"] == "warning"]
    assert said["step"] == 2 and "same reward from regex:no such words (in the last 0)" in said["text"]


def test_prompts_and_answers_of_rows() -> None:
    assert split_prompt({"input_ids": [1, 2, 3, 4], "labels": [-100, 2, -100, 4]}) == ([1, 2, 3], [4])
    assert split_prompt({"input_ids": [1, 2], "labels": [-100, -100]}) == ([1, 2], [])
    assert split_prompt({"chosen_ids": [1, 5], "chosen_labels": [-100, 5]}) == ([1], [5])


def test_hacking_is_said() -> None:
    first = {"reward": 0.1, "length": 10.0, "repetition": 0.0}
    assert repetition_share("a b c d a b c d") == pytest.approx(1 / 5) and repetition_share("a b") == 0.0
    assert find_warning({"reward": 0.5, "length": 12.0, "repetition": 0.1}, first) == ""
    assert "length" in find_warning({"reward": 0.5, "length": 25.0, "repetition": 0.0}, first)
    assert "repeat" in find_warning({"reward": 0.5, "length": 12.0, "repetition": 0.4}, first)
    assert find_warning({"reward": 0.0, "length": 25.0, "repetition": 0.4}, first) == ""
