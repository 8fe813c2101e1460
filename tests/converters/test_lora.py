"""A GGUF LoRA holds what llama.cpp's own converter writes, and on its base computes what the merged model does."""

import io
import json
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from converters import convert, lora
from converters.archs import gpt2, llama, phi3
from converters.errors import ConversionError
from converters.gguf_file import Value, Writer, f32, lay_out, read_header, text
from converters.lora_file import check_adapter
from tests.converters.adapters import LINEAR, fingerprint, fixed_adapter, train
from tests.converters.conftest import MakeModel
from tests.converters.reference import gguf_logits, mean_kl, write_gguf

pytestmark = pytest.mark.filterwarnings("ignore")  # PEFT and transformers talk about versions to come
BASE = llama.TINY | {"vocab_size": 300}
TIED = BASE | {"tie_word_embeddings": True}
IDS = np.random.default_rng(0).integers(3, 90, 64).tolist()
FIXED = {
    "model.embed_tokens": (300, 64),
    "lm_head": (300, 64),
    "model.layers.0.self_attn.q_proj": (96, 64),
    "model.layers.1.self_attn.k_proj": (48, 64),
    "model.layers.1.self_attn.o_proj": (64, 96),
    "model.layers.2.mlp.down_proj": (64, 96),
}
THEIRS = {
    "F32": "12d020129b499725550a7ca8c4353cae9526c0111207420609ec5de9c93d5926",
    "F16": "8be58808210c1c9dc5a382c7dd13ef45b915d1cb6ab7f76440bd5fb7f62f7ed0",
    "BF16": "d81e9923f04dae2e81e213d858fc69a893e38c259286c666ab01c311d3baa760",
}
"""`fingerprint` of what llama.cpp's convert_lora_to_gguf.py (llama-cpp-python 0.3.36) makes of the fixed adapter."""


def write_lora(model: Path, adapter: Path, path: Path, type_name: str = "F32") -> Path:
    """Write the adapter as a GGUF LoRA."""
    plan = lora.plan_lora(model, adapter, type_name, name="tiny", extra={"edgetune.run": "r"})
    with open(path, "wb") as file:
        plan.write(file)
    assert path.stat().st_size == plan.size()
    return path


@pytest.mark.parametrize("type_name", THEIRS)
def test_tensors_and_metadata_are_those_llama_cpp_writes(make_model: MakeModel, tmp_path: Path, type_name: str) -> None:
    adapter = fixed_adapter(tmp_path / "a", FIXED)
    header = read_header(write_lora(make_model(BASE), adapter, tmp_path / "a.gguf", type_name))
    assert fingerprint(header) == THEIRS[type_name]
    # Theirs has another name, and from the adapter's README.md general.base_model.* and general.tags.
    assert header.metadata == {
        "general.architecture": "llama",
        "general.type": "adapter",
        "adapter.type": "lora",
        "general.name": "tiny",
        "adapter.lora.alpha": 8.0,
        "general.quantization_version": 2,
        "edgetune.run": "r",
    }


CASES: dict[str, dict[str, Any]] = {
    "all-modules": {"target_modules": [*LINEAR, "embed_tokens", "lm_head"]},
    "rslora-patterns": {
        "target_modules": LINEAR,
        "use_rslora": True,
        "rank_pattern": {"q_proj": 8, r"layers\.1\..*\.up_proj": 2},
        "alpha_pattern": {"v_proj": 3, "0.mlp.down_proj": 40},
    },
}


@pytest.mark.parametrize("case", CASES)
def test_on_its_base_it_computes_what_the_merged_model_does(make_model: MakeModel, llama_cpp: Any, tmp_path: Path, case: str) -> None:
    folder = make_model(BASE)
    train(folder, tmp_path / "a", **CASES[case])
    write_gguf(folder, tmp_path / "base.gguf", "F32")
    write_gguf(folder, tmp_path / "merged.gguf", "F32", tmp_path / "a")
    path = write_lora(folder, tmp_path / "a", tmp_path / "a.gguf")
    check_adapter(read_header(tmp_path / "base.gguf"), read_header(path))
    merged, plain = gguf_logits(llama_cpp, tmp_path / "merged.gguf", IDS), gguf_logits(llama_cpp, tmp_path / "base.gguf", IDS)
    tuned = gguf_logits(llama_cpp, tmp_path / "base.gguf", IDS, [(path, 1.0)])
    assert mean_kl(merged, tuned) <= 1e-9 < 1e-2 < mean_kl(merged, plain)


