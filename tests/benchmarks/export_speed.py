"""Export of a model with a LoRA adapter against PEFT's merge, llama.cpp's converter and its quantizer: time, memory, bytes written.

usage: python tests/benchmarks/export_speed.py MAKE_MODEL LLAMA_CPP [--size 1b] [--tokenizer DIR] [--work DIR]
MAKE_MODEL: a script that makes a random Llama of a size with an adapter. LLAMA_CPP: llama.cpp's source, with convert_hf_to_gguf.py.
Upstream goes its fastest route: Q8_0 straight from the converter; Q4_K_M by a BF16 file and llama_model_quantize on all cores. Every step
is a process of its own, from its start to its end; what both sides read lies in the page cache. Memory is the peak of the resident set
above that of an interpreter with the same imports; pages of mapped files that were resident then count as ours.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

RATIOS = {"Q4_K_M": 0.60, "Q8_0": 0.30}
MEMORY, WRITTEN = 0.3 * 2**30, 1.01
MERGE = """
import sys, torch
from peft import PeftModel
from transformers import AutoModelForCausalLM
model = AutoModelForCausalLM.from_pretrained(sys.argv[1], dtype=torch.bfloat16)
PeftModel.from_pretrained(model, sys.argv[2]).merge_and_unload().save_pretrained(sys.argv[3])
"""
QUANTIZE = """
import ctypes, os, sys, llama_cpp
params = llama_cpp.llama_model_quantize_default_params()
params.ftype, params.nthread = 15, os.cpu_count()
sys.exit(llama_cpp.llama_model_quantize(sys.argv[1].encode(), sys.argv[2].encode(), ctypes.byref(params)))
"""
IMPORTS = "import edgetune.cli.app, edgetune.cli.export, edgetune.gguf.write, converters.convert"


class Cost(NamedTuple):
    """Seconds of wall time, peak resident bytes, bytes written."""

    seconds: float
    peak: int
    written: int

    def __add__(self, other: object) -> "Cost":
        """One after the other."""
        assert isinstance(other, Cost)
        return Cost(self.seconds + other.seconds, max(self.peak, other.peak), self.written + other.written)

    def __str__(self) -> str:
        return f"{self.seconds:7.1f} s {self.peak / 2**30:6.2f} GiB {self.written / 1e9:6.2f} GB"


def run(*words: object, folder: Path | None = None) -> Cost:
    """Run Python with these arguments, quietly, and measure it."""
    start = time.perf_counter()
    process = subprocess.Popen([sys.executable, *map(str, words)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, cwd=folder)
    assert process.stderr
    said = process.stderr.read()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    seconds = time.perf_counter() - start
    counts = dict(line.split(": ") for line in Path(f"/proc/{process.pid}/io").read_text().splitlines())
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{words} failed:\n{said.decode(errors='replace')[-3000:]}")
    return Cost(seconds, usage.ru_maxrss * 1024, int(counts["wchar"]))


def upstream(model: Path, llama_cpp: Path, work: Path) -> dict[str, Cost]:
    """What upstream's way to each type costs; the merge counts for both."""
    merged, sixteen = work / "merged", work / "bf16.gguf"
    merge = run("-c", MERGE, model, f"{model}-lora", merged)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(model / name, merged)
    print(f"  merge           {merge}", flush=True)
    convert = llama_cpp / "convert_hf_to_gguf.py"
    straight = run(convert, merged, "--outtype", "q8_0", "--outfile", work / "q8_0.gguf")
    print(f"  convert to Q8_0 {straight}", flush=True)
    (work / "q8_0.gguf").unlink()
    half = run(convert, merged, "--outtype", "bf16", "--outfile", sixteen)
    print(f"  convert to BF16 {half}", flush=True)
    shutil.rmtree(merged)
    quantized = run("-c", QUANTIZE, sixteen, work / "q4.gguf")
    print(f"  quantize Q4_K_M {quantized}", flush=True)
    sixteen.unlink()
    return {"Q4_K_M": merge + half + quantized, "Q8_0": merge + straight}


def main() -> None:
    """Make the model, measure, print both sides."""
    parser = argparse.ArgumentParser()
    parser.add_argument("make_model", type=Path)
    parser.add_argument("llama_cpp", type=Path)
    parser.add_argument("--size", default="1b")
    parser.add_argument("--tokenizer", type=Path)
    parser.add_argument("--work", type=Path, help="Folder whose model is used again. [a temporary one]")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.work) as temporary:
        work = Path(temporary)
        model = (options.work or work) / f"llama-{options.size}"
        if not model.is_dir():
            words = ["--tokenizer", options.tokenizer] if options.tokenizer else []
            run(options.make_model, "llama", model, "--size", options.size, "--lora", 16, *words)
        root = Path(__file__).parents[2]
        interpreter = run("-c", IMPORTS, folder=root)
        print(f"an interpreter with the imports: {interpreter.peak / 2**20:.0f} MiB\nupstream", flush=True)
        theirs = upstream(model, options.llama_cpp.resolve(), work)
        kept = True
        for types in (["Q4_K_M"], ["Q8_0"], ["Q4_K_M", "Q8_0"]):
            words = [word for name in types for word in ("--type", name)]
            (work / "ours").mkdir()
            ours = run("-m", "edgetune", "export", model, "--adapter", f"{model}-lora", *words, "--out", work / "ours", folder=root)
            size = sum(path.stat().st_size for path in (work / "ours").iterdir())
            shutil.rmtree(work / "ours")
            beyond, written = ours.peak - interpreter.peak, ours.written / size
            name, limit = " and ".join(types), RATIOS.get(types[0], 0.0) if len(types) == 1 else None
            print(f"{name}\n  ours     {ours}\n  memory beyond the interpreter {beyond / 2**30:.3f} GiB, limit {MEMORY / 2**30:.1f}")
            print(f"  bytes written / finished {written:.4f}, limit {WRITTEN}")
            kept &= beyond <= MEMORY and written <= WRITTEN
            if limit:
                ratio = ours.seconds / theirs[name].seconds
                kept &= ratio <= limit
                print(f"  upstream {theirs[name]}\n  ratio {ratio:.3f}, limit {limit}", flush=True)
    print("all limits kept" if kept else "a limit is not kept")
    sys.exit(not kept)


if __name__ == "__main__":
    main()
