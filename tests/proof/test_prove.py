"""The proof passes what is right and names what is wrong: a tuned model is exported soundly, and spoilt in one way at a time."""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from converters import convert
from converters.gguf_file import boolean, f32, strings, text, u32
from edgetune import export
from edgetune.proof.prove import Proof, Prover
from edgetune.workspace import Workspace
from tests.conftest import write_facts

QUERY, LATER = "blk.2.attn_q.weight", "blk.4.ffn_up.weight"


@dataclass
class Tuned:
    """A trained adapter, what proves its files, and a folder to write them to."""

    trained: Path
    source: export.Source
    prover: Prover
    folder: Path

    def plan(self, adapter: Path | None) -> convert.Plan:
        """The sound conversion of the base with an adapter."""
        source = self.source
        return convert.plan(source.model, adapter, [], chat_template=source.template, name="tuned", extra=source.facts)

    def prove(self, plan: convert.Plan, type_name: str) -> Proof:
        """Write a file of a plan and prove it."""
        path = self.folder / f"{type_name}.gguf"
        with open(path, "wb") as file:
            plan.write(type_name, file, threads=1)
        return self.prover.prove(path)

    def adapter(self, name: str, change: Callable[[str, Any], Any]) -> Path:
        """A copy of the adapter with its tensors changed."""
        from safetensors.numpy import load_file, save_file

        place = self.folder / name
        shutil.copytree(self.trained, place)
        weights = load_file(place / "adapter_model.safetensors")
        save_file({key: change(key, value) for key, value in weights.items()}, place / "adapter_model.safetensors")
        return place


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory, nano: Path) -> Tuned:
    """The bundled model, tuned by PEFT for a moment on a few facts."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    from edgetune.bases import tokenizer as tokenizers
    from edgetune.data.prepare import held_out

    folder = tmp_path_factory.mktemp("proof")
    data = write_facts(folder / "facts.jsonl")
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_pretrained(nano, dtype=torch.float32)
    model = get_peft_model(model, LoraConfig(r=8, lora_alpha=16, target_modules="all-linear", task_type="CAUSAL_LM"))
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=2e-3)
    for row in held_out(data, tokenizers.load(nano, "2026-01-01"), 256).rows[:24]:
        model(input_ids=torch.tensor([row.ids]), labels=torch.tensor([row.labels])).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    model.save_pretrained(folder / "adapter")
    source = replace(export.from_folder(nano, folder / "adapter"), held_out=data)
    return Tuned(folder / "adapter", source, Prover(source, Workspace(folder / "workspace").proof_cache, tokens=512), folder)


def rebuilt(plan: convert.Plan, name: str, change: Callable[[np.ndarray], np.ndarray]) -> convert.Plan:
    """A plan that spoils one tensor of the file."""

    def spoilt(tensor: Any) -> Any:
        return replace(tensor, build=lambda *parts: change(tensor.build(*parts))) if tensor.name == name else tensor

    assert any(tensor.name == name for tensor in plan.tensors)
    return replace(plan, _tensors=tuple(spoilt(tensor) for tensor in plan.tensors))


def told(plan: convert.Plan, **values: Any) -> convert.Plan:
    """A plan that writes other metadata; a key's dots are written as two underscores."""
    return replace(plan, _metadata={**plan._metadata, **{key.replace("__", "."): value for key, value in values.items()}})


@pytest.mark.parametrize("type_name", ["Q8_0", "Q4_K_M", "Q4_0"])
def test_a_sound_file_passes(tuned: Tuned, type_name: str) -> None:
    proof = tuned.prove(tuned.plan(tuned.source.adapter), type_name)
    assert proof.passed, proof.causes
    assert [check.name for check in proof.checks] == ["text", "weights", "meaning", "behaviour"]
    assert proof.figure("weights", "tensors_learned") == 42  # seven linear layers in each of six blocks
    assert proof.figure("behaviour", "answer_tokens") >= 16


@pytest.mark.parametrize("type_name", ["Q8_0", "Q4_K_M", "Q4_0"])
def test_an_adapter_left_out(tuned: Tuned, type_name: str) -> None:
    proof = tuned.prove(tuned.plan(None), type_name)
    assert "the file holds nothing of what was learned: the adapter was left out" in proof.causes


