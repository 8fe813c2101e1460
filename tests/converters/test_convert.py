"""What is written computes what the model computes: llama.cpp on the file against transformers on the folder."""

import io
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from converters import convert
from converters.archs import llama
from converters.errors import ConversionError
from converters.gguf_file import read_header
from tests.converters.conftest import MakeModel
from tests.converters.reference import assert_same_model, gguf_logits, mean_kl, torch_logits, write_gguf

IDS = np.random.default_rng(0).integers(3, 90, 64).tolist()
TIED = {"tie_word_embeddings": True, "attention_bias": False, "rope_parameters": {"rope_type": "default", "rope_theta": 20000.0}}
LINEAR = {"rope_parameters": {"rope_type": "linear", "rope_theta": 10000.0, "factor": 3.0}, "mlp_bias": True, "num_key_value_heads": 4}
YARN: dict[str, Any] = {
    "max_position_embeddings": 256,
    "rope_parameters": {
        "rope_type": "yarn",
        "rope_theta": 10000.0,
        "factor": 4.0,
        "attention_factor": 0.8,
        "original_max_position_embeddings": 64,
    },
}
FULL_SIZE = {"vocab_size": 300}


@pytest.mark.parametrize("changes", [{}, TIED, LINEAR, YARN], ids=["llama3-bias", "tied", "linear-mlp-bias", "yarn"])
def test_llama_cpp_computes_what_transformers_does(make_model: MakeModel, llama_cpp: Any, tmp_path: Path, changes: dict[str, Any]) -> None:
    from transformers import AutoModelForCausalLM

    folder = make_model(llama.TINY | FULL_SIZE | changes)
    write_gguf(folder, tmp_path / "m.gguf", "F32")
    assert_same_model(torch_logits(AutoModelForCausalLM.from_pretrained(folder), IDS), gguf_logits(llama_cpp, tmp_path / "m.gguf", IDS))


@pytest.mark.parametrize("type_name", ["F32", "F16", "BF16"])
def test_stories(stories: Path, llama_cpp: Any, tmp_path: Path, type_name: str) -> None:
    from transformers import AutoModelForCausalLM

    write_gguf(stories, tmp_path / "m.gguf", type_name)
    ids = np.random.default_rng(1).integers(3, 512, 64).tolist()
    logits = torch_logits(AutoModelForCausalLM.from_pretrained(stories), ids)
    limit = {"F32": 1e-9, "F16": 1e-4, "BF16": 1e-3}[type_name]
    ours = gguf_logits(llama_cpp, tmp_path / "m.gguf", ids)
    if type_name == "F32":
        assert_same_model(logits, ours)
    else:
        assert (logits.argmax(axis=1) == ours.argmax(axis=1)).mean() > 0.95
        assert mean_kl(logits, ours) <= limit


def test_stories_has_the_metadata_llama_cpp_writes(stories: Path, tmp_path: Path) -> None:
    """Keys and values as llama.cpp's own converter gave them."""
    write_gguf(stories, tmp_path / "m.gguf", "F16")
    header = read_header(tmp_path / "m.gguf")
    plain = {key: value for key, value in header.metadata.items() if isinstance(value, int | float | str)}
    epsilon = plain.pop("llama.attention.layer_norm_rms_epsilon")
    assert epsilon == np.float32(1e-5)
    assert plain == {
        "general.architecture": "llama",
        "general.type": "model",
        "general.name": "tiny",
        "general.basename": "tiny",
        "general.size_label": "260K",
        "general.file_type": 1,
        "general.quantization_version": 2,
        "llama.block_count": 5,
        "llama.context_length": 512,
        "llama.embedding_length": 64,
        "llama.feed_forward_length": 172,
        "llama.attention.head_count": 8,
        "llama.attention.head_count_kv": 4,
        "llama.rope.freq_base": 10000.0,
        "llama.attention.key_length": 8,
        "llama.attention.value_length": 8,
        "llama.vocab_size": 512,
        "llama.rope.dimension_count": 8,
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.pre": "default",
        "tokenizer.ggml.bos_token_id": 1,
        "tokenizer.ggml.eos_token_id": 2,
        "tokenizer.ggml.unknown_token_id": 0,
        "tokenizer.ggml.add_bos_token": True,
        "tokenizer.ggml.add_eos_token": False,
        "tokenizer.ggml.add_sep_token": False,
        "tokenizer.ggml.add_space_prefix": True,
    }
    assert np.bincount(header.metadata["tokenizer.ggml.token_type"]).tolist() == [0, 253, 1, 2, 0, 0, 256]
    assert header.tensors["blk.0.attn_k.weight"].shape == (64, 32)


