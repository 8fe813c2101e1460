"""From a GGUF back to a model folder: nothing is lost there and back, and transformers computes from the folder what the file says."""

import ctypes
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from converters import restore
from converters.archs import llama, supported
from converters.errors import ConversionError
from converters.file_types import FILE_TYPES
from converters.gguf_file import (
    ARRAY,
    Header,
    TensorInfo,
    Value,
    Writer,
    boolean,
    f32,
    f32s,
    i32s,
    lay_out,
    read_header,
    strings,
    text,
    u32,
)
from converters.vocab import load_vocabulary
from converters.weights import read_folder
from tests.converters.conftest import MakeModel
from tests.converters.reference import assert_same_model, gguf_logits, torch_logits, write_gguf
from tests.converters.test_archs import IDS, VARIANTS, limit, tiny
from tests.fixtures.real import golden, tokenizer_folder


def restored(path: Path, folder: Path, dtype: str | None = None, shard: int = restore.MAX_SHARD_BYTES) -> restore.Restoration:
    """The folder of a file."""
    plan = restore.plan_restoration(path, dtype, shard)
    folder.mkdir()
    files = {"config": plan.config, "generation_config": plan.generation, "model.safetensors.index": plan.index}
    for name, content in files.items():
        if content:
            (folder / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")
    write_tokenizer(plan.tokenizer, folder)
    plan.check_vocabulary(folder)
    for one in plan.shards:
        with open(folder / one.name, "wb") as file:
            plan.write(one, file)
    return plan


def write_tokenizer(files: restore.TokenizerFiles, folder: Path) -> None:
    """A tokenizer's files."""
    (folder / "tokenizer.json").write_text(json.dumps(files.tokenizer), encoding="utf-8")
    (folder / "tokenizer_config.json").write_text(json.dumps(files.settings), encoding="utf-8")
    if files.pieces:
        (folder / "tokenizer.model").write_bytes(files.pieces)


ALL: dict[str, tuple[str, dict[str, Any]]] = {
    **{kind: (kind, {}) for kind in supported()},
    **VARIANTS,
    "llama-yarn": (
        "llama",
        {"rope_parameters": {"rope_type": "yarn", "rope_theta": 1e4, "factor": 4.0, "original_max_position_embeddings": 64,
                             "attention_factor": 0.8, "beta_fast": 32.0}, "mlp_bias": True},
    ),
    "llama-linear": ("llama", {"rope_parameters": {"rope_type": "linear", "rope_theta": 1e4, "factor": 3.0}}),
}  # fmt: skip


@pytest.mark.parametrize("name", ALL)
def test_there_and_back(make_model: MakeModel, llama_cpp: Any, tmp_path: Path, name: str) -> None:
    from transformers import AutoModelForCausalLM

    kind, changes = ALL[name]
    folder, file = make_model(tiny(kind, **changes)), tmp_path / "m.gguf"
    write_gguf(folder, file, "F32")
    restored(file, tmp_path / "back")
    before, after = read_folder(folder), read_folder(tmp_path / "back")
    assert before.keys() == after.keys()
    for tensor in before:
        one, other = before[tensor].load(), after[tensor].load()
        if "norm" in tensor or "A_log" in tensor:  # one was added, or an exponential taken, and rounded
            np.testing.assert_allclose(other, one, rtol=0, atol=2e-7, err_msg=tensor)
        else:
            assert one.shape == other.shape and one.tobytes() == other.tobytes(), tensor
    write_gguf(tmp_path / "back", tmp_path / "again.gguf", "F32")
    assert (tmp_path / "again.gguf").read_bytes() == file.read_bytes()
    logits = torch_logits(AutoModelForCausalLM.from_pretrained(tmp_path / "back"), IDS)
    assert_same_model(logits, gguf_logits(llama_cpp, file, IDS), limit(kind))


@pytest.mark.parametrize("kind", ["llama", "gemma2", "qwen3_5_text"])
def test_bf16_models_come_back_as_they_were(make_model: MakeModel, tmp_path: Path, kind: str) -> None:
    folder = make_model(tiny(kind), "bfloat16")
    write_gguf(folder, tmp_path / "m.gguf", "BF16")
    plan = restored(tmp_path / "m.gguf", tmp_path / "back", shard=100_000)
    assert plan.dtype == "bfloat16" and len(plan.shards) > 2 and not plan.notes
    before, after = read_folder(folder), read_folder(tmp_path / "back")
    assert before.keys() == after.keys()
    assert all(before[name].same_as(after[name]) for name in before)
    assert max((tmp_path / "back" / shard.name).stat().st_size for shard in plan.shards) < 110_000


def test_every_type_is_dequantized_as_llama_cpp_does(make_model: MakeModel, llama_cpp: Any, tmp_path: Path) -> None:
    """Against llama_model_quantize, which turns a file of any type into F32."""
    sizes = {"hidden_size": 256, "intermediate_size": 288, "head_dim": 64, "vocab_size": 300}
    folder = make_model(llama.TINY | sizes)
    kinds = set()
    for type_name in FILE_TYPES:
        source, target = tmp_path / f"{type_name}.gguf", tmp_path / "theirs.gguf"
        write_gguf(folder, source, type_name)
        params = llama_cpp.llama_model_quantize_default_params()
        params.ftype, params.nthread, params.allow_requantize = FILE_TYPES["F32"][0], 1, True
        assert llama_cpp.llama_model_quantize(str(source).encode(), str(target).encode(), ctypes.byref(params)) == 0
        plan, theirs = restored(source, tmp_path / type_name, "float32"), read_header(target)
        own = {"F32": "float32", "F16": "float16"}.get(type_name, "bfloat16")
        assert restore.plan_restoration(source).dtype == own and bool(plan.notes) is (type_name not in ("F32", "F16", "BF16"))
        kinds |= {info.type for info in read_header(source).tensors.values()}
        write_gguf(tmp_path / type_name, tmp_path / "ours.gguf", "F32")
        ours = read_header(tmp_path / "ours.gguf")
        for name, info in theirs.tensors.items():
            assert info.type == "F32" and np.array_equal(ours.raw(name), theirs.raw(name)), (type_name, name)
        shutil.rmtree(tmp_path / type_name)
    assert kinds >= {kind for _, kind in FILE_TYPES.values()} | {"Q5_0", "Q5_1"}


@pytest.mark.parametrize("kind", ["llama", "qwen2", "mistral", "phi3"])
def test_transformers_reads_the_same_from_the_file(make_model: MakeModel, tmp_path: Path, kind: str) -> None:
    from transformers import AutoModelForCausalLM

    plain = {"rope_parameters": {"rope_type": "default", "rope_theta": 20000.0}, "attention_bias": False}
    write_gguf(make_model(tiny(kind, **plain)), tmp_path / "m.gguf", "Q8_0")
    restored(tmp_path / "m.gguf", tmp_path / "back", "float32")
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path, gguf_file="m.gguf").state_dict()
    ours = AutoModelForCausalLM.from_pretrained(tmp_path / "back").state_dict()
    assert ours.keys() == theirs.keys()
    for name in ours:
        np.testing.assert_array_equal(ours[name].numpy(), theirs[name].numpy(), err_msg=name)


