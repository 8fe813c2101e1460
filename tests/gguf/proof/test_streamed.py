"""A model that gets its weights layer by layer predicts what the whole one does; PEFT's merge of one tensor is PEFT's merge of all."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from converters.archs import supported
from edgetune.bases.load import load_model
from edgetune.gguf.proof.merged import MergedTensors, stored_tensors
from edgetune.gguf.proof.nf4_round_trip import Nf4RoundTrip
from edgetune.gguf.proof.rows import ProofRow
from edgetune.gguf.proof.streamed import skeleton, torch_predictions
from tests.converters.adapters import LINEAR, train
from tests.converters.conftest import MakeModel
from tests.converters.test_archs import VARIANTS, tiny

LENGTHS = (40, 7, 64, 1)


@pytest.fixture(scope="module")
def rows() -> list[ProofRow]:
    """Token ids drawn by lot, of several lengths."""
    drawn = np.random.default_rng(0)
    return [ProofRow(ids, ids, True) for ids in (drawn.integers(3, 290, length).tolist() for length in LENGTHS)]


def whole(model: Any, rows: list[ProofRow]) -> list[np.ndarray]:
    """Log-probabilities of a loaded model, row by row."""
    import torch

    with torch.no_grad():
        return [model(input_ids=torch.tensor([row.ids])).logits[0].float().log_softmax(-1).numpy() for row in rows]


def divergence(row: np.ndarray, other: np.ndarray) -> float:
    """The largest KL divergence of a row's tokens to second order, which is not blurred by what float32 cannot hold."""
    return float((np.exp(row.astype(np.float64)) * np.square(row.astype(np.float64) - other)).sum(axis=1).max() / 2)


def embeddings_of(folder: Path) -> str:
    """The name of the embeddings' tensor."""
    from converters import convert

    plan = convert.plan_gguf(folder, None, [], chat_template=None, name="", extra={})
    return next(tensor.sources[0][0] for tensor in plan.tensors if tensor.name == "token_embd.weight")


@pytest.mark.parametrize("kind", supported())
def test_layer_by_layer_predicts_what_the_whole_model_does(make_model: MakeModel, rows: list[ProofRow], kind: str) -> None:
    from transformers import AutoModelForCausalLM

    folder = make_model(tiny(kind, **VARIANTS["phi3-short"][1] if kind == "phi3" else {}))  # one rope for all lengths, as no row is so long
    predicted = torch_predictions(skeleton(folder), stored_tensors(folder, embeddings_of(folder)), rows)
    expected = whole(AutoModelForCausalLM.from_pretrained(folder, dtype="float32").eval(), rows)
    assert [len(row) for row in predicted] == list(LENGTHS)
    for ours, theirs in zip(predicted, expected, strict=True):
        assert divergence(theirs, ours) < 1e-9


def test_the_weights_are_gone_afterwards(make_model: MakeModel, rows: list[ProofRow]) -> None:
    folder = make_model(tiny("llama"))
    model = skeleton(folder)
    torch_predictions(model, stored_tensors(folder, embeddings_of(folder)), rows)
    assert all(parameter.device.type == "meta" for parameter in model.parameters())


@pytest.mark.parametrize(
    "options",
    [
        {"target_modules": LINEAR},
        {"target_modules": LINEAR, "use_rslora": True, "rank_pattern": {"q_proj": 2}},
        {"target_modules": LINEAR, "use_dora": True},
        {"target_modules": ["q_proj"], "modules_to_save": ["embed_tokens", "lm_head"]},
        {"target_modules": [*LINEAR, "embed_tokens", "lm_head"]},
        {"target_modules": ["v_proj"], "trainable_token_indices": {"embed_tokens": [3, 200]}},
    ],
    ids=["lora", "rslora", "dora", "saved", "embeddings", "tokens"],
)
@pytest.mark.parametrize("tied", [False, True])
def test_one_merged_tensor_is_what_the_running_adapter_computes_with(
    make_model: MakeModel, rows: list[ProofRow], tmp_path: Path, options: dict[str, Any], tied: bool
) -> None:
    folder = make_model(tiny("llama", tie_word_embeddings=tied))
    tuned = train(folder, tmp_path / "adapter", **options).eval()
    merged = MergedTensors(skeleton(folder), tmp_path / "adapter", stored_tensors(folder, embeddings_of(folder)))
    predicted = torch_predictions(skeleton(folder), merged, rows)
    for ours, theirs in zip(predicted, whole(tuned, rows), strict=True):
        assert divergence(theirs, ours) < 1e-9


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_the_base_in_four_bits_is_the_one_bitsandbytes_trains_against(make_model: MakeModel, rows: list[ProofRow], kind: str) -> None:
    folder = make_model(tiny(kind))
    predicted = torch_predictions(
        skeleton(folder), Nf4RoundTrip(skeleton(folder), stored_tensors(folder, embeddings_of(folder)), "cpu"), rows
    )
    for ours, theirs in zip(predicted, whole(load_model(folder, "cpu", "float32", "nf4").eval(), rows), strict=True):
        assert divergence(theirs, ours) < 1e-6


def test_a_base_stored_in_four_bits_is_read_as_transformers_reads_it(make_model: MakeModel, rows: list[ProofRow], tmp_path: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    folder = make_model(tiny("llama", intermediate_size=128, head_dim=32))  # whole blocks of 64: transformers would misread others
    settings = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True)
    stored = AutoModelForCausalLM.from_pretrained(folder, quantization_config=settings, device_map={"": "cpu"}, dtype=torch.float32)
    stored.save_pretrained(tmp_path)
    predicted = torch_predictions(skeleton(tmp_path), stored_tensors(tmp_path, embeddings_of(folder)), rows)
    for ours, theirs in zip(
        predicted, whole(AutoModelForCausalLM.from_pretrained(tmp_path).dequantize().float().eval(), rows), strict=True
    ):
        assert divergence(theirs, ours) < 1e-9
