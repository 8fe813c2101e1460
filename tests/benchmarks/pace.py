"""Predicted against real tokens a second of answers: random-weight models in several types, each asked through llama.cpp.

usage: python tests/benchmarks/pace.py [--models DIR]
Needs tools/make_model.py in the folder beside the project. Prints both sides, the ratio and the limit for each file.
"""

import argparse
import tempfile
import time
from pathlib import Path

import llama_cpp
from fit_memory import make_model

from converters.convert import plan_gguf
from converters.file_types import UNQUANTIZED
from edgetune.bases import find
from edgetune.estimate import generation_speed
from edgetune.machine import hardware

LIMIT = 1.5
"""How far off, in either direction, an estimate may be that is made before the file is there."""
TYPES = ("Q4_K_M", "Q8_0", "F16")
TOKENS, TRIES = 16, 3


def real(path: Path) -> float:
    """Tokens a second, one after another; the best of a few tries."""
    model = llama_cpp.Llama(str(path), n_ctx=512, n_threads=hardware.this_machine().cores, verbose=False)
    model.eval(list(range(10, 26)))
    fastest = 0.0
    for _ in range(TRIES):
        began = time.perf_counter()
        for number in range(TOKENS):
            model.eval([30 + number])
        fastest = max(fastest, TOKENS / (time.perf_counter() - began))
    model.close()
    return fastest


def main() -> None:
    """Write each, ask it, and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--models", type=Path, help="folder that keeps the models made")
    options = parser.parse_args()
    print(f"{generation_speed.bandwidth() / 1e9:.0f} GB/s through memory")
    worst = 1.0
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        models = options.models or place / "models"
        models.mkdir(exist_ok=True, parents=True)
        for model in ("small", "medium", "half"):
            for kind in TYPES:
                path = place / f"{model}-{kind}.gguf"
                with open(path, "w+b") as file:
                    plan_gguf(make_model(model, models), None, [kind], chat_template="", name=model, extra={}).write(kind, file)
                size, measured = path.stat().st_size, real(path)
                weights = find.describe_base(make_model(model, models)).parameters
                predicted = generation_speed.tokens_per_second(size, 0 if kind in UNQUANTIZED else weights)
                ratio = predicted / measured
                worst = max(worst, ratio, 1 / ratio)
                file_of = f"{model:7} {kind:7} {size / 2**20:5.0f} MiB"
                print(f"{file_of}  predicted {predicted:4.0f}/s  real {measured:4.0f}/s  ratio {ratio:.2f}")
                path.unlink()
    print(f"worst {worst:.2f} times off, limit {LIMIT}")


if __name__ == "__main__":
    main()
