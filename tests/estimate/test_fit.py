"""The prediction's parts against PEFT and the files, and the change it proposes. Peaks are measured by benchmarks/fit_memory.py."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgetune.bases import find, model_shapes
from edgetune.config.recipe import Recipe
from edgetune.errors import EdgeTuneError
from edgetune.estimate import fit
from edgetune.jobs import create
from tests.conftest import Train

Call = Callable[..., tuple[int, str, str]]
FULL: dict[str, Any] = {"base": "nano", "quantization": "none", "batch_size": 8, "gradient_accumulation": 2, "max_length": 512}


@pytest.mark.parametrize("targets", [["all-linear"], ["q_proj", "v_proj"]])
def test_the_adapter_has_as_many_weights_as_peft_makes(targets: list[str], nano: Path) -> None:
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoConfig, AutoModelForCausalLM

    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(nano))
        peft_model = get_peft_model(model, LoraConfig(r=8, target_modules="all-linear" if targets == ["all-linear"] else targets))
    shape = model_shapes.read_shapes(find.describe_base(nano))
    assert shape.adapter_weights(8, targets) == peft_model.get_nb_trainable_parameters()[0]
    assert shape.linear_weights + shape.other == find.describe_base(nano).parameters


def test_the_disk_of_checkpoints_is_what_a_run_leaves(train: Train, facts: Path, nano: Path) -> None:
    run = train(
        "disk",
        base=str(nano),
        data=[str(facts)],
        rank=32,
        max_steps=2,
        save_steps=1,
        batch_size=2,
        gradient_accumulation=1,
        quantization="none",
    )
    weights = sum(p.stat().st_size for p in run.checkpoints.glob("*/weights.safetensors"))
    moments = sum(p.stat().st_size for p in run.checkpoints.glob("*/optimizer.safetensors"))
    count = len(list(run.checkpoints.glob("step-*")))
    recipe = Recipe(base=str(nano), rank=32)
    predicted = fit.training_disk(recipe, find.describe_base(nano))
    checkpoint_size = 12 * model_shapes.read_shapes(find.describe_base(nano)).adapter_weights(32, ["all-linear"])
    assert (weights + moments) / count == pytest.approx(checkpoint_size, rel=0.05)
    assert count * checkpoint_size < predicted


def test_a_change_that_the_method_cannot_have_is_not_proposed(nano: Path) -> None:
    base, recipe = find.describe_base(nano), Recipe(**{**FULL, "method": "kto", "batch_size": 4, "gradient_accumulation": 4096})
    need = fit.training_memory(recipe, base, "cpu").total + fit.INTERPRETER
    for free in range(fit.INTERPRETER, need, need // 40):
        change = fit.smallest_change(recipe, base, "cpu", free)
        assert change is None or (change.needed <= free and Recipe(**{**recipe.model_dump(), **change.values}).batch_size >= 2)
    assert fit.smallest_change(recipe, base, "cpu", need - 1)


@pytest.mark.parametrize("less", [{"batch_size": 1}, {"max_length": 64}, {"gradient_checkpointing": True}, {"rank": 4}])
def test_what_should_save_memory_does(less: dict[str, int], nano: Path) -> None:
    base, recipe = find.describe_base(nano), Recipe(**FULL)
    assert fit.training_memory(recipe.model_copy(update=less), base, "cpu").total < fit.training_memory(recipe, base, "cpu").total


def test_a_pair_counts_as_two_rows_and_a_reward_model_has_no_logits(nano: Path) -> None:
    base = find.describe_base(nano)
    sft, dpo, orpo, reward = (
        fit.training_memory(Recipe(**{**FULL, "method": method, "batch_size": batch}), base, "cpu")
        for method, batch in (("sft", 8), ("dpo", 4), ("orpo", 4), ("reward", 4))
    )
    assert dpo == sft
    assert orpo.head == int(8 * 512 * model_shapes.read_shapes(base).vocabulary * 4 * fit.FULL_LOGITS_TABLES)
    assert reward.head < sft.head and reward.activations == sft.activations


@pytest.mark.parametrize("name", ["float32", "bfloat16"])
def test_a_layer_keeps_what_torch_saves_of_it(name: str, nano: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    from edgetune.machine.hardware import Choice
    from edgetune.training.model import build_model

    recipe, base, rows, width = Recipe(**FULL, rank=16), find.describe_base(nano), 2, 64
    model, saved = build_model(recipe, nano, "cpu", name), {}
    weights = {p.untyped_storage().data_ptr() for p in (*model.parameters(), *model.buffers())}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            saved[storage.data_ptr()] = (storage.nbytes(), storage)
        return tensor

    ids, mask = torch.ones((rows, width), dtype=torch.long), torch.ones((rows, width), dtype=torch.long)
    mask[0, -4:] = 0
    with (
        torch.autocast("cpu", torch.bfloat16, enabled=name == "bfloat16"),
        torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor),
    ):
        out = model.get_base_model().model(input_ids=ids, attention_mask=mask, use_cache=False)
    assert out.last_hidden_state.requires_grad
    monkeypatch.setattr(fit.hardware, "choose_dtype", lambda device: Choice(name, ""))
    memory = fit.training_memory(recipe.model_copy(update={"batch_size": rows, "max_length": width}), base, "cpu")
    assert memory.activations == pytest.approx(sum(size for size, _ in saved.values()), rel=0.15)


def test_the_smallest_change_fits_and_keeps_the_rows_of_an_update(nano: Path) -> None:
    base, recipe = find.describe_base(nano), Recipe(**FULL)
    need = fit.training_memory(recipe, base, "cpu").total + fit.INTERPRETER
    change = fit.smallest_change(recipe, base, "cpu", need - 1)
    assert change and change.values == {"batch_size": 4, "gradient_accumulation": 4} and change.needed < need
    tight = fit.smallest_change(recipe, base, "cpu", change.needed * 2 // 3)
    assert tight and tight.needed <= change.needed * 2 // 3
    assert fit.smallest_change(recipe, base, "cpu", fit.INTERPRETER) is None


def test_it_fits_is_tight_or_cannot_be(nano: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    base, recipe = find.describe_base(nano), Recipe(batch_size=8, quantization="none")
    need = fit.INTERPRETER + fit.training_memory(recipe, base, "cpu").total
    least = fit.smallest_change(recipe, base, "cpu", need - 1)
    assert least
    for free, value, reason in (
        (need * 2, "fits", "of"),
        (need, "tight", "close other"),
        (need - 1, "tight", least.description),
        (10**6, "no", "no change"),
    ):
        monkeypatch.setattr(fit, "free_memory", lambda device, free=free: free)
        choice = fit.judge_base(base, recipe)
        assert choice.value == value and reason in choice.reason


def test_what_cannot_fit_is_refused_before_a_run_is_made(nano: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fit, "free_memory", lambda device: fit.INTERPRETER)
    with pytest.raises(EdgeTuneError, match="Not enough memory"):
        create.need_memory(Recipe(**FULL), find.describe_base(nano), "cpu")


def test_the_command_prints_one_document(edgetune: Call) -> None:
    code, out, _ = edgetune("fit", "--base", "nano", "--max-length", "128", "--json")
    document = json.loads(out)
    assert code == 0 and document["fits"] and document["change"] is None
    parts = [value for name, value in document["memory"].items() if name not in ("total", "measured")]
    assert sum(parts) == document["memory"]["total"] == document["need"] - fit.INTERPRETER
    code, out, err = edgetune("fit", "--base", "nano", "--batch-size", "4096", "--max-length", "100000")
    assert code == 1 and "does not fit" in err and "Smallest change" in err


def test_with_rows_it_tells_the_time_of_the_whole_run(edgetune: Call, facts: Path) -> None:
    arguments = ("--base", "nano", "--data", str(facts), "--max-length", "64", "--epochs", "2", "--json")
    _, out, err = edgetune("fit", *arguments)
    effort = json.loads(out)["effort"]
    started = json.loads(edgetune("train", *arguments, "--dry-run")[1])
    assert effort["steps"] == started["steps"] and effort["tokens"] == started["effort"]["tokens"]
    assert effort["seconds"] >= 0 and not err
    assert json.loads(edgetune("fit", "--base", "nano", "--json")[1])["effort"] is None
    code, out, _ = edgetune("fit", *arguments[:-1])
    assert code == 0 and f"for {effort['steps']} steps over {effort['rows']} rows" in out


def test_rows_that_cannot_be_used_cost_no_prediction(edgetune: Call, tmp_path: Path) -> None:
    arguments = ("fit", "--base", "nano", "--data", str(tmp_path / "none.jsonl"))
    code, out, err = edgetune(*arguments)
    assert code == 2 and "answers: about" in out and "none.jsonl" in err
    code, out, _ = edgetune(*arguments, "--json")
    document = json.loads(out)
    assert code == 2 and document["fits"] and document["effort"] is None and "none.jsonl" in json.dumps(document["data_problem"])
