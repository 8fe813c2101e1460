"""Pairs to train on, and one trainer on them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgetune.storage.workspace import Run
from tests.conftest import THINGS

SMALL = {
    "max_steps": 10,
    "batch_size": 2,
    "gradient_accumulation": 2,
    "eval_steps": 5,
    "save_steps": 3,
    "max_length": 256,
    "rank": 4,
    "alpha": 8.0,
}


def write_pairs(path: Path, count: int = 24) -> Path:
    """Pairs of a short and a long answer, in TRL's conversational shape."""
    lines = []
    for number in range(count):
        thing = THINGS[number % len(THINGS)]
        question = {"role": "user", "content": f"What is the number of the {thing}, case {number}?"}
        short = {"role": "assistant", "content": f"{number}."}
        long = {"role": "assistant", "content": f"It is {number}. Many people know the number of the {thing}."}
        lines.append(json.dumps({"prompt": [question], "chosen": [short], "rejected": [long]}) + "\n")
    path.write_text("".join(lines), encoding="utf-8")
    return path


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    """A small file of pairs."""
    return write_pairs(tmp_path / "pairs.jsonl")


Made = Callable[..., Any]


@pytest.fixture
def trainer_of() -> Made:
    """Makes the trainer of a run whose worker has not started, its trained weights moved so that they act."""

    def make(run: Run, seed: int | None = 1) -> Any:
        import torch

        from edgetune import methods
        from edgetune.bases import tokenizer as tokenizers
        from edgetune.data import store
        from edgetune.runs.events import EventLog
        from edgetune.runs.integrity import recipe_of
        from edgetune.training.model import build_model, trained_weights
        from edgetune.training.progress import RunProgress
        from edgetune.training.rewards import Context
        from edgetune.training.trainer_setup import TrainerSetup

        recipe, request, folder = recipe_of(run), run.request(), Path(run.request()["base"])
        torch.set_num_threads(1)
        model = build_model(recipe, folder, "cpu", "float32", run.parent if run.parent.is_dir() else None)
        tokenizer = tokenizers.load_tokenizer(folder, request["template_date"])
        rows = store.TokenRows(run.data / store.TRAIN_FILE)
        steps, length = request["steps"], request["length"]
        context = Context(Path(request["runs"]), folder) if recipe.reward else None
        setup = TrainerSetup(recipe, model, tokenizer, rows, run.folder, steps, length, "cpu", "float32", context)
        made = methods.get(recipe.method).make_trainer(setup)
        made.recipe, made.folder, made.progress, made.events = recipe, run.folder, RunProgress(), EventLog(run.events)
        if seed is not None:
            torch.manual_seed(seed)
            with torch.no_grad():
                for weight in trained_weights(made.model).values():
                    weight += 0.05 * torch.randn_like(weight)
        return made

    return make
