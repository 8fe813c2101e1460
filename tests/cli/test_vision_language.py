"""Bases that also see, as downloaded: from the list of bases to the answer, without a flag."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from edgetune.runs import launch
from edgetune.runs.events import read_events
from edgetune.storage.workspace import Run, Workspace
from tests.bases.test_vision_language import wrapper
from tests.conftest import Train, write_facts
from tests.converters.conftest import MakeModel, make_model
from tests.converters.reference import gguf_logits, torch_logits
from tests.converters.small_models import WRAPPERS
from tests.converters.test_archs import IDS
from tests.methods.conftest import write_pairs

__all__ = ["make_model"]

pytestmark = pytest.mark.filterwarnings("ignore")
SHORT: dict[str, Any] = {"max_steps": 2, "batch_size": 2, "gradient_accumulation": 1, "max_length": 256, "rank": 4, "alpha": 8.0}
Command = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """One workspace for all."""
    return Workspace(tmp_path_factory.mktemp("workspace"))


@pytest.fixture(scope="module")
def runs(place: Workspace, make_model: MakeModel, train_in: Callable[..., Run], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Run]:
    """A run on each type of base."""
    data = write_facts(tmp_path_factory.mktemp("data") / "facts.jsonl")
    options = SHORT | {"data": str(data), "learning_rate": 1e-2}
    methods = {"gemma3": "nf4", "qwen3_5": "none"}
    return {
        kind: train_in(place, kind, base=str(wrapper(make_model, kind)), quantization=methods.get(kind, "nf4"), **options)
        for kind in WRAPPERS
    }


@pytest.mark.parametrize("kind", WRAPPERS)
def test_only_the_text_part_gets_an_adapter(runs: dict[str, Run], kind: str) -> None:
    names = load_file(runs[kind].adapter / "adapter_model.safetensors")
    assert names and all(name.startswith("base_model.model.model.layers.") or "per_layer" in name for name in names)
    assert next(event for event in read_events(runs[kind].events) if event["kind"] == "finished")


@pytest.mark.parametrize("kind", WRAPPERS)
def test_a_run_is_exported_proven_and_asked(runs: dict[str, Run], place: Workspace, edgetune: Command, tmp_path: Path, kind: str) -> None:
    """The file computes what PEFT's adapter on the whole model's text part does."""
    import llama_cpp
    from peft import PeftModel
    from transformers import AutoModelForImageTextToText

    code, out, err = edgetune("export", kind, "--type", "F32", "--type", "Q8_0", "--workspace", place.path)
    assert code == 0, err
    assert err.count("only the text part of this model is used") == 1 and "proven in" in err
    path, small = map(Path, out.split())

    # The same adapter under a whole model's names, on the whole model.
    whole = AutoModelForImageTextToText.from_pretrained(runs[kind].request()["base"])
    folder = tmp_path / "adapter"
    folder.mkdir()
    prefix, whole_prefix = "base_model.model.model.", "base_model.model.model.language_model."
    trained = load_file(runs[kind].adapter / "adapter_model.safetensors")
    weights = {name.replace(prefix, whole_prefix): value for name, value in trained.items()}
    save_file(weights, folder / "adapter_model.safetensors")
    config = json.loads((runs[kind].adapter / "adapter_config.json").read_text())
    config["target_modules"] = sorted({name.removeprefix("base_model.model.").partition(".lora_")[0] for name in weights})
    (folder / "adapter_config.json").write_text(json.dumps(config))
    tuned = PeftModel.from_pretrained(whole, folder).eval()
    difference = np.abs(torch_logits(tuned, IDS) - gguf_logits(llama_cpp, path, IDS)).max()
    assert difference < (2e-2 if "gemma" in kind else 1e-3)

    code, out, err = edgetune(
        "chat", small, "--prompt", "What is far?", "--temperature", "0", "--max-tokens", "4", "--workspace", place.path
    )
    assert code == 0, err
    code, out, err = edgetune("import", path, "--out", tmp_path / "back")
    assert code == 0, err
    assert json.loads((tmp_path / "back/config.json").read_text())["model_type"] == WRAPPERS[kind][0]


def test_a_gguf_lora_an_evaluation_and_a_comparison(runs: dict[str, Run], place: Workspace, edgetune: Command) -> None:
    for arguments in (
        ("export", "gemma3", "--adapter-only"),
        ("eval", "gemma3", "--answers", "2"),
        ("compare", "gemma3", "--type", "Q8_0"),
        ("chat", runs["gemma3"].request()["base"], "--prompt", "What is far?", "--max-tokens", "2"),
    ):
        code, _, err = edgetune(*arguments, "--workspace", place.path)
        assert code == 0, (arguments, err)


@pytest.mark.parametrize(
    ("kind", "method", "more"),
    [
        ("mistral3", "dpo", {}),
        ("mistral3", "reward", {}),
        ("gemma3", "reward", {"quantization": "none"}),
        ("qwen3_5", "rl", {"reward": ["length:5"], "num_generations": 2, "max_completion_length": 8}),
        ("gemma4", "dpo", {}),
        ("lfm2_vl", "sft", {"lora": False, "quantization": "none"}),
    ],
)
def test_other_methods_train_on_them(
    train: Train, make_model: MakeModel, tmp_path: Path, kind: str, method: str, more: dict[str, Any]
) -> None:
    data = write_facts(tmp_path / "d.jsonl") if method in ("sft", "rl") else write_pairs(tmp_path / "d.jsonl")
    options = SHORT | {"quantization": "nf4", "data": str(data), "learning_rate": 1e-3} | more
    run = train("r", base=str(wrapper(make_model, kind)), method=method, **options)
    if options.get("lora", True):
        return
    weights = load_file(run.model / "model.safetensors")
    assert json.loads((run.model / "config.json").read_text())["model_type"] == WRAPPERS[kind][0]
    assert all(name.startswith("model.layers.") or name.partition(".")[2].startswith("embed") for name in weights)


def test_a_run_that_lost_its_last_steps_ends_in_the_same_bits(train: Train, make_model: MakeModel, facts: Path) -> None:
    """Taken up again by a worker of its own."""
    options = SHORT | {"max_steps": 4, "save_steps": 1, "validation_split": 0.0, "quantization": "nf4", "learning_rate": 1e-3}
    run = train("r", base=str(wrapper(make_model, "gemma3")), data=str(facts), **options)
    before = load_file(run.adapter / "adapter_model.safetensors")
    shutil.rmtree(run.adapter)
    for step in (3, 4):
        shutil.rmtree(run.checkpoints / f"step-{step:08d}", ignore_errors=True)
    assert launch.start(run.folder).wait() == 0, launch.log_tail(run)
    assert [event["from_step"] for event in read_events(run.events) if event["kind"] == "started"][-1] < 3
    after = load_file(run.adapter / "adapter_model.safetensors")
    assert before.keys() == after.keys() and all(np.array_equal(before[name], after[name]) for name in before)


def test_the_list_of_bases_and_the_plan_say_it(edgetune: Command, make_model: MakeModel, facts: Path) -> None:
    folder = wrapper(make_model, "gemma3")
    code, out, err = edgetune("bases", folder.parent, "--json")
    listed = {entry["path"]: entry for entry in json.loads(out)}
    assert code == 0 and listed[str(folder)]["architecture"] == "gemma3_text", err
    code, _, err = edgetune("train", "--base", folder, "--data", facts, "--dry-run")
    assert code == 0 and err.count("only the text part of this model is used; multi_modal_projector, vision_tower left out") == 1, err
    code, _, err = edgetune("export", folder, "--type", "F16", "--out", folder.parent / "out.gguf", "--text-only")
    assert code == 0 and "--text-only is not needed any more" in err
