"""A run on an earlier run: what remains with the new adapter off, what is published, exported, and resumed after a kill."""

import json
import os
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgetune.errors import EdgeTuneError, InputError
from edgetune.runs import checkpoints, launch
from edgetune.storage.workspace import Run, Workspace
from tests.methods.conftest import SMALL

pytestmark = pytest.mark.filterwarnings("ignore")
IDS = list(range(20, 52))
TASTE = {**SMALL, "method": "dpo", "sft_weight": 0.3}


def logits(model: Any) -> np.ndarray:
    import torch

    with torch.no_grad():
        values: np.ndarray = model(input_ids=torch.tensor([IDS])).logits[0].float().numpy()
    return values


def on_base(nano: Path, adapter: Path | None) -> Any:
    """The base in float32 with one adapter, by PEFT and transformers alone."""
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(nano, dtype="float32").eval()
    return PeftModel.from_pretrained(model, adapter).eval() if adapter else model


@pytest.fixture
def taught(train: Callable[..., Run], facts: Path) -> Run:
    """A short sft run whose adapter is clearly felt."""
    return train("taught", base="nano", data=str(facts), **{**SMALL, "rank": 6, "rslora": True, "learning_rate": 5e-3})


@pytest.mark.parametrize("targets", [["q_proj", "v_proj"], ["embed_tokens", "q_proj"]])
def test_what_remains_is_the_earlier_run_and_what_is_published_is_the_sum(
    targets: list[str], taught: Run, train: Callable[..., Run], trainer_of: Callable[..., Any], pairs: Path, nano: Path
) -> None:
    from edgetune.training.model import save_result, trained_weights

    run = train("r", from_run="taught", data=str(pairs), work=False, **{**TASTE, "quantization": "none", "target_modules": targets})
    made = trainer_of(run)
    made.model.eval()
    assert all(".default" in name and ".parent" not in name for name in trained_weights(made.model))
    earlier, base = logits(on_base(nano, taught.adapter)), logits(on_base(nano, None))
    running = logits(made.model)
    with made.model.disable_adapter():
        before = logits(made.model)
    assert np.abs(before - earlier).max() < 1e-4 and np.abs(earlier - base).max() > 0.1 and np.abs(running - earlier).max() > 0.1
    assert np.array_equal(logits(made.model), running)
    target = run.folder / "out"
    target.mkdir()
    save_result(made.model, made.recipe, target, nano, run.parent)
    assert np.abs(logits(on_base(nano, target)) - running).max() < 1e-4


def test_the_whole_line_is_exported_and_equals_the_running_model(
    taught: Run, train: Callable[..., Run], trainer_of: Callable[..., Any], edgetune: Callable[..., tuple[int, str, str]], pairs: Path
) -> None:
    """SFT, DPO on it, DPO on that; the GGUF in llama.cpp against the last run's model in torch, as its trainer holds it."""
    import llama_cpp
    from safetensors.torch import load_file

    from edgetune.training.model import trained_weights
    from tests.converters.reference import assert_same_model, gguf_logits

    options = {**TASTE, "data": str(pairs), "quantization": "none", "learning_rate": 2e-3, "keep_best": False}
    train("second", from_run="taught", **options)
    run = train("third", from_run="second", **options)
    made = trainer_of(run, None)
    checkpoints.load_weights(checkpoints.list_checkpoints(run.checkpoints)[-1].folder, trained_weights(made.model))
    made.model.eval()
    running = logits(made.model)
    code, out, err = edgetune("export", "third", "--type", "F32", "--json")
    assert code == 0, err
    path = Path(json.loads(out.splitlines()[-1])[0]["path"])  # before it stands what training in this process printed
    assert_same_model(running, gguf_logits(llama_cpp, path, IDS))
    assert (
        load_file(run.adapter / "adapter_model.safetensors")["base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight"].shape[0]
        == 6 + 4 + 4
    )
    code, out, _ = edgetune("show", "third", "--json")
    shown = json.loads(out)
    assert [(one["run"], one["method"]) for one in shown["lineage"]] == [("taught", "sft"), ("second", "dpo")] and code == 0
    assert "nano → taught (sft) → second (dpo) → third (dpo)" in edgetune("show", "third")[1]


def weights(run: Run) -> dict[str, Any]:
    from safetensors.torch import load_file

    return load_file(run.adapter / "adapter_model.safetensors")


@pytest.mark.parametrize("stacked", [False, True])
def test_killed_and_resumed_preferences_end_in_the_same_bits(
    stacked: bool, taught: Run, train: Callable[..., Run], pairs: Path, workspace: Workspace
) -> None:
    import torch

    start = {"from_run": "taught"} if stacked else {"base": "nano"}
    options = {**TASTE, **start, "data": str(pairs), "quantization": "nf4"}
    whole, killed = train("whole", **options), train("killed", work=False, **options)
    if stacked:
        shutil.rmtree(taught.folder)  # a run holds what it is built on
    worker = launch.start(killed.folder)
    while worker.poll() is None and launch.state(killed).step < 7:
        time.sleep(0.01)
    os.kill(worker.pid, signal.SIGKILL)
    worker.wait()
    assert launch.state(killed).status == "interrupted"
    assert launch.start(killed.folder).wait() == 0, launch.log_tail(killed)
    one, other = weights(whole), weights(killed)
    assert one.keys() == other.keys() and all(a.dtype == torch.float32 and torch.equal(a, other[name]) for name, a in one.items())


def test_what_cannot_be_built_on_is_refused(taught: Run, train: Callable[..., Run], facts: Path, pairs: Path, stories: Path) -> None:
    with pytest.raises(InputError, match="--base and --from"):
        train("a", from_run="taught", base=str(stories), data=str(pairs), work=False, **TASTE)
    with pytest.raises(InputError, match="no run 'none'"):
        train("b", from_run="none", data=str(pairs), work=False, **TASTE)
    train("unfinished", base="nano", data=str(facts), work=False, **SMALL)
    with pytest.raises(InputError, match="no result yet"):
        train("c", from_run="unfinished", data=str(pairs), work=False, **TASTE)
    train("dora", base="nano", data=str(facts), **{**SMALL, "dora": True, "max_steps": 1})
    with pytest.raises(InputError, match="cannot be built on"):
        train("d", from_run="dora", data=str(pairs), work=False, **TASTE)
    made = train("e", from_run="taught", data=str(pairs), work=False, **TASTE)
    file = made.parent / "adapter_model.safetensors"
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    from edgetune.runs.integrity import require_unchanged

    with pytest.raises(EdgeTuneError, match="built on has changed"):
        require_unchanged(made, made.request())
