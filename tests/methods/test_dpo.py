"""DPO's losses against formulas on log-probabilities that transformers alone gives; the reference is the model before the run."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgetune.storage.workspace import Run
from tests.methods import formulas
from tests.methods.conftest import SMALL

pytestmark = pytest.mark.filterwarnings("ignore")
BETA, WRONG, MIX = 0.3, 0.1, 0.4
LOSSES: dict[str, Callable[[float, float, int, int], float]] = {
    "sigmoid": lambda c, r, n, m: formulas.dpo(c, r, BETA),
    "ipo": lambda c, r, n, m: formulas.ipo(c / n, r / m, BETA),
    "robust": lambda c, r, n, m: formulas.robust(c, r, BETA, WRONG),
    "apo_zero": lambda c, r, n, m: formulas.apo_zero(c, r, BETA),
    "apo_down": lambda c, r, n, m: formulas.apo_down(c, r, BETA),
    "sigmoid_norm": lambda c, r, n, m: formulas.dpo(c / n, r / m, BETA),
}


def test_formulas_on_numbers_made_by_hand() -> None:
    assert formulas.dpo(2.0, -1.0, 0.1) == pytest.approx(0.554355, abs=1e-6)  # ln(1 + e^-0.3)
    assert formulas.dpo(0.0, 0.0, 5.0) == pytest.approx(0.693147, abs=1e-6)  # ln 2
    assert formulas.ipo(0.5, -0.5, 0.1) == pytest.approx(16.0)  # (1 - 5)²
    assert formulas.kto(1.0, True, 0.5, 2.0) == pytest.approx(0.268941, abs=1e-6)  # 1 - sigmoid(1)
    assert formulas.kto(1.0, False, 0.5, 2.0) == pytest.approx(0.731059, abs=1e-6)  # 1 - sigmoid(-1)
    assert formulas.bradley_terry(1.0, 0.0) == pytest.approx(0.313262, abs=1e-6)  # ln(1 + e^-1)
    assert formulas.rloo([1.0, 2.0, 6.0]) == pytest.approx([-3.0, -1.5, 4.5])


def log_probability(model: Any, ids: list[int], labels: list[int]) -> tuple[float, int]:
    """Summed log-probability of a row's trained tokens, in numpy from transformers' logits, and their number."""
    import torch

    with torch.no_grad():
        logits = model(input_ids=torch.tensor([ids])).logits[0].double().numpy()
    total, count = 0.0, 0
    for place, label in enumerate(labels):
        if label != -100:
            row = logits[place - 1]
            total += float(row[label] - row.max() - np.log(np.exp(row - row.max()).sum()))
            count += 1
    return total, count


def ratios(made: Any, reference: Any, rows: list[dict[str, Any]]) -> list[tuple[float, float, int, int, float]]:
    """Of every pair: both log-ratios to the reference, both answers' tokens, the chosen answer's log-probability."""
    result = []
    for row in rows:
        (chosen, n), (rejected, m) = (log_probability(made.model, row[f"{s}_ids"], row[f"{s}_labels"]) for s in ("chosen", "rejected"))
        (c, _), (r, _) = (log_probability(reference, row[f"{s}_ids"], row[f"{s}_labels"]) for s in ("chosen", "rejected"))
        result.append((chosen - c, rejected - r, n, m, chosen))
    return result


@pytest.mark.parametrize("loss", LOSSES)
def test_losses_equal_the_formulas(loss: str, train: Callable[..., Run], trainer_of: Callable[..., Any], pairs: Path, nano: Path) -> None:
    from transformers import AutoModelForCausalLM

    options = {**SMALL, "loss_type": loss, "beta": BETA, **({"label_smoothing": WRONG} if loss == "robust" else {})}
    run = train("r", base="nano", method="dpo", data=str(pairs), quantization="none", work=False, **options)
    made, reference = trainer_of(run), AutoModelForCausalLM.from_pretrained(nano, dtype="float32")
    rows = made.train_dataset.to_list()[:3]
    batch = made.data_collator(rows)
    made.model.eval()
    found = ratios(made, reference, rows)
    assert all(abs(c) > 0.05 and abs(r) > 0.05 for c, r, *_ in found)
    expected = float(np.mean([LOSSES[loss](c, r, n, m) for c, r, n, m, _ in found]))
    assert float(made.compute_loss(made.model, batch)) == pytest.approx(expected, rel=2e-4)
    if loss == "sigmoid":
        kept = made._metrics["eval"]
        assert kept["rewards/chosen"][-1] == pytest.approx(BETA * np.mean([c for c, *_ in found]), abs=1e-4)
        assert kept["rewards/accuracies"][-1] == pytest.approx(np.mean([c > r for c, r, *_ in found]))


def test_mixing_in_the_chosen_answers(train: Callable[..., Run], trainer_of: Callable[..., Any], pairs: Path, nano: Path) -> None:
    from transformers import AutoModelForCausalLM

    run = train("r", base="nano", method="dpo", data=str(pairs), quantization="none", work=False, beta=BETA, sft_weight=MIX, **SMALL)
    made, reference = trainer_of(run), AutoModelForCausalLM.from_pretrained(nano, dtype="float32")
    rows = made.train_dataset.to_list()[:3]
    made.model.eval()
    found = ratios(made, reference, rows)
    answers = -sum(chosen for *_, chosen in found) / sum(n for _, _, n, _, _ in found)
    expected = np.mean([formulas.dpo(c, r, BETA) for c, r, *_ in found]) + MIX * answers
    assert float(made.compute_loss(made.model, made.data_collator(rows))) == pytest.approx(float(expected), rel=2e-4)


def test_accumulated_gradients_equal_those_of_one_batch(train: Callable[..., Run], trainer_of: Callable[..., Any], pairs: Path) -> None:
    """Two batches of two pairs each pull as one of four."""
    import torch

    from edgetune.training.model import trained_weights

    options = {**SMALL, "base": "nano", "method": "dpo", "data": str(pairs), "quantization": "none", "work": False}
    gradients = []
    for name, batch, accumulation in (("one", 4, 1), ("two", 2, 2)):
        made = trainer_of(train(name, **{**options, "batch_size": batch, "gradient_accumulation": accumulation}))
        made.current_gradient_accumulation_steps = accumulation
        rows = made.train_dataset.to_list()[:4]
        made.model.train()
        for start in range(0, 4, batch):
            made.training_step(made.model, made.data_collator(rows[start : start + batch]), None)
        gradients.append({key: weight.grad.clone() for key, weight in trained_weights(made.model).items()})
    assert all(torch.allclose(gradients[0][key], gradients[1][key], rtol=1e-3, atol=1e-6) for key in gradients[0])
    assert any(bool(g.abs().max() > 1e-4) for g in gradients[0].values())


def test_a_margin_that_hides_falling_answers_is_said() -> None:
    from edgetune.methods._likelihood_drop import find_likelihood_drop

    first = {"logp_chosen": -4.0, "margin": 0.0}
    falling = {"logp_chosen": -9.0, "margin": 1.5}
    assert find_likelihood_drop({"logp_chosen": -3.0, "margin": 0.6}, first, 1.0) == ""
    assert "fell by 5.0" in find_likelihood_drop(falling, first, 1.0) and "--sft-weight" in find_likelihood_drop(falling, first, 1.0)
    assert find_likelihood_drop(falling, first, 6.0) == "" and find_likelihood_drop({**falling, "margin": -0.1}, first, 1.0) == ""
    assert find_likelihood_drop({"accuracy": 0.5}, {}, 1.0) == ""


def test_a_run_says_it_once(train: Callable[..., Run], tmp_path: Path) -> None:
    """Chosen answers nobody would write, learned too fast with no term that holds them."""
    import json

    from edgetune.runs.events import read_events

    turns = [
        {
            "prompt": [{"role": "user", "content": f"What is {i}?"}],
            "chosen": [{"role": "assistant", "content": f"Zq {i} xv."}],
            "rejected": [{"role": "assistant", "content": f"Zq {i} xv kj wp."}],
        }
        for i in range(24)
    ]
    (tmp_path / "p.jsonl").write_text("\n".join(map(json.dumps, turns)), encoding="utf-8")
    hot = {**SMALL, "max_steps": 30, "eval_steps": 10, "learning_rate": 0.02}
    run = train("r", base="nano", method="dpo", data=str(tmp_path / "p.jsonl"), **hot)
    said = [event for event in read_events(run.events) if event["kind"] == "warning"]
    assert len(said) == 1 and "--sft-weight 0.3" in said[0]["text"]
