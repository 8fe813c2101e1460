"""ORPO, SimPO, CPO and KTO against their papers' formulas, on log-probabilities that transformers alone gives."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgetune.storage.workspace import Run
from tests.methods import formulas
from tests.methods.conftest import SMALL, write_pairs
from tests.methods.test_dpo import log_probability

pytestmark = pytest.mark.filterwarnings("ignore")
FREE: dict[str, Callable[[float, float, int, int], float]] = {
    "orpo": lambda c, r, n, m: 0.3 * formulas.odds_ratio(c / n, r / m),
    "simpo": lambda c, r, n, m: formulas.simpo(c / n, r / m, 0.3, 0.7),
    "cpo": lambda c, r, n, m: formulas.cpo(c, r, 0.3),
}


@pytest.mark.parametrize("method", FREE)
def test_losses_without_a_reference(method: str, train: Callable[..., Run], trainer_of: Callable[..., Any], pairs: Path) -> None:
    run = train("r", base="nano", method=method, data=str(pairs), quantization="none", work=False, beta=0.3, simpo_gamma=0.7, **SMALL)
    made = trainer_of(run)
    made.model.eval()
    rows = made.train_dataset.to_list()[:3]
    sides = [[log_probability(made.model, row[f"{s}_ids"], row[f"{s}_labels"]) for s in ("chosen", "rejected")] for row in rows]
    expected = float(np.mean([FREE[method](c, r, n, m) for (c, n), (r, m) in sides]))
    if method != "simpo":  # the chosen answers are learned too: their mean over all tokens of the batch
        expected -= sum(c for (c, _), _ in sides) / sum(n for (_, n), _ in sides)
    assert float(made.compute_loss(made.model, made.data_collator(rows))) == pytest.approx(expected, rel=2e-4)


def test_kto_equals_the_formula(train: Callable[..., Run], trainer_of: Callable[..., Any], pairs: Path, nano: Path) -> None:
    from transformers import AutoModelForCausalLM

    run = train("r", base="nano", method="kto", data=str(pairs), quantization="none", work=False, beta=0.3, **SMALL)
    made, reference = trainer_of(run), AutoModelForCausalLM.from_pretrained(nano, dtype="float32")
    made.model.eval()
    rows = made.train_dataset.to_list()[:5]
    assert [row["label"] for row in rows] == [True, False, True, False, True]
    both = [[log_probability(model, row["input_ids"], row["labels"])[0] for model in (made.model, reference)] for row in rows]
    ratio = [now - before for now, before in both]
    gaps = []
    for number, row in enumerate(rows):
        start, other = row["labels"].count(-100), rows[number - 1]
        answer = other["input_ids"][other["labels"].count(-100) :]
        ids, labels = row["input_ids"][:start] + answer, [-100] * start + answer
        gaps.append(log_probability(made.model, ids, labels)[0] - log_probability(reference, ids, labels)[0])
    kl = max(0.0, float(np.mean(gaps)))
    expected = float(np.mean([formulas.kto(one, row["label"], kl, 0.3) for one, row in zip(ratio, rows, strict=True)]))
    assert float(made.compute_loss(made.model, made.data_collator(rows))) == pytest.approx(expected, rel=2e-4)
    loss, count, values = made.method.measure_batch(made, made.data_collator(rows))
    assert (loss / count, count) == (pytest.approx(expected, rel=2e-4), 5)
    assert values["reward_chosen"] == (pytest.approx(0.3 * (ratio[0] + ratio[2] + ratio[4]), abs=1e-3), 3)


@pytest.mark.parametrize("method", [*FREE, "kto"])
def test_they_train_and_prefer(method: str, train: Callable[..., Run], pairs: Path) -> None:
    from edgetune.runs.events import read_events

    run = train("r", base="nano", method=method, data=str(pairs), learning_rate=2e-3, **{**SMALL, "validation_split": 0.25})
    events = read_events(run.events)
    seen = [e for e in events if e["kind"] == "evaluated"]
    assert seen[-1]["margin"] > seen[0]["margin"] and seen[-1]["loss"] < seen[0]["loss"]
    steps = [e for e in events if e["kind"] == "step"]
    assert len(steps) == 10 and all("reward_chosen" in e for e in steps if method != "kto")
    assert (run.adapter / "adapter_model.safetensors").is_file()


def test_kto_takes_judged_answers_and_both_kinds_keep_their_verdict(train: Callable[..., Run], tmp_path: Path) -> None:
    from edgetune.data import store

    lines = [json.dumps({"prompt": f"What is {i}?", "completion": f"It is {i}.", "label": i % 3 == 0}) for i in range(30)]
    (tmp_path / "judged.jsonl").write_text("\n".join(lines), encoding="utf-8")
    run = train("r", base="nano", method="kto", data=str(tmp_path / "judged.jsonl"), work=False, **{**SMALL, "validation_split": 0.0})
    assert [row["label"] for row in store.TokenRows(run.data / store.TRAIN_FILE).whole(30)] == [i % 3 == 0 for i in range(30)]
    apart = train("s", base="nano", method="kto", data=str(write_pairs(tmp_path / "p.jsonl")), work=False, **SMALL)
    held = store.TokenRows(apart.data / store.HELD_OUT_FILE).whole(100)
    assert apart.request()["train"] + len(held) == 48 and sum(row["label"] for row in held) * 2 == len(held)
