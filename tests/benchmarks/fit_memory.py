"""Predicted against real peak memory: whole training workers of a few steps on random-weight models, each in a process of its own.

usage: python tests/benchmarks/fit_memory.py [--only NAME ...] [--out FILE] [--models DIR]
Memory is counted above an interpreter that has imported what a worker imports. Needs tools/make_model.py in the folder beside the
project. Prints both sides, the ratio and the limit for each configuration, and the span that they cover.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

LIMIT = 0.15
SPAN = 10.0
ROOT = Path(__file__).resolve().parents[2]
SHARED = ROOT.parent / "shared"
IMPORTS = """import resource
import edgetune.training.run, edgetune.methods.sft
import torch, datasets, bitsandbytes
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast, TrainerCallback
from transformers.models.llama import modeling_llama
from peft import LoraConfig, get_peft_model
from trl import SFTConfig, SFTTrainer
from trl.data_utils import pack_dataset
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""

FLOAT32 = "-fp32"
"""Ends the name of a configuration that computes in 32 bits, on processors too that multiply 16-bit numbers."""
MODELS: dict[str, list[str]] = {
    # name: arguments of make_model.py
    "tiny": ["llama", "--size", "tiny"],
    "small": [
        *("llama", "--size", "tiny", "--set", "hidden_size=512", "--set", "intermediate_size=1536", "--set", "num_hidden_layers=8"),
        *("--set", "num_attention_heads=8", "--set", "num_key_value_heads=4"),
    ],
    "medium": [
        *("llama", "--size", "tiny", "--set", "hidden_size=768", "--set", "intermediate_size=3072", "--set", "num_hidden_layers=12"),
        *("--set", "num_attention_heads=12", "--set", "num_key_value_heads=4"),
    ],
    "half": ["qwen3", "--size", "0.5b"],
    "biased": [
        *("qwen2", "--size", "tiny", "--set", "hidden_size=640", "--set", "intermediate_size=1728", "--set", "num_hidden_layers=10"),
        *("--set", "num_attention_heads=10", "--set", "num_key_value_heads=2"),
    ],
    "capped": ["gemma2", "--size", "tiny", "--set", "hidden_size=512", "--set", "intermediate_size=2048"],
    "fused": [
        *("phi3", "--size", "tiny", "--set", "hidden_size=640", "--set", "intermediate_size=1728", "--set", "num_hidden_layers=10"),
        *("--set", "num_attention_heads=10", "--set", "num_key_value_heads=10"),
    ],
}
SHORT: dict[str, Any] = {"rank": 16, "batch_size": 1, "gradient_accumulation": 1, "max_length": 128, "quantization": "none"}
CONFIGURATIONS: dict[str, tuple[str, dict[str, Any]]] = {
    "tiny-b1-l128": ("tiny", SHORT),
    "small-b2-l256": ("small", {**SHORT, "batch_size": 2, "max_length": 256}),
    "medium-b1-l128": ("medium", SHORT),
    "medium-b1-l128-nf4": ("medium", {**SHORT, "quantization": "nf4"}),
    "small-b2-l256-full": ("small", {**SHORT, "batch_size": 2, "max_length": 256, "lora": False}),
    "tiny-b4-l512-pack": ("tiny", {**SHORT, "batch_size": 4, "max_length": 512, "packing": True}),
    "small-b4-l256-ckpt": ("small", {**SHORT, "batch_size": 4, "max_length": 256, "gradient_checkpointing": True}),
    "half-b1-l64-nf4": ("half", {**SHORT, "max_length": 64, "quantization": "nf4"}),
    "medium-b2-l256-r128": ("medium", {**SHORT, "batch_size": 2, "max_length": 256, "rank": 128}),
    "half-b1-l64": ("half", {**SHORT, "max_length": 64}),
    "medium-b1-l64-full": ("medium", {**SHORT, "max_length": 64, "lora": False}),
    "medium-b2-l256-ckpt-nf4": (
        "medium",
        {**SHORT, "batch_size": 2, "max_length": 256, "gradient_checkpointing": True, "quantization": "nf4"},
    ),
    "small-b1-l1024": ("small", {**SHORT, "max_length": 1024}),
    "tiny-b4-l256": ("tiny", {**SHORT, "batch_size": 4, "max_length": 256}),
    "tiny-b4-l512-nf4": ("tiny", {**SHORT, "batch_size": 4, "max_length": 512, "quantization": "nf4"}),
    "tiny-b8-l512": ("tiny", {**SHORT, "batch_size": 8, "max_length": 512}),
    "small-b1-l256-dpo": ("small", {**SHORT, "max_length": 256, "method": "dpo"}),
    "medium-b2-l128-dpo-nf4": ("medium", {**SHORT, "batch_size": 2, "method": "dpo", "quantization": "nf4"}),
    "small-b2-l256-orpo": ("small", {**SHORT, "batch_size": 2, "max_length": 256, "method": "orpo"}),
    "medium-b1-l256-simpo": ("medium", {**SHORT, "max_length": 256, "method": "simpo"}),
    "small-b2-l256-cpo-ckpt": ("small", {**SHORT, "batch_size": 2, "max_length": 256, "method": "cpo", "gradient_checkpointing": True}),
    "small-b4-l256-kto": ("small", {**SHORT, "batch_size": 4, "max_length": 256, "method": "kto"}),
    "small-b2-l256-reward": ("small", {**SHORT, "batch_size": 2, "max_length": 256, "method": "reward"}),
    "small-b4-l128-rl": (
        "small",
        {**SHORT, "batch_size": 4, "method": "rl", "num_generations": 4, "max_completion_length": 128, "reward": ["length:16"]},
    ),
    "small-b2-l256-fp32": ("small", {**SHORT, "batch_size": 2, "max_length": 256}),
    "half-b1-l64-fp32": ("half", {**SHORT, "max_length": 64}),
    "medium-b1-l128-nf4-fp32": ("medium", {**SHORT, "quantization": "nf4"}),
    "half-b1-l256-nf4": ("half", {**SHORT, "max_length": 256, "quantization": "nf4"}),
    "small-b8-l128-r64": ("small", {**SHORT, "batch_size": 8, "rank": 64}),
    "medium-b4-l256-a4": ("medium", {**SHORT, "batch_size": 4, "gradient_accumulation": 4, "max_length": 256}),
    "medium-b1-l512-ckpt-full": ("medium", {**SHORT, "max_length": 512, "lora": False, "gradient_checkpointing": True}),
}
HELD_OUT: dict[str, tuple[str, dict[str, Any]]] = {
    # Measured once the constants of fit.py stood, which were chosen on those above.
    "biased-b2-l200": ("biased", {**SHORT, "batch_size": 2, "max_length": 200}),
    "biased-b3-l160-nf4-ckpt": (
        "biased",
        {**SHORT, "batch_size": 3, "max_length": 160, "quantization": "nf4", "gradient_checkpointing": True},
    ),
    "capped-b2-l128": ("capped", {**SHORT, "batch_size": 2}),
    "fused-b2-l192-r32": ("fused", {**SHORT, "batch_size": 2, "max_length": 192, "rank": 32}),
    "medium-b3-l320-dpo": ("medium", {**SHORT, "batch_size": 3, "max_length": 320, "method": "dpo"}),
    "half-b2-l160-nf4-ckpt": ("half", {**SHORT, "batch_size": 2, "max_length": 160, "quantization": "nf4", "gradient_checkpointing": True}),
    "biased-b2-l256-orpo-nf4": ("biased", {**SHORT, "batch_size": 2, "max_length": 256, "method": "orpo", "quantization": "nf4"}),
    "small-b6-l96-full": ("small", {**SHORT, "batch_size": 6, "max_length": 96, "lora": False}),
}