@pytest.mark.parametrize("name", ["qwen2", "llama-bpe", "gpt-2", "llama2", "phi-3"])
def test_tokenizers_give_the_golden_ids(tmp_path: Path, name: str) -> None:
    from transformers import AutoTokenizer

    source = tokenizer_folder(name)
    options: dict[str, Any] = {"added_first": True} if name == "phi-3" else {}
    before, _ = load_vocabulary(source, {}, "{{ messages }}", **options)
    with open(tmp_path / "v.gguf", "wb") as file:
        Writer(file, {"general.architecture": text("llama"), **before}, [])
    files = restore.load_tokenizer(read_header(tmp_path / "v.gguf"))
    write_tokenizer(files, tmp_path)
    (tmp_path / "generation_config.json").write_text(json.dumps({"eos_token_id": files.stops}))
    ours, first = AutoTokenizer.from_pretrained(tmp_path), AutoTokenizer.from_pretrained(source)
    pairs = golden(source)
    assert len(pairs) == 46
    for string, ids in pairs:
        assert ours.encode(string, add_special_tokens=False) == ids, repr(string)
        assert ours.encode(string) == first.encode(string) and ours.decode(ids) == first.decode(ids), repr(string)
    assert (ours.bos_token, ours.eos_token, ours.chat_template) == (first.bos_token, first.eos_token, "{{ messages }}")
    config = {"vocab_size": len(before["tokenizer.ggml.tokens"].data), **files.ids}
    again, _ = load_vocabulary(tmp_path, config, "{{ messages }}", **options)
    assert again.keys() == before.keys()
    assert all(np.array_equal(np.asarray(again[key].data), np.asarray(before[key].data)) for key in before)


