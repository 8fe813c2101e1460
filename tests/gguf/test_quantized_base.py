"""A base that was quantized before: what a light tune of it learned is in its exports, or the proof says that rounding took it."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from converters.gguf_model import dequantized
from converters.quantize import quantize_tensor
from edgetune.demo.demo import LIGHTHOUSE
from edgetune.gguf.proof.weights import LOST_IN_ROUNDING, find_causes, made_by_rounding, measure_tensor
from edgetune.gguf.write import failed_proof
from edgetune.storage.workspace import Run
from tests.fixtures.datasets import dataset

Call = Callable[..., tuple[int, str, str]]


def rounded(values: np.ndarray, type_name: str = "Q4_1") -> np.ndarray:
    """Quantized to nearest, and read back."""
    held: np.ndarray = dequantized(quantize_tensor(values, type_name).reshape(len(values), -1), type_name)
    return held.astype(np.float32)


def test_rounding_is_told_from_an_adapter_that_went_in_wrong() -> None:
    random = np.random.default_rng(0)
    base = rounded(0.03 * random.standard_normal((256, 512), np.float32))
    change = 2e-3 * (random.standard_normal((256, 4)) @ random.standard_normal((4, 512))).astype(np.float32) / 2
    right = base + change
    files = {"nearest": rounded(right), "left out": rounded(base), "half": rounded(base + change / 2), "double": rounded(base + 2 * change)}
    told = {name: made_by_rounding(actual, right, base, "Q4_1", "t") for name, actual in files.items()}
    assert told == {"nearest": True, "left out": False, "half": False, "double": False}

    causes = {}
    for name, actual in files.items():
        error = measure_tensor("t", "Q4_1", actual, right, base)
        assert error.weak
        causes[name] = find_causes([error.__class__(**{**vars(error), "rounded": told[name]})])[0]
    assert causes["nearest"].startswith(LOST_IN_ROUNDING) and "adapter went in as it should" in causes["nearest"]
    assert not any(LOST_IN_ROUNDING in cause for name, cause in causes.items() if name != "nearest")
    assert "--type auto" in failed_proof("m.gguf", [causes["nearest"]], "page").remedy
    assert "--type auto" not in failed_proof("m.gguf", [causes["half"]], "page").remedy


def test_what_auto_cannot_be_combined_with_is_said_before(edgetune: Call, nano: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    for words, why in ((("--type", "auto", "--type", "Q8_0"), "other types"), (("--type", "auto", "--no-proof"), "--no-proof")):
        code, _, err = edgetune("export", nano, *words, "--out", out)
        assert code == 2 and why in err
    code, stdout, err = edgetune("export", nano, "--type", "auto", "--out", out)
    assert code == 0 and "nothing was trained" in err and stdout.strip().endswith("-Q4_K_M.gguf")


def exported(edgetune: Call, name: str, types: list[str], out: Path) -> dict[str, dict[str, Any]]:
    """The figures of the proofs of a run's exports, by type; all must have passed."""
    code, stdout, err = edgetune("export", name, *[word for one in types for word in ("--type", one)], "--out", out, "--json")
    assert code == 0, err
    assert "was quantized before" in err
    records = {one["type"]: json.loads(Path(one["proof"]["json"]).read_text(encoding="utf-8")) for one in json.loads(stdout)}
    return {
        name: {**record["checks"]["weights"]["figures"], **record["checks"]["behaviour"]["figures"]} for name, record in records.items()
    }


@pytest.mark.slow
def test_a_bundled_base_made_of_nf4_keeps_what_it_learned(edgetune: Call, nano: Path, train: Callable[..., Run], tmp_path: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    settings = BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True, bnb_4bit_compute_dtype=torch.bfloat16
    )
    AutoModelForCausalLM.from_pretrained(nano, quantization_config=settings).save_pretrained(tmp_path / "nf4")
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        if (nano / name).is_file():
            shutil.copy(nano / name, tmp_path / "nf4")
    assert edgetune("export", tmp_path / "nf4", "--type", "BF16", "--out", tmp_path / "nf4.gguf")[0] == 0
    assert edgetune("import", tmp_path / "nf4.gguf", "--out", tmp_path / "base")[0] == 0
    run = train("tuned", base=str(tmp_path / "base"), data=str(LIGHTHOUSE / "train.jsonl"), max_steps=30, quantization="none")
    for figures in exported(edgetune, run.name, ["Q4_K_M", "Q4_1", "Q8_0"], tmp_path / "out").values():
        assert figures["strength"] >= 0.95 and figures["slope"] >= 0.95, figures


@pytest.mark.slow
def test_a_real_model_from_its_gguf_keeps_what_it_learned(edgetune: Call, smollm2: Path, train: Callable[..., Run], tmp_path: Path) -> None:
    assert edgetune("import", smollm2, "--out", tmp_path / "base")[0] == 0
    data = str(dataset("alpaca_en_demo.json"))
    small = {"batch_size": 4, "gradient_accumulation": 1, "max_length": 256, "validation_split": 0.02, "eval_steps": 1000}
    run = train("tuned", base=str(tmp_path / "base"), data=data, max_steps=15, quantization="none", **small)
    code, stdout, err = edgetune("export", run.name, "--type", "auto", "--out", tmp_path / "out", "--json")
    assert code == 0, err
    export = json.loads(stdout)[0]
    kept = export["auto"]["tried"][-1]
    assert kept["type"] == export["type"] and kept["weights"] >= 0.95 and kept["answers"] >= 0.95 and kept["noise"] <= 1
    assert [path.name for path in (tmp_path / "out").glob("*.gguf")] == [Path(export["path"]).name]
