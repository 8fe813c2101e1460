"""Peak memory of training a vision-language model's text part, beside the same text model as a folder of its own.

usage: python tests/benchmarks/text_part_memory.py [--quick] [--kinds KIND ...]
Whole training workers of two steps on random weights, each in a process of its own, with a vision tower as large as the text part, so that
any of it in memory would show. Prints both peaks above an interpreter with its imports, their ratio and limit, and what was predicted.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

LIMIT = 1.05
SIZES: dict[str, dict[str, int]] = {
    "quick": {"hidden_size": 512, "intermediate_size": 1536, "num_hidden_layers": 6, "vocab_size": 8192},
    "full": {"hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 12, "vocab_size": 32768},
}
HEADS = {"num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 64}
QUANTIZATIONS = ("none", "nf4")


def make_models(kind: str, sizes: dict[str, int], place: Path) -> tuple[Path, Path]:
    """The text model and the whole model around one like it, in BF16."""
    from tests.converters.reference import byte_level_tokenizer, qwen2_steps
    from tests.converters.small_models import WRAPPERS, random_model, wrapped
    from tests.converters.test_archs import tiny

    same = {"layer_types": None, "per_layer_config": None, "num_kv_shared_layers": 0, "vocab_size_per_layer_input": sizes["vocab_size"]}
    known = tiny(WRAPPERS[kind][0])
    text = known | sizes | HEADS | {key: value for key, value in same.items() if key in known}
    whole = wrapped(kind, text)
    layers = {"num_hidden_layers": sizes["num_hidden_layers"], "depth": sizes["num_hidden_layers"]}
    tower = {
        "hidden_size": sizes["hidden_size"],
        "intermediate_size": 2 * sizes["intermediate_size"],
        "out_hidden_size": text["hidden_size"],
    }
    whole["vision_config"] = {key: (layers | tower).get(key, value) for key, value in whole["vision_config"].items()}
    folders = place / f"{kind}-text", place / f"{kind}-whole"
    for folder, config in zip(folders, (text, whole), strict=True):
        random_model(config, folder, "bfloat16")
        byte_level_tokenizer(folder, 300, qwen2_steps())
    return folders


def train(base: Path, quantization: str, place: Path) -> tuple[int, int]:
    """Bytes at the peak of a worker, and predicted above the interpreter."""
    from edgetune.bases import find
    from edgetune.config.recipe import build_recipe
    from edgetune.estimate import fit
    from edgetune.jobs import create
    from edgetune.storage.workspace import Workspace
    from tests.benchmarks.fit_memory import SHORT, child_peak, filled, write_rows

    given: dict[str, Any] = SHORT | {
        "quantization": quantization,
        "base": str(base),
        "data": [str(write_rows(place / "rows.jsonl", 1, False))],
    }
    fixed = {"overlong": "truncate", "max_steps": 2, "validation_split": 0.0, "threads": 1, "learning_rate": 1e-5, "device": "cpu"}
    recipe, sources = build_recipe(given | fixed)
    run = create.create_run(filled(recipe, sources, place), Workspace(place / "workspace"), None)
    peak, _ = child_peak([sys.executable, "-m", "edgetune.jobs.worker", str(run.folder)])
    return peak, fit.training_memory(recipe, find.describe_base(base), "cpu").total


def main() -> int:
    """Train each, and print. Exit code 1 where the whole model takes more."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="small models, one type of base")
    parser.add_argument("--kinds", nargs="*", default=["gemma3", "qwen3_5", "mistral3"])
    options = parser.parse_args()
    from tests.benchmarks.fit_memory import IMPORTS, child_peak

    floor, _ = child_peak([sys.executable, "-c", IMPORTS])
    worst = 0.0
    with tempfile.TemporaryDirectory() as name:
        for kind in options.kinds[: 1 if options.quick else None]:
            text, whole = make_models(kind, SIZES["quick" if options.quick else "full"], Path(name))
            size = (whole / "model.safetensors").stat().st_size / (text / "model.safetensors").stat().st_size
            for quantization in QUANTIZATIONS:
                alone, predicted = train(text, quantization, Path(name))
                inside, predicted_inside = train(whole, quantization, Path(name))
                ratio = (inside - floor) / (alone - floor)
                worst = max(worst, ratio)
                print(
                    json.dumps(
                        {
                            "base": kind,
                            "quantization": quantization,
                            "file of the whole model / of the text model": round(size, 2),
                            "text model MiB": round((alone - floor) / 2**20),
                            "whole model MiB": round((inside - floor) / 2**20),
                            "ratio": round(ratio, 3),
                            "predicted MiB, both": [round(predicted / 2**20), round(predicted_inside / 2**20)],
                        }
                    ),
                    flush=True,
                )
    print(f"worst ratio {worst:.3f}, limit {LIMIT}")
    return int(worst > LIMIT)


if __name__ == "__main__":
    raise SystemExit(main())
