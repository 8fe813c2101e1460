"""Answers that rl samples: by the model that is trained, in batches, beside llama.cpp, one after the other with the adapter written anew.

usage: python tests/benchmarks/rl_sampling.py [MODEL ...] [--quantization nf4] [--prompts 4] [--each 4] [--tokens 64] [--steps 3]
MODEL: model folders; the bundled model where none is named. Both sides get the same prompts, temperature 1, the same longest answer, and
the same ends of turn; tokens count through the end of an answer. llama.cpp's time holds the adapter as a GGUF LoRA, written and
loaded once a step; the base as F16 is made once and not counted. Prints both sides, the ratio, and the limit from which llama.cpp would be
worth an option of its own. One step before the first is not counted.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

WORTH = 1.5
"""Times as fast as the training model that llama.cpp would have to be."""


def prompts(tokenizer: Any, count: int) -> list[list[int]]:
    """Held-out questions of the bundled model as chat prompts."""
    from edgetune.demo import preference_demo
    from edgetune.preferences.prompts import read

    asked = read(preference_demo.HELD_OUT_QUESTIONS).prompts[:: 330 // count][:count]
    return [tokenizer.encode(tokenizer.template.render(prompt.messages, add_generation_prompt=True)) for prompt in asked]


def by_model(model: Any, ids: list[list[int]], stops: list[int], pad: int, most: int) -> int:
    """Sample as rl does (methods/rl.py through TRL); the tokens of all answers through their ends."""
    import torch

    width = max(map(len, ids))
    left = torch.tensor([[pad] * (width - len(row)) + row for row in ids])
    mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in ids])
    model.eval()
    with torch.no_grad():
        out = model.generate(
            input_ids=left, attention_mask=mask, do_sample=True, temperature=1.0, top_k=0, top_p=1.0, max_new_tokens=most,
            eos_token_id=stops, pad_token_id=pad,
        )[:, width:].tolist()  # fmt: skip
    ends = [next((at + 1 for at, token in enumerate(row) if token in stops), len(row)) for row in out]
    return sum(ends)


def by_llama(engine: Any, model: Any, base: Path, folder: Path, ids: list[list[int]], stops: list[int], most: int, step: int) -> int:
    """Write the adapter, load it, and let llama.cpp answer every prompt; the tokens of all answers, with their ends."""
    from converters import lora
    from edgetune.chat.sampling import Sampling

    model.save_pretrained(folder / "adapter", safe_serialization=True)
    plan = lora.plan_lora(base, folder / "adapter", "F32", name="adapter", extra={})
    with open(folder / f"adapter-{step}.gguf", "w+b") as file:
        plan.write(file)
    engine.load_adapter(folder / f"adapter-{step}.gguf", 1.0, "adapter")
    total = 0
    for number, row in enumerate(ids):
        settings = Sampling(temperature=1.0, top_k=0, top_p=1.0, min_p=0.0, seed=1000 * step + number)
        done = engine.generate(row, max_tokens=most, sampling=settings, stop_ids=tuple(stops)).finished()
        total += done.stats.tokens + (done.stats.reason in ("end", "stop"))
    return total


def compare(folder: Path, options: argparse.Namespace) -> None:
    """Both sides on one base."""
    import torch

    from edgetune.bases import find
    from edgetune.bases import tokenizer as tokenizers
    from edgetune.chat.engine import Engine
    from edgetune.chat.turns import turn_end_ids
    from edgetune.config.recipe import build_recipe
    from edgetune.gguf.source import from_folder
    from edgetune.gguf.write import export_gguf
    from edgetune.machine import hardware
    from edgetune.training.model import build_model, trained_weights

    base = find.describe_base(folder)
    threads = int(hardware.choose_threads(base.parameters, None).value)
    torch.set_num_threads(threads)
    recipe, _ = build_recipe(
        {"base": str(folder), "method": "rl", "quantization": options.quantization, "batch_size": 4, "gradient_accumulation": 1}
    )
    tokenizer = tokenizers.load_tokenizer(folder, "2026-01-01")
    model = build_model(recipe, folder, "cpu", hardware.choose_dtype("cpu").value)
    with torch.no_grad():
        for weight in trained_weights(model).values():
            weight += 0.001 * torch.randn_like(weight)
    stops = turn_end_ids(tokenizer)
    ids = [row for row in prompts(tokenizer, options.prompts) for _ in range(options.each)]
    spent, made = {"model": 0.0, "llama.cpp": 0.0}, {"model": 0, "llama.cpp": 0}
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        file = Path(export_gguf(from_folder(folder, None), ["F16"], place)[0]["path"])
        with Engine(file, threads=threads, n_ctx=1024) as engine:
            for step in range(options.steps + 1):
                for side in spent:
                    started = time.monotonic()
                    if side == "model":
                        tokens = by_model(model, ids, stops, tokenizer.pad_id, options.tokens)
                    else:
                        tokens = by_llama(engine, model, folder, place, ids, stops, options.tokens, step)
                    if step:
                        spent[side] += time.monotonic() - started
                        made[side] += tokens
    speed = {side: made[side] / spent[side] for side in spent}
    print(
        f"{base.name}, {base.parameters / 1e6:.0f}M parameters, {options.quantization}, {threads} threads, {len(ids)} answers a step, "
        f"at most {options.tokens} tokens: model {speed['model']:,.0f} tokens/s ({made['model']:,} tokens), "
        f"llama.cpp {speed['llama.cpp']:,.0f} tokens/s ({made['llama.cpp']:,} tokens); "
        f"llama.cpp {speed['llama.cpp'] / speed['model']:.2f} times as fast (worth an option from {WORTH})",
        flush=True,
    )


def main() -> None:
    """Compare on every model."""
    parser = argparse.ArgumentParser()
    parser.add_argument("models", type=Path, nargs="*")
    parser.add_argument("--quantization", default="nf4")
    parser.add_argument("--prompts", type=int, default=4)
    parser.add_argument("--each", type=int, default=4)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--steps", type=int, default=3)
    options = parser.parse_args()
    from edgetune.storage.paths import BUNDLED

    for folder in options.models or [BUNDLED]:
        compare(folder, options)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
    main()