def test_sentencepiece_reads_the_model_written(tmp_path: Path) -> None:
    sentencepiece = pytest.importorskip("sentencepiece")
    source = tokenizer_folder("llama2")
    before, _ = load_vocabulary(source, {})
    with open(tmp_path / "v.gguf", "wb") as file:
        Writer(file, {"general.architecture": text("llama"), **before}, [])
    write_tokenizer(restore.load_tokenizer(read_header(tmp_path / "v.gguf")), tmp_path)
    ours = sentencepiece.SentencePieceProcessor(str(tmp_path / "tokenizer.model"))
    for string, ids in golden(source):
        assert ours.encode(string) == ids, repr(string)


@pytest.mark.parametrize(("factor", "high", "context"), [(8.0, 4.0, 8192), (32.0, 4.0, 8192), (8.0, 4.0, 64), (4.0, 2.5, 4096)])
def test_llama_3s_rotary_factors_are_recognised(make_model: MakeModel, tmp_path: Path, factor: float, high: float, context: int) -> None:
    """They stand in the file as a tensor, not as the numbers they were made of."""
    rope = {"rope_type": "llama3", "rope_theta": 500000.0, "factor": factor, "low_freq_factor": 1.0, "high_freq_factor": high,
            "original_max_position_embeddings": context}  # fmt: skip
    write_gguf(make_model(tiny("llama", head_dim=64, rope_parameters=rope)), tmp_path / "m.gguf", "F16")
    assert restore.plan_restoration(tmp_path / "m.gguf").config["rope_parameters"] == rope


PICKED = 1


def edited(source: Path, target: Path, change: Callable[[dict[str, Value], dict[str, tuple[TensorInfo, np.ndarray]]], Any]) -> Path:
    """A file with other metadata or tensors."""
    header: Header = read_header(source)
    metadata = {key: _value(header, key) for key in header.metadata}
    tensors = {name: (info, np.array(header.raw(name))) for name, info in header.tensors.items()}
    change(metadata, tensors)
    with open(target, "wb") as file:
        writer = Writer(file, metadata, lay_out((name, info.shape, info.type) for name, (info, _) in tensors.items()))
        for name, (_, raw) in tensors.items():
            writer.write(name, raw)
    return target


def _value(header: Header, key: str) -> Value:
    data, kind = header.metadata[key], header.kinds[key]
    if kind == ARRAY and isinstance(data, np.ndarray):
        return Value(ARRAY, data, {"i": 5, "f": 6, "u": 7}[data.dtype.kind])
    return Value(kind, data)


def _sentencepiece(metadata: dict[str, Value], length: int) -> None:
    """A vocabulary with one long token."""
    tokens = [*metadata["tokenizer.ggml.tokens"].data[:-1], "a" * length]
    metadata |= {"tokenizer.ggml.model": text("llama"), "tokenizer.ggml.tokens": strings(tokens), "tokenizer.ggml.scores": f32s([0] * 300)}


def _nan(metadata: dict[str, Value], tensors: dict[str, tuple[TensorInfo, np.ndarray]]) -> None:
    tensors["blk.1.attn_q.weight"][1][:4] = np.array([np.nan], "<f4").view(np.uint8)


