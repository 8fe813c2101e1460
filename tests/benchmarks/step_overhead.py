"""What our life around TRL's trainer costs: one step against the same trainer run bare, in one process, alternating.

usage: python tests/benchmarks/step_overhead.py [--steps 12] [--rounds 5]
Nano, LoRA rank 16, 8 rows of 256 tokens. Prints the median step of both sides, the paired ratios and the limit.
"""

import argparse
import statistics
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

LIMIT = 1.05


def rows(folder: Path) -> Any:
    """64 rows of 256 tokens, half of them trained on."""
    import torch

    from edgetune.data import store

    ids = torch.randint(3, 2048, (64, 256), generator=torch.Generator().manual_seed(0)).tolist()
    store.write_rows(folder / "rows.arrow", [(row, [-100] * 128 + row[128:]) for row in ids])
    return store.TokenRows(folder / "rows.arrow")


def step_seconds(trainer: Any) -> float:
    """Median wall time of a step, the first two left out."""
    from transformers import TrainerCallback

    times: list[float] = []

    class Clock(TrainerCallback):
        def on_step_begin(self, *args: Any, **kwargs: Any) -> None:
            times.append(time.perf_counter())

    trainer.add_callback(Clock())
    trainer.train()
    return statistics.median(b - a for a, b in pairwise(times[2:]))


def main() -> None:
    """Alternate, and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()

    import torch
    from trl import SFTConfig, SFTTrainer

    from edgetune.bases import find
    from edgetune.bases import tokenizer as tokenizers
    from edgetune.config.recipe import build_recipe
    from edgetune.machine import hardware
    from edgetune.methods import sft
    from edgetune.runs.events import EventLog
    from edgetune.training.model import build_model as build_model
    from edgetune.training.progress import RunProgress
    from edgetune.training.row_order import row_order
    from edgetune.training.run_callback import RunCallback
    from edgetune.training.trainer_setup import TrainerSetup

    torch.set_num_threads(1)
    recipe, _ = build_recipe(
        {"base": "nano", "rank": 16, "batch_size": 8, "gradient_accumulation": 1, "learning_rate": 1e-4, "validation_split": 0.0}
    )
    dtype, total = hardware.choose_dtype("cpu").value, options.steps
    tokens = tokenizers.load_tokenizer(find.BUNDLED, "2026-01-01")

    place = tempfile.TemporaryDirectory()
    data = rows(Path(place.name))

    def setup(folder: Path) -> TrainerSetup:
        return TrainerSetup(recipe, build_model(recipe, find.BUNDLED, "cpu", dtype), tokens, data, folder, total, 256, "cpu", dtype)

    def ours(folder: Path) -> Any:
        trainer = sft.make_trainer(setup(folder))
        trainer.order, trainer.events = row_order([[0, len(data), len(data)]], total * 8, 0), EventLog(folder / "events.jsonl")
        trainer.recipe, trainer.folder, trainer.progress, trainer.held_out = recipe, folder, RunProgress(), []
        trainer.add_callback(RunCallback(trainer, total, 10**9, 10**9, None))
        return trainer

    def bare(folder: Path) -> Any:
        from transformers import AutoTokenizer

        made = setup(folder)
        settings = {**made.arguments(), "logging_strategy": "steps", "logging_steps": 1}
        config = SFTConfig(**settings, dataset_kwargs={"skip_prepare_dataset": True}, max_length=None, pad_to_multiple_of=None)
        processing = AutoTokenizer.from_pretrained(find.BUNDLED)
        return SFTTrainer(model=made.model, args=config, train_dataset=made.dataset(), processing_class=processing)

    pairs = []
    with place:
        for number in range(options.rounds):
            folder = Path(place.name) / str(number)
            folder.mkdir()
            first, second = (ours, bare) if number % 2 == 0 else (bare, ours)
            seconds = {maker.__name__: step_seconds(maker(folder)) for maker in (first, second)}
            pairs.append((seconds["ours"], seconds["bare"]))
    ratios = [a / b for a, b in pairs]
    ours_ms, bare_ms = (statistics.median(pair[side] for pair in pairs) * 1000 for side in (0, 1))
    print(f"ours {ours_ms:.1f} ms a step, bare {bare_ms:.1f} ms")
    print(f"ratio {statistics.median(ratios):.3f} (pairs {', '.join(f'{r:.3f}' for r in ratios)}), limit {LIMIT}")


if __name__ == "__main__":
    main()