def test_its_strength_and_several_together_are_those_of_a_merge_with_weights(make_model: MakeModel, llama_cpp: Any, tmp_path: Path) -> None:
    folder = make_model(BASE)
    write_gguf(folder, tmp_path / "base.gguf", "F32")
    weighted, loaded = [(tmp_path / "a", 0.4), (tmp_path / "b", -0.7)], []
    for seed, (adapter, weight) in enumerate(weighted):
        train(folder, adapter, seed, target_modules=LINEAR)
        loaded.append((write_lora(folder, adapter, adapter.with_suffix(".gguf")), weight))
    for count in (1, 2):
        plan = convert.plan_gguf(folder, weighted[:count], ["F32"], chat_template=None, name="n", extra={})
        with open(tmp_path / "merged.gguf", "wb") as file:
            plan.write("F32", file)
        merged = gguf_logits(llama_cpp, tmp_path / "merged.gguf", IDS)
        full = gguf_logits(llama_cpp, tmp_path / "base.gguf", IDS, [(path, 1.0) for path, _ in loaded[:count]])
        assert mean_kl(merged, gguf_logits(llama_cpp, tmp_path / "base.gguf", IDS, loaded[:count])) <= 1e-9 < 1e-2 < mean_kl(merged, full)


@pytest.mark.parametrize("architecture", [gpt2, phi3], ids=["gpt2", "phi3"])
def test_turned_and_joined_matrices(make_model: MakeModel, llama_cpp: Any, tmp_path: Path, architecture: Any) -> None:
    folder = make_model(architecture.TINY | {"vocab_size": 300})
    train(folder, tmp_path / "a", target_modules="all-linear")
    write_gguf(folder, tmp_path / "base.gguf", "F32")
    write_gguf(folder, tmp_path / "merged.gguf", "F32", tmp_path / "a")
    path = write_lora(folder, tmp_path / "a", tmp_path / "a.gguf")
    tuned = gguf_logits(llama_cpp, tmp_path / "base.gguf", IDS, [(path, 1.0)])
    assert mean_kl(gguf_logits(llama_cpp, tmp_path / "merged.gguf", IDS), tuned) <= 1e-7


def test_several_merged_with_weights_equal_pefts_concatenation(make_model: MakeModel, tmp_path: Path) -> None:
    folder = make_model(BASE)
    settings: dict[str, Any] = {"target_modules": LINEAR}
    train(folder, tmp_path / "b", 2, **settings, r=3)
    tuned = train(folder, tmp_path / "a", 1, **settings)
    tuned.load_adapter(str(tmp_path / "b"), "b")
    tuned.add_weighted_adapter(["default", "b"], [0.4, 1.7], "mix", combination_type="cat")
    tuned.delete_adapter("default")
    tuned.delete_adapter("b")
    tuned.set_adapter("mix")
    theirs = tuned.merge_and_unload().state_dict()
    mix = [(tmp_path / "a", 0.4), (tmp_path / "b", 1.7)]
    ours = dict(convert.plan_gguf(folder, mix, ["F32"], chat_template=None, name="n", extra={}).merged())
    assert ours.keys() == theirs.keys()
    for name, weight in theirs.items():
        assert np.abs(ours[name] - weight.numpy()).max() <= 1e-6 * np.abs(weight.numpy()).max(), name


@pytest.mark.parametrize(
    ("options", "weight", "named"),
    [
        ({"use_dora": True}, 0.5, "DoRA, which cannot be weighted"),
        ({"use_dora": True}, 1.0, "DoRA, and b changes it too"),
        ({"modules_to_save": ["lm_head"]}, 0.5, "lm_head.weight by a fully trained tensor, which cannot be weighted"),
        ({}, float("inf"), "weight inf"),
    ],
)
def test_what_is_not_a_sum_is_not_mixed(make_model: MakeModel, tmp_path: Path, options: dict[str, Any], weight: float, named: str) -> None:
    folder = make_model(BASE)
    train(folder, tmp_path / "a", target_modules=["q_proj"], **options)
    train(folder, tmp_path / "b", target_modules=["q_proj"])
    with pytest.raises(ConversionError) as error:
        convert.plan_gguf(folder, [(tmp_path / "a", weight), (tmp_path / "b", 1.0)], ["F32"], chat_template=None, name="n", extra={})
    assert named in error.value.cause


