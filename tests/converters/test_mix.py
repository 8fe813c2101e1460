"""Several adapters with weights, grown vocabularies and trained rows merge to what PEFT's own merge gives."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from converters import convert
from converters.archs import llama
from converters.errors import ConversionError
from converters.merge import Adapter
from converters.weights import read_folder
from tests.converters.adapters import LINEAR, train
from tests.converters.conftest import MakeModel
from tests.converters.reference import assert_same_model, gguf_logits, torch_logits, write_gguf

pytestmark = pytest.mark.filterwarnings("ignore")  # PEFT and transformers talk about versions to come
BASE = llama.TINY | {"vocab_size": 300}
IDS = np.random.default_rng(0).integers(3, 310, 64).tolist()
TIED = BASE | {"tie_word_embeddings": True}


def merged(folder: Path, adapters: Any) -> dict[str, np.ndarray]:
    """The merged tensors by their names in the model."""
    return dict(convert.plan_gguf(folder, adapters, ["F32"], chat_template=None, name="n", extra={}).merged())


def assert_equal(ours: dict[str, np.ndarray], theirs: dict[str, Any]) -> None:
    """Every tensor within float32 rounding of PEFT's."""
    for name, values in ours.items():
        reference = theirs[name].numpy()
        assert np.abs(values - reference).max() <= 1e-6 * np.abs(reference).max(), name


def test_several_with_weights_are_pefts_concatenation(make_model: MakeModel, tmp_path: Path) -> None:
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    folder = make_model(BASE)
    train(folder, tmp_path / "a", target_modules=[*LINEAR, "embed_tokens"], rank_pattern={"q_proj": 8})
    train(folder, tmp_path / "b", seed=2, target_modules=["q_proj", "embed_tokens"], r=6, use_rslora=True, alpha_pattern={"q_proj": 3})
    model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32), str(tmp_path / "a"), "a")
    model.load_adapter(str(tmp_path / "b"), "b")
    model.add_weighted_adapter(["a", "b"], [0.7, -0.4], "mix", combination_type="cat")
    model.set_adapter("mix")
    ours = merged(folder, [(tmp_path / "a", 0.7), (tmp_path / "b", -0.4)])
    assert_equal(ours, model.merge_and_unload().state_dict())
    alone = merged(folder, tmp_path / "a")
    assert any(not np.allclose(ours[name], alone[name], atol=1e-3) for name in ours)


@pytest.mark.parametrize(
    ("options", "weights", "named"),
    [
        ({"use_dora": True}, (0.5, 1.0), "q_proj.weight by DoRA, which cannot be weighted"),
        ({"use_dora": True}, (1.0, 0.5), "q_proj.weight by DoRA, and b changes it too"),
        ({"modules_to_save": ["lm_head"]}, (0.5, 1.0), "lm_head.weight by a fully trained tensor"),
        ({"trainable_token_indices": [3]}, (0.5, 1.0), "embed_tokens.weight by trained rows"),
        ({}, (float("nan"), 1.0), "weight nan"),
    ],
)
def test_what_is_no_sum_is_refused_by_name(
    make_model: MakeModel, tmp_path: Path, options: dict[str, Any], weights: tuple[float, float], named: str
) -> None:
    folder = make_model(BASE)
    train(folder, tmp_path / "a", target_modules=["q_proj"], **options)
    train(folder, tmp_path / "b", seed=2, target_modules=["q_proj"])
    with pytest.raises(ConversionError) as error:
        merged(folder, [(tmp_path / "a", weights[0]), (tmp_path / "b", weights[1])])
    assert named in error.value.cause


@pytest.mark.parametrize(("base", "indices"), [(BASE, [3, 250]), (TIED, [3, 250]), (BASE, {"embed_tokens": [7], "lm_head": [9, 8]})])
def test_trained_rows_replace_the_bases(make_model: MakeModel, tmp_path: Path, base: dict[str, Any], indices: Any) -> None:
    folder = make_model(base)
    tuned = train(folder, tmp_path / "a", target_modules=["q_proj"], trainable_token_indices=indices)
    plan = convert.plan_gguf(folder, tmp_path / "a", ["F32"], chat_template=None, name="n", extra={})
    assert plan.tied is base["tie_word_embeddings"]
    assert_equal(dict(plan.merged()), tuned.merge_and_unload().state_dict())


@pytest.mark.parametrize(
    ("base", "options"),
    [
        (BASE, {"target_modules": ["q_proj"], "modules_to_save": ["embed_tokens", "lm_head"]}),
        (BASE, {"target_modules": ["q_proj", "embed_tokens", "lm_head"]}),
    ],
    ids=["saved", "factors"],
)
def test_a_grown_vocabulary_comes_from_the_adapter(
    make_model: MakeModel, tmp_path: Path, base: dict[str, Any], options: dict[str, Any]
) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    folder = make_model(base)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    model.resize_token_embeddings(310)
    tuned = train(folder, tmp_path / "a", model=model, **options)
    ours = merged(folder, tmp_path / "a")
    assert ours["model.embed_tokens.weight"].shape == (310, 64)
    assert_equal(ours, tuned.merge_and_unload().state_dict())


def test_a_tied_base_whose_grown_embeddings_alone_were_trained(make_model: MakeModel, llama_cpp: Any, tmp_path: Path) -> None:
    """Its output matrix stays the grown one from before the training, which PEFT saves beside; the running adapter is the reference."""
    import torch
    from transformers import AutoModelForCausalLM

    folder = make_model(TIED)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    model.resize_token_embeddings(310)
    tuned = train(folder, tmp_path / "a", model=model, target_modules=["q_proj"], modules_to_save=["embed_tokens"])
    write_gguf(folder, tmp_path / "m.gguf", "F32", tmp_path / "a")
    assert_same_model(torch_logits(tuned, IDS), gguf_logits(llama_cpp, tmp_path / "m.gguf", IDS))


@pytest.mark.parametrize("dora", [False, True])
def test_weights_stored_as_in_out_whatever_fan_in_fan_out_says(tmp_path: Path, dora: bool) -> None:
    """With an output matrix adapted too, PEFT saves fan_in_fan_out false for GPT-2, whose other matrices are [in, out], some square."""
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    GPT2LMHeadModel(GPT2Config(n_embd=32, n_layer=1, n_head=2, vocab_size=64, bos_token_id=1, eos_token_id=2)).save_pretrained(
        tmp_path / "m"
    )
    names = ["c_attn", "c_proj", "c_fc", "lm_head"]
    tuned = train(tmp_path / "m", tmp_path / "a", target_modules=names, use_dora=dora)
    stored, adapter = read_folder(tmp_path / "m"), Adapter(tmp_path / "a")
    assert adapter.config["fan_in_fan_out"] is False
    stored |= adapter.replacements(("lm_head.weight",))
    adapter.check({name: tensor.shape for name, tensor in stored.items()}, ("c_attn.weight", "c_proj.weight", "c_fc.weight"))
    theirs = tuned.merge_and_unload().state_dict()
    assert_equal({name: adapter.merge(name, stored[name]) for name in adapter.changes}, theirs)