def make_model(name: str, folder: Path) -> Path:
    """A model folder of random weights, made once."""
    target = folder / name
    if not target.exists():
        words = [sys.executable, str(SHARED / "tools" / "make_model.py"), MODELS[name][0], str(target), *MODELS[name][1:]]
        subprocess.run([*words, "--tokenizer", str(SHARED / "tokenizers" / "llama2")], check=True, capture_output=True)
    return target


def write_rows(path: Path, words: int, paired: bool) -> Path:
    """Rows whose prompts have so many words, a token each; pairs where the method learns from them."""
    one, other = " It is late and the boat will not come today.", " The boat is early, and nobody is there to see it."
    answers = {"chosen": one, "rejected": other} if paired else {"completion": one}
    lines = [json.dumps({"prompt": f"Tale {i:02}: {'the ' * words}"} | answers) for i in range(24)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def filled(recipe: Any, sources: Any, place: Path) -> Any:
    """The plan of a run whose rows are as long as its recipe allows: rows that are surely too short first, then what is missing."""
    from edgetune.jobs import create
    from edgetune.storage.workspace import Workspace

    data = Path(recipe.data[0])
    paired, words = recipe.method not in ("sft", "rl"), 1
    for _ in range(2):
        write_rows(data, words, paired)
        plan = create.plan_run(recipe, sources, Workspace(place / "workspace"), anyway=True)
        words += plan.length - plan.prepared.report.lengths["max"]
    return plan


def child_peak(words: list[str]) -> tuple[int, str]:
    """Run a process to its end. Returns the most bytes it held and what it printed."""
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=ROOT)
    assert process.stdout
    out = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(out[-3000:])
    return usage.ru_maxrss * 1024, out


