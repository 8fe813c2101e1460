"""The check of meaning: torch that rounds as llama.cpp does moves as far as llama.cpp does, and what lies further fails."""

from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest

from converters import convert
from converters.archs import SAME, supported
from converters.convert import Plan
from converters.gguf_file import read_header
from edgetune.gguf.proof.activation_rounding import activations_rounded, round_inputs
from edgetune.gguf.proof.distance import distance, log_softmax
from edgetune.gguf.proof.merged import stored_tensors
from edgetune.gguf.proof.parity import check_parity
from edgetune.gguf.proof.readback import ReadBack
from edgetune.gguf.proof.rows import ProofRow
from edgetune.gguf.proof.streamed import skeleton, torch_predictions
from tests.converters.conftest import MakeModel
from tests.converters.reference import gguf_logits, write_gguf
from tests.converters.test_archs import VARIANTS, tiny
from tests.gguf.proof.faults import KEYS, rebuilt, write

IDS = np.random.default_rng(0).integers(3, 290, 240).tolist()
ROWS = [ProofRow(IDS, IDS, False)]
OF_256 = {"hidden_size": 256, "intermediate_size": 256, "head_dim": 64}
"""Rows of whole blocks of K-quants."""


def read_back(folder: Path, plan: Plan, path: Path) -> ReadBack:
    embeddings = next(tensor.sources[0][0] for tensor in plan.tensors if tensor.name == "token_embd.weight")
    return ReadBack(read_header(path), plan.tensors, stored_tensors(folder, embeddings), embeddings)


def predict(
    folder: Path, type_name: str, library: Any, path: Path, spoil: bool = False
) -> tuple[list[np.ndarray], list[np.ndarray], list[np.ndarray]]:
    """Log-probabilities of a folder's file: torch's, torch's with rounding, llama.cpp's. spoil: with one layer's keys not reordered."""
    plan = convert.plan_gguf(folder, None, [type_name], chat_template=None, name="tiny", extra={})
    plan = rebuilt(plan, KEYS, lambda build: SAME) if spoil else plan
    tensors, header = read_back(folder, plan, write(plan, type_name, path)), read_header(path)
    model = skeleton(folder)
    exact = torch_predictions(model, tensors, ROWS)
    with activations_rounded(model, tensors.types()):
        rounded = torch_predictions(model, tensors, ROWS)
    assert all(header.tensors[name].type == "F32" for name in tensors.unrecovered)
    return exact, rounded, [log_softmax(gguf_logits(library, path, IDS)).astype(np.float32)]


@pytest.mark.parametrize("type_name", ["Q8_0", "F16"])
@pytest.mark.parametrize("kind", supported())
def test_rounding_in_torch_moves_predictions_as_far_as_llama_cpp(
    make_model: MakeModel, llama_cpp: Any, tmp_path: Path, kind: str, type_name: str
) -> None:
    folder = make_model(tiny(kind, **VARIANTS["phi3-short"][1] if kind == "phi3" else {}))
    exact, rounded, file = predict(folder, type_name, llama_cpp, tmp_path / "m.gguf")
    assert distance(exact, file).kl.mean() == pytest.approx(distance(exact, rounded).kl.mean(), rel=0.35)
    assert check_parity(exact, rounded, file, []).passed


@pytest.mark.parametrize("type_name", ["Q4_K_M", "Q2_K", "Q4_0", "BF16"])
def test_every_kind_of_rounding(make_model: MakeModel, llama_cpp: Any, tmp_path: Path, type_name: str) -> None:
    exact, rounded, file = predict(make_model(tiny("llama", **OF_256)), type_name, llama_cpp, tmp_path / "m.gguf")
    assert distance(exact, file).kl.mean() == pytest.approx(distance(exact, rounded).kl.mean(), rel=0.35)


def test_the_table_of_gelu_is_all_that_f32_rounds(make_model: MakeModel, llama_cpp: Any, tmp_path: Path) -> None:
    exact, rounded, file = predict(make_model(tiny("gemma4_text")), "F32", llama_cpp, tmp_path / "m.gguf")
    assert distance(exact, file).kl.mean() > 1e-8
    assert distance(rounded, file).kl.mean() < distance(exact, file).kl.mean() / 10
    model = skeleton(make_model(tiny("llama")))
    with activations_rounded(model, {"model.layers.0.mlp.up_proj.weight": "F32"}) as rounds:
        assert not rounds


@pytest.mark.parametrize("type_name", ["F32", "F16", "Q8_0", "Q4_K_M", "Q2_K"])
def test_keys_left_in_the_order_of_transformers_fail(make_model: MakeModel, llama_cpp: Any, tmp_path: Path, type_name: str) -> None:
    """The reader undoes exactly what the exporter did, so llama.cpp alone sees it."""
    check = check_parity(*predict(make_model(tiny("llama", **OF_256)), type_name, llama_cpp, tmp_path / "m.gguf", spoil=True), [])
    assert "its rounding explains" in check.causes[0]


def test_the_output_matrix_of_a_tied_model_is_the_one_in_the_file(make_model: MakeModel, tmp_path: Path) -> None:
    folder = make_model(tiny("llama", tie_word_embeddings=True))
    tensors = read_back(folder, write_gguf(folder, tmp_path / "m.gguf", "Q8_0"), tmp_path / "m.gguf")
    assert np.array_equal(tensors("lm_head.weight"), tensors("model.embed_tokens.weight"))
    assert tensors.types()["lm_head.weight"] == "Q8_0"
    assert not np.array_equal(tensors("lm_head.weight"), stored_tensors(folder, "model.embed_tokens.weight")("lm_head.weight"))


def test_eight_bits_are_rounded_as_ggml_does() -> None:
    import torch

    values = np.random.default_rng(0).normal(size=(7, 512)).astype(np.float32)
    values[0, :32] = 0
    theirs = gguf.quants.dequantize(gguf.quants.quantize(values, gguf.GGMLQuantizationType.Q8_0), gguf.GGMLQuantizationType.Q8_0)
    assert np.allclose(round_inputs(torch.from_numpy(values), "Q4_0").numpy(), theirs, rtol=0, atol=1e-6)

    # A K-quant's inputs share a scale of 256, which is a float of 32 bits.
    rounded = round_inputs(torch.from_numpy(values), "Q4_K").numpy().reshape(-1, 256)
    steps = rounded / (np.abs(values.reshape(-1, 256)).max(axis=1, keepdims=True) / 127)
    assert np.allclose(steps, np.rint(steps), atol=1e-3) and np.abs(rounded - values.reshape(-1, 256)).max() < 0.02