REFUSED: list[tuple[Callable[[dict[str, Value], dict[str, Any]], Any], str]] = [
    (lambda m, t: m.update({"general.architecture": text("mamba")}), "mamba"),
    (lambda m, t: m.update({"general.architecture": u32(7)}), "7"),
    (lambda m, t: m.update({"general.architecture": text("clip"), "general.type": text("mmproj")}), "mmproj"),
    (lambda m, t: m.update({"general.type": text("adapter")}), "adapter"),
    (lambda m, t: m.update({"split.count": u32(3)}), "--merge"),
    (lambda m, t: m.update({"llama.expert_count": u32(8)}), "llama.expert_count"),
    (lambda m, t: m.update({"llama.attention.sliding_window": u32(16)}), "llama.attention.sliding_window"),
    (lambda m, t: m.update({"llama.expert_count": f32s([0, 0])}), "llama.expert_count"),
    (lambda m, t: m.update({"llama.attention.key_length_mla": f32s([0, 0])}), "key_length_mla"),
    (lambda m, t: m.update({"llama.attention.key_length": u32(25)}), "25"),
    (lambda m, t: m.update({"llama.attention.head_count": u32(5)}), "divide"),
    (lambda m, t: m.update({"llama.attention.head_count": u32(0)}), "head_count"),
    (lambda m, t: m.update({"llama.attention.head_count_kv": f32s([1, 2])}), "head_count_kv"),
    (lambda m, t: m.update({"llama.block_count": u32(4)}), "blk.3."),
    (lambda m, t: m.update({"llama.block_count": u32(2)}), "blk.2."),
    (lambda m, t: m.update({"llama.block_count": u32(2**31)}), "block_count"),
    (lambda m, t: m.update({"llama.embedding_length": u32(68)}), "shape"),
    (lambda m, t: m.update({"llama.rope.freq_base": f32(float("nan"))}), "freq_base"),
    (lambda m, t: m.update({"llama.rope.scaling.type": text("longrope")}), "rope.scaling.type"),
    (lambda m, t: m.update({"llama.context_length": text("long")}), "context_length"),
    (lambda m, t: m.pop("llama.attention.layer_norm_rms_epsilon"), "epsilon"),
    (lambda m, t: m.update({"tokenizer.ggml.model": text("t5")}), "t5"),
    (lambda m, t: m.update({"tokenizer.ggml.pre": text("mpt")}), "mpt"),
    (lambda m, t: m.update({"tokenizer.ggml.tokens": strings(["a", "b"])}), "types"),
    (lambda m, t: m.update({"tokenizer.ggml.tokens": strings(["a"] * 300)}), "same text"),
    (lambda m, t: m.update({"tokenizer.ggml.token_type": i32s([-1] * 300)}), "token type"),
    (lambda m, t: m.update({"tokenizer.ggml.tokens": u32(3)}), "tokens"),
    (lambda m, t: m.pop("tokenizer.ggml.tokens"), "tokens"),
    (lambda m, t: m.update({"tokenizer.ggml.merges": strings(["zz yy"])}), "zz yy"),
    (lambda m, t: m.update({"tokenizer.ggml.merges": u32(1)}), "merges"),
    (lambda m, t: m.update({"tokenizer.ggml.model": text("llama")}), "scores"),
    (lambda m, t: _sentencepiece(m, 2000), "characters"),
    (lambda m, t: m.update({"tokenizer.ggml.eos_token_id": u32(300)}), "eos"),
    (lambda m, t: t.pop("blk.1.attn_k.weight"), "blk.1.attn_k.weight"),
    (lambda m, t: t.pop("token_embd.weight"), "token_embd.weight"),
    (lambda m, t: t.update({"blk.1.attn_q_norm.weight": t["blk.1.attn_norm.weight"]}), "blk.1.attn_q_norm.weight"),
    (lambda m, t: t["rope_freqs.weight"][1][:4].fill(64), "rotary factors"),
    (lambda m, t: t["rope_freqs.weight"][1][:4].fill(255), "rope_freqs.weight"),
    (_nan, "layers.1.self_attn.q_proj"),
]