def main() -> None:
    """Train each, and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", nargs="*")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--models", type=Path, help="folder that keeps the models made")
    options = parser.parse_args()

    from edgetune.bases import find
    from edgetune.config.recipe import build_recipe
    from edgetune.estimate import fit
    from edgetune.jobs import create
    from edgetune.machine import hardware
    from edgetune.storage.workspace import Workspace

    usual = hardware.choose_dtype

    def in_32_bits(chosen: str, here: hardware.Machine | None = None) -> hardware.Choice:
        return hardware.Choice("float32", "asked for")

    floor = child_peak([sys.executable, "-c", IMPORTS])[0]
    print(f"interpreter with its imports: {floor / 2**20:.0f} MiB", flush=True)
    results: dict[str, tuple[float, float]] = {}
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        models = options.models or place / "models"
        models.mkdir(exist_ok=True, parents=True)
        for label, (model, given) in (CONFIGURATIONS | HELD_OUT).items():
            if options.only and label not in options.only:
                continue
            hardware.choose_dtype = in_32_bits if label.endswith(FLOAT32) else usual
            base = make_model(model, models)
            recipe, sources = build_recipe(
                {
                    "overlong": "truncate",
                    "max_steps": 2,
                    "validation_split": 0.0,
                    "threads": 1,
                    "base": str(base),
                    "data": [str(write_rows(place / "rows.jsonl", 1, False))],
                    "learning_rate": 1e-5,
                }
                | given
            )
            plan = filled(recipe, sources, place)
            run = create.create_run(plan, Workspace(place / "workspace"), None)
            peak, _ = child_peak([sys.executable, "-m", "edgetune.jobs.worker", str(run.folder)])
            predicted = fit.training_memory(recipe, find.describe_base(base), "cpu").total
            real = peak - floor
            results[label] = predicted, real
            print(
                f"{label:26} predicted {predicted / 2**20:6.0f} MiB  real {real / 2**20:6.0f} MiB  ratio {predicted / real:.3f}", flush=True
            )
            if options.out:
                with open(options.out, "a", encoding="utf-8") as file:
                    file.write(json.dumps({"label": label, "real": real / 2**20, "predicted": predicted / 2**20}) + "\n")
    worst = max(abs(predicted / real - 1) for predicted, real in results.values())
    if unseen := [abs(predicted / real - 1) for label, (predicted, real) in results.items() if label in HELD_OUT]:
        print(f"{len(unseen)} of them held out when constants were chosen, worst {max(unseen):.1%} off")
    span = max(real for _, real in results.values()) / min(real for _, real in results.values())
    print(f"{len(results)} configurations, worst {worst:.1%} off, limit {LIMIT:.0%}; they span a factor of {span:.1f}, wanted {SPAN:.0f}")


if __name__ == "__main__":
    main()