@pytest.mark.parametrize(("strength", "type_name"), [(0.8, "Q4_0"), (1.1, "Q4_K_M"), (1.5, "Q8_0")])
def test_an_adapter_of_the_wrong_strength(tuned: Tuned, strength: float, type_name: str) -> None:
    adapter = tuned.adapter(f"times{strength}", lambda key, value: value * np.float32(strength) if "lora_B" in key else value)
    proof = tuned.prove(tuned.plan(adapter), type_name)
    assert f"the file holds {strength:.2f} of what was learned: the adapter went in at the wrong strength" in proof.causes


def test_the_change_of_one_tensor_lost(tuned: Tuned) -> None:
    lost = "layers.4.mlp.up_proj.lora_B"
    adapter = tuned.adapter("lost", lambda key, value: value * 0 if lost in key else value)
    proof = tuned.prove(tuned.plan(adapter), "Q8_0")
    assert [cause for cause in proof.causes if LATER in cause and "of what was learned" in cause], proof.causes
    assert proof.figure("weights", "strength_least") == pytest.approx(0, abs=0.02)


@pytest.mark.parametrize(
    ("spoil", "check", "words"),
    [
        (lambda plan: rebuilt(plan, QUERY, lambda values: np.roll(values, 1, axis=0)), "weights", f"the tensor {QUERY}: far off"),
        (lambda plan: rebuilt(plan, QUERY, lambda values: values * 0), "weights", f"the tensor {QUERY}: all zeros in the file"),
        (
            lambda plan: told(plan, llama__rope__freq_base=f32(500000.0)),
            "meaning",
            "the rope base is 500000 in the file",
        ),
        (lambda plan: told(plan, tokenizer__chat_template=text("{{ messages[0].content }}")), "text", "the template differs"),
    ],
    ids=["rows rolled", "a tensor of zeros", "rope base", "template"],
)
def test_a_file_spoilt(tuned: Tuned, spoil: Callable[[convert.Plan], convert.Plan], check: str, words: str) -> None:
    proof = tuned.prove(spoil(tuned.plan(tuned.source.adapter)), "Q4_0")
    causes = next(one.causes for one in proof.checks if one.name == check)
    assert [cause for cause in causes if cause.startswith(words)], proof.causes


def test_rope_of_another_base_shows_in_what_is_computed(tuned: Tuned) -> None:
    proof = tuned.prove(told(tuned.plan(tuned.source.adapter), llama__rope__freq_base=f32(500000.0)), "Q8_0")
    assert proof.figure("meaning", "kl_mean") > 5e-3


def test_two_ids_swapped(tuned: Tuned) -> None:
    plan = tuned.plan(tuned.source.adapter)
    names = list(plan._metadata["tokenizer.ggml.tokens"].data)
    names[300], names[301] = names[301], names[300]
    proof = tuned.prove(told(plan, tokenizer__ggml__tokens=strings(names)), "Q8_0")
    assert "the tokens 300 and 301 are swapped in the file's vocabulary" in proof.causes


def test_a_bos_that_training_did_not_have(tuned: Tuned) -> None:
    plan = told(tuned.plan(tuned.source.adapter), tokenizer__ggml__add_bos_token=boolean(True), tokenizer__ggml__bos_token_id=u32(1))
    proof = tuned.prove(plan, "Q8_0")
    assert proof.causes[0].startswith("BOS doubled"), proof.causes


def test_the_command(tuned: Tuned, edgetune: Callable[..., tuple[int, str, str]], nano: Path) -> None:
    held_out = tuned.source.held_out
    assert held_out is not None
    for adapter, code in ((tuned.source.adapter, 0), (None, 1)):
        path = tuned.folder / f"command-{code}.gguf"
        with open(path, "wb") as file:
            tuned.plan(adapter).write("Q8_0", file, threads=1)
        result, out, err = edgetune("prove", nano, path, "--adapter", tuned.trained, "--data", held_out, "--json")
        assert result == code, err
        record = json.loads(path.with_suffix(".proof.json").read_text(encoding="utf-8"))
        page = path.with_suffix(".proof.html").read_text(encoding="utf-8")
        assert (record["passed"], json.loads(out)["causes"]) == (code == 0, record["causes"])
        assert ("Passed:" in page, "the adapter was left out" in page) == (code == 0, code == 1)
        assert "<script" not in page