@pytest.mark.parametrize(("change", "named"), REFUSED, ids=[f"{number}-{named}" for number, (_, named) in enumerate(REFUSED)])
def test_what_cannot_be_read_back_is_refused_by_name(
    make_model: MakeModel, tmp_path: Path, change: Callable[[Any, Any], Any], named: str
) -> None:
    write_gguf(make_model(tiny("llama")), tmp_path / "m.gguf", "F32")
    restored(edited(tmp_path / "m.gguf", tmp_path / "same.gguf", lambda metadata, tensors: None), tmp_path / "same")
    file = edited(tmp_path / "m.gguf", tmp_path / "changed.gguf", change)
    with pytest.raises(ConversionError) as refusal:
        restored(file, tmp_path / "back")
    assert named in f"{refusal.value.title} {refusal.value.cause} {refusal.value.remedy}"


def test_too_large_for_float16_is_refused_by_tensor(make_model: MakeModel, tmp_path: Path) -> None:
    write_gguf(make_model(tiny("llama")), tmp_path / "m.gguf", "F32")

    def grow(metadata: Any, tensors: dict[str, tuple[TensorInfo, np.ndarray]]) -> None:
        tensors["blk.1.ffn_up.weight"][1][:4] = np.array([1e6], "<f4").view(np.uint8)

    file = edited(tmp_path / "m.gguf", tmp_path / "changed.gguf", grow)
    with pytest.raises(ConversionError) as refusal:
        restored(file, tmp_path / "back", "float16")
    assert "up_proj" in f"{refusal.value.title} {refusal.value.cause}"


NASTY = [u32(0), u32(1), u32(3), u32(2**31 - 1), u32(2**32 - 1), f32(0.0), f32(-1.0), f32(float("nan")), f32(1e38), text(""), text("yarn"),
         boolean(True), f32s([]), f32s([1.0, 2.0]), i32s([-1] * 6), i32s([2**31 - 1] * 4), strings([]), strings(["", "a b"])]  # fmt: skip


@pytest.mark.parametrize("kind", [kind for kind in supported() if kind != "mistral"])
def test_wrong_values_never_give_another_error(make_model: MakeModel, tmp_path: Path, kind: str) -> None:
    """A nasty value under each key that a file has; each file is refused or read."""
    write_gguf(make_model(tiny(kind)), tmp_path / "m.gguf", "F16")
    rng, refused = np.random.default_rng(0), 0
    keys = [key for key in read_header(tmp_path / "m.gguf").metadata if key not in ("general.name", "general.basename")]
    for key in keys:
        for number in rng.permutation(len(NASTY))[:PICKED]:
            file = edited(tmp_path / "m.gguf", tmp_path / "bad.gguf", lambda m, t: m.update({key: NASTY[number]}))  # noqa: B023
            try:
                restore.plan_restoration(file)
            except ConversionError as error:
                refused += 1
                assert error.title and error.cause and error.remedy
    assert refused > len(keys) / 2


def test_changed_bytes_never_give_another_error(make_model: MakeModel, tmp_path: Path) -> None:
    """Of 400 headers with up to four wrong bytes, each is refused or read; nothing else happens."""
    write_gguf(make_model(tiny("gemma4_text")), tmp_path / "m.gguf", "F16")
    raw, start = bytearray((tmp_path / "m.gguf").read_bytes()), read_header(tmp_path / "m.gguf").data_start
    rng, refused = np.random.default_rng(0), 0
    for _ in range(400):
        bad = bytearray(raw)
        for place in rng.integers(0, start, rng.integers(1, 5)):
            bad[place] = rng.integers(0, 256)
        (tmp_path / "bad.gguf").write_bytes(bad)
        try:
            restore.plan_restoration(tmp_path / "bad.gguf")
        except ConversionError as error:
            refused += 1
            assert error.title and error.cause and error.remedy
    assert refused > 200