@pytest.mark.slow
def test_tensors_equal_those_of_llama_cpps_converter(llama_cpp_source: Path, make_model: MakeModel, tmp_path: Path) -> None:
    """The converter itself."""
    folder = make_model(BASE)
    train(folder, tmp_path / "a", target_modules=[*LINEAR, "embed_tokens", "lm_head"])
    out = tmp_path / "theirs.gguf"
    words = ["--base", str(folder), "--outtype", "f16", "--outfile", str(out), str(tmp_path / "a")]
    command = [sys.executable, str(llama_cpp_source / "convert_lora_to_gguf.py"), *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode and "No module named" in done.stderr:
        pytest.skip(done.stderr.splitlines()[-1])
    assert done.returncode == 0, done.stderr
    ours, theirs = read_header(write_lora(folder, tmp_path / "a", tmp_path / "a.gguf", "F16")), read_header(out)
    assert {name: (info.type, info.shape) for name, info in ours.tensors.items()} == {
        name: (info.type, info.shape) for name, info in theirs.tensors.items()
    }
    for name in ours.tensors:
        assert np.array_equal(ours.raw(name), theirs.raw(name)), name
    assert ours.metadata["adapter.lora.alpha"] == theirs.metadata["adapter.lora.alpha"]


def refusal(folder: Path, adapter: Path) -> str:
    """What is said when the adapter cannot be a GGUF LoRA."""
    with pytest.raises(ConversionError) as error:
        lora.plan_lora(folder, adapter, "F32", name="n", extra={})
    return f"{error.value.title}: {error.value.cause}"


@pytest.mark.parametrize(
    ("base", "options", "named"),
    [
        (BASE, {"target_modules": ["q_proj"], "use_dora": True}, ["q_proj.weight is scaled by DoRA"]),
        (BASE, {"target_modules": ["q_proj"], "modules_to_save": ["lm_head"]}, ["lm_head.weight was fully trained"]),
        (BASE, {"target_modules": ["q_proj"], "trainable_token_indices": [3, 5]}, ["rows of model.embed_tokens.weight were trained"]),
        (BASE, {"target_modules": ["q_proj"], "bias": "lora_only"}, ["bias"]),
        (BASE, {"target_modules": ["q_proj"], "lora_alpha": 0}, ["lora_alpha is 0"]),
        (TIED, {"target_modules": ["embed_tokens"]}, ["model.embed_tokens.weight shares one matrix with the output or embeddings"]),
        (TIED, {"target_modules": ["lm_head"]}, ["lm_head.weight shares one matrix with the output or embeddings"]),
    ],
    ids=["dora", "whole", "rows", "bias", "alpha", "tied-embeddings", "tied-head"],
)
def test_what_it_cannot_carry_is_refused_by_name(
    make_model: MakeModel, tmp_path: Path, base: dict[str, Any], options: dict[str, Any], named: list[str]
) -> None:
    folder = make_model(base)
    train(folder, tmp_path / "a", **options)
    said = refusal(folder, tmp_path / "a")
    assert all(one in said for one in named), said


def test_the_bases_own_matrices_beside_the_factors_must_be_the_bases(make_model: MakeModel, tmp_path: Path) -> None:
    from safetensors.numpy import load_file, save_file

    folder = make_model(BASE)
    adapter = fixed_adapter(tmp_path / "a", FIXED)
    tensors, name = load_file(adapter / "adapter_model.safetensors"), "base_model.model.lm_head.base_layer.weight"
    head = load_file(folder / "model.safetensors")["lm_head.weight"]
    save_file(tensors | {name: head}, adapter / "adapter_model.safetensors")
    assert fingerprint(read_header(write_lora(folder, adapter, tmp_path / "a.gguf"))) == THEIRS["F32"]
    save_file(tensors | {name: head + 1}, adapter / "adapter_model.safetensors")
    assert "lm_head.weight differs from the base's" in refusal(folder, adapter)


def test_factors_that_are_not_finite_and_unknown_types_are_refused(make_model: MakeModel, tmp_path: Path) -> None:
    from safetensors.numpy import load_file, save_file

    folder, adapter = make_model(BASE), fixed_adapter(tmp_path / "a", FIXED)
    with pytest.raises(ConversionError, match="Q4_K"):
        lora.plan_lora(folder, adapter, "Q4_K", name="n", extra={})
    tensors = load_file(adapter / "adapter_model.safetensors")
    tensors["base_model.model.lm_head.lora_B.weight"][3, 1] = np.nan
    save_file(tensors, adapter / "adapter_model.safetensors")
    with pytest.raises(ConversionError) as error:
        lora.plan_lora(folder, adapter, "F32", name="n", extra={}).write(io.BytesIO())
    assert "lm_head.lora_B" in error.value.cause


META: dict[str, Value] = {
    "general.architecture": text("llama"),
    "general.type": text("adapter"),
    "adapter.type": text("lora"),
    "adapter.lora.alpha": f32(8),
}
PAIR: dict[str, tuple[int, ...]] = {"blk.0.attn_q.weight.lora_a": (64, 4), "blk.0.attn_q.weight.lora_b": (4, 96)}


def made(path: Path, metadata: dict[str, Value], shapes: Mapping[str, tuple[int, ...]], value: float = 0.5, kind: str = "F32") -> Path:
    """A GGUF by hand."""
    layout = lay_out((name, shape, kind) for name, shape in shapes.items())
    with open(path, "wb") as file:
        writer = Writer(file, metadata, layout)
        for info in layout:
            dtype = {"F32": np.float32, "F64": np.float64}[kind]
            writer.write(info.name, np.full(int(np.prod(info.shape)), value, dtype))
    return path


@pytest.mark.parametrize(
    ("metadata", "shapes", "options", "named"),
    [
        ({"general.type": text("model")}, PAIR, {}, "a model, not an adapter"),
        ({"general.architecture": text("qwen2")}, PAIR, {}, "'qwen2'"),
        ({"adapter.type": text("cvec")}, PAIR, {}, "'cvec'"),
        ({"adapter.lora.alpha": f32(float("nan"))}, PAIR, {}, "alpha"),
        ({"adapter.lora.alpha": text("8")}, PAIR, {}, "alpha has the wrong type"),
        ({"adapter.lora.alpha": Value(12, 8.0)}, PAIR, {}, "alpha has the wrong type"),
        ({"adapter.alora.invocation_tokens": text("x")}, PAIR, {}, "activated LoRA"),
        ({}, {}, {}, "no tensor"),
        ({}, {"blk.0.attn_q.weight.lora_a": (64, 4)}, {}, "only lora_a"),
        ({}, PAIR | {"blk.0.attn_norm.weight": (64,)}, {}, "blk.0.attn_norm.weight is not a low-rank factor"),
        ({}, {"blk.9.attn_q.weight.lora_a": (64, 4), "blk.9.attn_q.weight.lora_b": (4, 96)}, {}, "blk.9.attn_q.weight, which the base"),
        ({}, {"blk.0.attn_q.weight.lora_a": (64, 4), "blk.0.attn_q.weight.lora_b": (4, 64)}, {}, "shapes of another base"),
        ({}, {"blk.0.attn_q.weight.lora_a": (64, 4), "blk.0.attn_q.weight.lora_b": (5, 96)}, {}, "shapes of another base"),
        ({}, {"token_embd.weight.lora_a": (4, 300), "token_embd.weight.lora_b": (4, 64)}, {}, "also the output matrix"),
        ({}, PAIR, {"value": np.inf}, "lora_a"),
        ({}, PAIR, {"kind": "F64"}, "F64"),
    ],
)
def test_an_adapter_of_another_base_is_refused_with_the_reason(
    make_model: MakeModel,
    tmp_path: Path,
    metadata: dict[str, Value],
    shapes: dict[str, tuple[int, ...]],
    options: dict[str, Any],
    named: str,
) -> None:
    write_gguf(make_model(TIED), tmp_path / "base.gguf", "F32")
    base = read_header(tmp_path / "base.gguf")
    check_adapter(base, read_header(made(tmp_path / "sound.gguf", META, PAIR)))
    with pytest.raises(ConversionError) as error:
        check_adapter(base, read_header(made(tmp_path / "a.gguf", META | metadata, shapes, **options)))
    assert named in f"{error.value.title} {error.value.cause}"


def test_a_base_that_cannot_be_converted_is_refused(make_model: MakeModel, tmp_path: Path) -> None:
    folder = shutil.copytree(make_model(BASE), tmp_path / "m")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"hidden_act": "gelu"}))
    assert "hidden_act" in refusal(folder, fixed_adapter(tmp_path / "a", FIXED))
