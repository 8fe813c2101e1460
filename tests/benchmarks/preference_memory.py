"""What DPO needs in memory beside sft on the same base at the same tokens a step: there must be no second model.

usage: python tests/benchmarks/preference_memory.py MODEL [--quantization none] [--tokens 128] [--rows 4] [--steps 2]
MODEL: a model folder of at least 0.5B parameters. Each side runs in a process of its own; prints both peaks, what lies between
them, and the limit: half the bytes of the base's weights in the form in which they are held.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any


def data(folder: Path, method: str, vocabulary: int, tokens: int, rows: int) -> Any:
    """So many rows, or half as many pairs, of random tokens, half of each trained on."""
    import pyarrow as pa
    import torch

    from edgetune.data import store

    ids = torch.randint(3, vocabulary, (rows, tokens), generator=torch.Generator().manual_seed(0)).tolist()
    labels = [[-100] * (tokens // 2) + row[tokens // 2 :] for row in ids]
    path, half = folder / "rows.arrow", rows // 2
    if method == "sft":
        store.write_rows(path, list(zip(ids, labels, strict=True)))
        return store.TokenRows(path)
    columns = [ids[:half], labels[:half], ids[half:], labels[half:]]
    with store.stream_writer(path, store.run_schema("preference")) as writer:
        writer.write_batch(pa.record_batch([store.list_array(column) for column in columns], schema=store.run_schema("preference")))
    return store.TokenRows(path)


def side(method: str, model: Path, quantization: str, tokens: int, rows: int, steps: int) -> None:
    """Train a few steps and print the peak of this process's memory and the bytes of the base's weights."""
    import torch

    from edgetune import methods
    from edgetune.bases import find
    from edgetune.bases import tokenizer as tokenizers
    from edgetune.config.recipe import build_recipe
    from edgetune.runs.events import EventLog
    from edgetune.training.model import build_model as build_model
    from edgetune.training.progress import RunProgress
    from edgetune.training.run_callback import RunCallback
    from edgetune.training.trainer_setup import TrainerSetup

    base = find.describe_base(model)
    batch = rows if method == "sft" else rows // 2
    recipe, _ = build_recipe(
        {
            "base": str(model),
            "method": method,
            "quantization": quantization,
            "batch_size": batch,
            "gradient_accumulation": 1,
            "learning_rate": 1e-4,
        }
    )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        made = build_model(recipe, model, "cpu", "float32")
        held = sum(p.numel() * p.element_size() for p in made.parameters() if not p.requires_grad)
        tokenizer = tokenizers.load_tokenizer(model, "2026-01-01")
        given = data(folder, method, base.config["vocab_size"], tokens, rows)
        trainer = methods.get(method).make_trainer(TrainerSetup(recipe, made, tokenizer, given, folder, steps, tokens, "cpu", "float32"))
        trainer.order, trainer.events, trainer.recipe, trainer.folder = [*range(batch)] * steps, EventLog(folder / "e"), recipe, folder
        trainer.progress, trainer.held_out = RunProgress(), []
        trainer.add_callback(RunCallback(trainer, steps, steps, steps, None))
        loaded = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        torch.manual_seed(0)
        trainer.train()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"peak": peak, "loaded": loaded, "base": held, "parameters": base.parameters}))


def main() -> None:
    """Run both sides and compare."""
    parser = argparse.ArgumentParser()
    parser.add_argument("model", type=Path)
    parser.add_argument("--quantization", default="none")
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--rows", type=int, default=4)
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--side", default="")
    options = parser.parse_args()
    if options.side:
        side(options.side, options.model, options.quantization, options.tokens, options.rows, options.steps)
        return
    found = {}
    for method in ("sft", "dpo"):
        done = subprocess.run([sys.executable, __file__, *sys.argv[1:], "--side", method], capture_output=True, text=True, check=True)
        found[method] = json.loads(done.stdout.splitlines()[-1])
        peak, loaded = found[method]["peak"] / 2**20, found[method]["loaded"] / 2**20
        print(f"{method}: peak {peak:,.0f} MiB, {loaded:,.0f} MiB of them reached when the model was loaded", flush=True)
    more, base = found["dpo"]["peak"] - found["sft"]["peak"], found["sft"]["base"]
    print(f"base: {found['sft']['parameters'] / 1e9:.2f}B parameters, {base / 2**20:,.0f} MiB as {options.quantization}")
    print(f"dpo above sft: {more / 2**20:,.0f} MiB, {more / base:+.1%} of the base's weights (limit +50%)")
    sys.exit(more >= base / 2)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
    main()