def test_bf16_shards_old_rope_keys_and_unused_rows(make_model: MakeModel, llama_cpp: Any, tmp_path: Path) -> None:
    """A sharded BF16 folder with an older configuration gives the same file as the new one; unused ids are filled."""
    from transformers import AutoModelForCausalLM

    folder = make_model(llama.TINY | {"vocab_size": 320}, "bfloat16", "100KB")
    assert (folder / "model.safetensors.index.json").is_file()
    write_gguf(folder, tmp_path / "new.gguf", "F32")
    assert_same_model(torch_logits(AutoModelForCausalLM.from_pretrained(folder), IDS), gguf_logits(llama_cpp, tmp_path / "new.gguf", IDS))
    assert read_header(tmp_path / "new.gguf").metadata["tokenizer.ggml.tokens"][-1] == "[PAD319]"

    old = shutil.copytree(folder, tmp_path / "old")
    config = json.loads((old / "config.json").read_text())
    rope = config.pop("rope_parameters")
    config |= {"rope_theta": rope.pop("rope_theta"), "rope_scaling": rope}
    (old / "config.json").write_text(json.dumps(config))
    write_gguf(old, tmp_path / "old.gguf", "F32")
    assert (tmp_path / "old.gguf").read_bytes() == (tmp_path / "new.gguf").read_bytes()


def test_size_is_exact_and_progress_reaches_the_end(make_model: MakeModel) -> None:
    plan = convert.plan_gguf(
        make_model(llama.TINY | FULL_SIZE),
        None,
        ["Q8_0"],
        chat_template="{{ x }}",
        name="n",
        extra={"edgetune.run": "r", "edgetune.steps": 60, "edgetune.loss": 0.5, "edgetune.proven": False},
    )
    file, calls = io.BytesIO(), []
    plan.write("Q8_0", file, lambda done, total: calls.append((done, total)))
    assert len(file.getvalue()) == plan.size("Q8_0")
    assert calls[-1][0] == calls[-1][1] and [done for done, _ in calls] == sorted(done for done, _ in calls)


def test_merged_gives_the_model_itself_without_an_adapter(make_model: MakeModel) -> None:
    from transformers import AutoModelForCausalLM

    folder = make_model(llama.TINY | FULL_SIZE)
    weights = AutoModelForCausalLM.from_pretrained(folder).state_dict()
    ours = dict(convert.plan_gguf(folder, None, [], chat_template=None, name="n", extra={}).merged())
    assert ours.keys() == weights.keys()
    assert all(np.array_equal(ours[name], weights[name].numpy()) for name in ours)


