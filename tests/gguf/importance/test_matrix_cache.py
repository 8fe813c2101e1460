"""`edgetune imatrix` and `--imatrix auto`: kept by content, used, worth it, and plain about what it cannot do."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from converters import convert, imatrix
from converters.gguf_file import read_header
from edgetune.gguf.importance.matrix_cache import cache_key, cached_matrix, number_format
from edgetune.gguf.importance.rows import MAX_CPU_EFFORT, MAX_TOKENS, MIN_TOKENS, CalibrationTexts, token_limit
from edgetune.gguf.proof.distance import distance
from edgetune.gguf.proof.prove import Prover, llama_predictions
from edgetune.gguf.source import from_folder
from edgetune.machine import hardware
from edgetune.storage.workspace import Workspace
from tests.conftest import Train

Call = Callable[..., tuple[int, str, str]]


def test_auto_is_gathered_on_the_runs_training_data_and_kept_with_the_run(edgetune: Call, train: Train, facts: Path) -> None:
    run = train("mine", base="nano", data=[str(facts)], max_steps=2)
    code, out, err = edgetune("export", "mine", "--type", "IQ4_XS", "--type", "Q8_0", "--imatrix", "auto", "--json")
    assert code == 0 and "tokens of training data" in err, err
    (matrix_file,) = (run.folder / "imatrix").iterdir()
    matrix = imatrix.read_imatrix(matrix_file)
    tokens = {int(entry.counts[0]) for entry in matrix.entries.values()}
    assert len(matrix.entries) == 42 and len(tokens) == 1 and matrix.datasets == ("training data of mine",)
    assert f"gathered on {tokens.pop()} tokens" in err
    metadata = read_header(Path(json.loads(out.splitlines()[-1])[0]["path"])).metadata
    assert metadata["quantize.imatrix.file"] == matrix_file.name and metadata["quantize.imatrix.entries_count"] == 42
    before = matrix_file.stat().st_mtime_ns
    assert "kept from before" in edgetune("export", "mine", "--type", "Q4_0", "--imatrix", "auto", "--no-proof")[2]
    assert matrix_file.stat().st_mtime_ns == before and len(list((run.folder / "imatrix").iterdir())) == 1
    assert "no importance matrix is used" in edgetune("export", "mine", "--type", "F16", "--imatrix", "auto", "--no-proof")[2]


def test_the_name_changes_with_model_adapter_weight_and_text(nano: Path, tmp_path: Path) -> None:
    for number in (1, 2):
        (tmp_path / f"a{number}").mkdir()
        (tmp_path / f"a{number}" / "adapter_config.json").write_text("{}")
        (tmp_path / f"a{number}" / "adapter_model.safetensors").write_bytes(bytes(number))
    source = from_folder(nano, None)
    first, second = tmp_path / "a1", tmp_path / "a2"
    texts = CalibrationTexts([[1, 2], [3]], "t", 3)
    names = {
        cache_key(source, texts),
        cache_key(source, CalibrationTexts([[1, 2, 3]], "t", 3)),
        cache_key(replace(source, adapter=first), texts),
        cache_key(replace(source, adapter=second), texts),
        cache_key(replace(source, mix=((first, 0.5),)), texts),
        cache_key(replace(source, mix=((first, 0.6),)), texts),
        cache_key(replace(source, mix=((first, 0.5), (second, 0.5))), texts),
    }
    assert len(names) == 7
    assert cache_key(source, texts) == cache_key(source, CalibrationTexts([[1, 2], [3]], "elsewhere", 9))


def test_large_models_see_fewer_tokens_and_are_streamed_where_they_do_not_fit() -> None:
    assert [token_limit(size, "cpu") for size in (10**6, 5 * 10**8, 10**12)] == [MAX_TOKENS, MAX_CPU_EFFORT // (5 * 10**8), MIN_TOKENS]
    assert token_limit(10**12, "cuda") == MAX_TOKENS
    assert number_format(10**6, "cpu") == "float32"
    assert number_format(hardware.this_machine().memory_free, "cpu") is None


def test_the_command_writes_a_file_that_export_takes(edgetune: Call, facts: Path, tmp_path: Path) -> None:
    code, out, err = edgetune("imatrix", "nano", "--data", facts, "--tokens", 99, "--out", tmp_path / "m.gguf", "--json")
    assert code == 0, err
    report = json.loads(out)
    assert (report["tokens"], report["reused"]) == (99, False) and report["found"] > 99
    assert imatrix.read_imatrix(tmp_path / "m.gguf").entries["blk.0.attn_q.weight"].counts.tolist() == [99]
    assert edgetune("export", "nano", "--type", "Q4_0", "--imatrix", tmp_path / "m.gguf", "--out", tmp_path / "q.gguf")[0] == 0


def test_what_cannot_be_gathered_is_said_and_leaves_nothing(edgetune: Call, tmp_path: Path) -> None:
    (tmp_path / "empty.jsonl").write_text("")
    for arguments, why in (
        (("imatrix", "nano", "--out", tmp_path / "out" / "m.gguf"), "--data FILE"),
        (("imatrix", "nano", "--data", tmp_path / "nowhere", "--out", tmp_path / "out" / "m.gguf"), "no file"),
        (("imatrix", "nano", "--data", tmp_path / "empty.jsonl", "--out", tmp_path / "out" / "m.gguf"), "empty.jsonl"),
        (("imatrix", "nothing", "--out", tmp_path / "out" / "m.gguf"), "no run"),
        (("export", "nano", "--imatrix", "auto", "--type", "Q4_0", "--out", tmp_path / "out" / "q.gguf"), "edgetune imatrix"),
    ):
        code, out, err = edgetune(*arguments)
        assert (code, out) == (2, "") and why in err, (arguments, err)
    assert not (tmp_path / "out").exists()


def test_it_brings_small_types_nearer_to_full_precision_on_texts_it_has_not_seen(nano: Path, tmp_path: Path) -> None:
    lines = (nano / "replay.jsonl").read_text(encoding="utf-8").splitlines()
    seen, unseen = tmp_path / "seen.jsonl", tmp_path / "unseen.jsonl"
    seen.write_text("\n".join(lines[:400]))
    unseen.write_text("\n".join(lines[-120:]))
    source = replace(from_folder(nano, None), held_out=unseen)
    prover = Prover(source, tmp_path, tokens=4096)
    matrix = imatrix.read_imatrix(cached_matrix(source, Workspace(tmp_path), seen).path)
    positions = [index for index, row in enumerate(prover.sample.rows) if row.held_out]
    full = [prover.reference.merged[index] for index in positions]
    for type_name in ("Q4_0", "Q3_K_M"):
        away = []
        for importance in (None, matrix):
            plan = convert.plan_gguf(nano, None, [type_name], chat_template=source.template, name="n", extra={}, imatrix=importance)
            with open(tmp_path / "q.gguf", "wb") as file:
                plan.write(type_name, file, threads=1)
            with prover.engine(tmp_path / "q.gguf") as engine:
                quantized = llama_predictions(engine, [prover.sample.rows[index] for index in positions])
            away.append(float(distance(full, quantized).kl.mean()))
        assert away[1] < 0.95 * away[0], (type_name, away)