def _changed(folder: Path, target: Path, **changes: Any) -> Path:
    shutil.copytree(folder, target)
    (target / "config.json").write_text(json.dumps(json.loads((target / "config.json").read_text()) | changes))
    return target


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"model_type": "bert"}, "bert"),
        ({"model_type": "__init__"}, "__init__"),
        ({"hidden_act": "gelu"}, "hidden_act"),
        ({"rope_parameters": {"rope_type": "dynamic", "rope_theta": 1e4, "factor": 2.0}}, "dynamic"),
        (YARN | {"rope_parameters": YARN["rope_parameters"] | {"beta_fast": 16.0}}, "beta_fast"),
        ({"quantization_config": {"quant_method": "gptq"}}, "quantization_config"),
        ({"num_hidden_layers": 10**9}, "num_hidden_layers"),
        ({"num_hidden_layers": 2}, "layers.2"),
        ({"num_hidden_layers": 4}, "layers.3"),
        ({"intermediate_size": 128}, "mlp"),
        ({"vocab_size": 40}, "40"),
        ({"attention_bias": False}, "bias"),
        ({"rms_norm_eps": "1e-5"}, "rms_norm_eps"),
    ],
)
def test_what_cannot_be_converted_is_refused_by_name(make_model: MakeModel, tmp_path: Path, changes: dict[str, Any], named: str) -> None:
    folder = _changed(make_model(llama.TINY | FULL_SIZE), tmp_path / "m", **changes)
    with pytest.raises(ConversionError) as refusal:
        convert.plan_gguf(folder, None, ["F16"], chat_template=None, name="n", extra={})
    assert named in f"{refusal.value.title} {refusal.value.cause}"
    assert refusal.value.remedy


def test_unknown_types_and_taken_keys_are_refused(make_model: MakeModel) -> None:
    folder = make_model(llama.TINY | FULL_SIZE)
    with pytest.raises(ConversionError, match="Q3_X"):
        convert.plan_gguf(folder, None, ["Q3_X"], chat_template=None, name="n", extra={})
    with pytest.raises(ConversionError, match=r"general\.name"):
        convert.plan_gguf(folder, None, ["F16"], chat_template=None, name="n", extra={"general.name": "other"})


def test_not_finite_weights_are_refused_by_tensor(make_model: MakeModel, tmp_path: Path) -> None:
    from safetensors.numpy import load_file, save_file

    folder = shutil.copytree(make_model(llama.TINY | FULL_SIZE), tmp_path / "m")
    weights = load_file(folder / "model.safetensors")
    weights["model.layers.1.mlp.up_proj.weight"][3, 4] = np.nan
    save_file(weights, folder / "model.safetensors")
    plan = convert.plan_gguf(folder, None, ["F16"], chat_template=None, name="n", extra={})
    with pytest.raises(ConversionError) as refusal:
        plan.write("F16", io.BytesIO())
    assert "model.layers.1.mlp.up_proj.weight" in refusal.value.cause


def test_tied_models_that_store_both_matrices(make_model: MakeModel, tmp_path: Path) -> None:
    """Equal ones stay one tensor; different ones are both kept, as transformers does."""
    from safetensors.numpy import load_file, save_file

    folder = shutil.copytree(make_model(llama.TINY | FULL_SIZE | TIED), tmp_path / "m")
    weights = load_file(folder / "model.safetensors")
    for difference, tied in ((0.0, True), (1.0, False)):
        head = weights["model.embed_tokens.weight"] + np.float32(difference)
        save_file(weights | {"lm_head.weight": head}, folder / "model.safetensors")
        plan = convert.plan_gguf(folder, None, ["F32"], chat_template=None, name="n", extra={})
        assert plan.tied is tied
        assert ("output.weight" in {info.name for info in plan.layout("F32")}) is not tied


def test_planning_and_writing_need_no_heavy_library(make_model: MakeModel, tmp_path: Path) -> None:
    code = (
        "import sys, pathlib; from converters import convert; "
        "plan = convert.plan_gguf(pathlib.Path(sys.argv[1]), None, ['Q4_0'], chat_template=None, name='n', extra={}); "
        "plan.write('Q4_0', open(sys.argv[2], 'wb')); "
        "print([name for name in ('torch', 'transformers', 'peft', 'llama_cpp', 'edgetune') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(make_model(llama.TINY | FULL_SIZE)), str(tmp_path / "m.gguf")],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(convert.__file__).parents[1],
    )
    assert done.stdout.strip() == "[]"
