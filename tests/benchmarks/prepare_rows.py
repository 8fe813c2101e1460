"""Preparing a data set: our whole pass against `datasets` with a plain chat-template map, same tokenizer, same number of processes.

usage: python tests/benchmarks/prepare_rows.py [--rows 200000] [--processes 2] [--rounds 1] [--large]
Different Alpaca rows as JSON lines, Qwen2.5's tokenizer and template where they lie beside the project, else the bundled model's. Ours
reads, checks, searches for duplicates, renders, masks, tokenizes and stores; theirs reads, renders and tokenizes. Prints seconds, peak
memory (sum over the processes, of memory that is theirs alone) and the ratio. --large sends 1 GB of JSON lines through ours alone.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import psutil

RATIO, MEMORY = 1.0, 1 << 30
SHARED = Path(__file__).resolve().parents[3] / "shared"
ROOT = Path(__file__).resolve().parents[2]

OURS = """
import sys
from functools import partial
from pathlib import Path
from edgetune.bases import tokenizer as tokenizers
from edgetune.data import prepare, verdict
from edgetune.data.render import Rules
from edgetune.data.sources import sources
if __name__ == "__main__":
    base, data, out, processes, keep = sys.argv[1:6]
    tokenizer = tokenizers.load_tokenizer(Path(base), "2026-01-01")
    made = prepare.TokenizerSource(partial(tokenizers.load_tokenizer, Path(base), "2026-01-01"), tokenizer, "")
    folder = Path(out) if keep == "keep" else None
    xray = prepare.survey(sources([data]), rules=Rules(1024), base=made, into=folder, processes=int(processes))
    report = xray.finish(None)
    verdict.judge(report)
    print(report.read, report.kept, report.tokens["tokens"], report.duplicates["train"])
"""
THEIRS = """
import os, sys
os.environ["HF_HUB_OFFLINE"] = os.environ["HF_DATASETS_OFFLINE"] = "1"
os.environ["HF_DATASETS_CACHE"] = sys.argv[3]
from datasets import load_dataset
from transformers import AutoTokenizer
tokenizer = AutoTokenizer.from_pretrained(sys.argv[1])
def render(row):
    question = row["instruction"] + ("\\n" + row["input"] if row["input"] else "")
    turns = [{"role": "user", "content": question}, {"role": "assistant", "content": row["output"]}]
    return {"input_ids": tokenizer.apply_chat_template(turns, return_dict=True)["input_ids"]}
if __name__ == "__main__":
    data = load_dataset("json", data_files=sys.argv[2], split="train")
    done = data.map(render, num_proc=int(sys.argv[4]), remove_columns=data.column_names)
    print(len(done), sum(map(len, done[:1000]["input_ids"])))
"""


def write_rows(path: Path, count: int) -> None:
    """Different rows of Alpaca's shape and lengths."""
    sys.path.insert(0, str(Path(__file__).parent))
    from near_duplicates import rows

    texts, _ = rows(count, 1)
    with open(path, "w", encoding="utf-8") as file:
        for text in texts[:count]:
            words = text.split()
            cut = max(3, len(words) // 6)
            row = {"instruction": " ".join(words[:cut]), "input": "", "output": " ".join(words[cut:]) + "."}
            file.write(json.dumps(row) + "\n")


def base(folder: Path) -> Path:
    """A model folder with a tokenizer and a chat template."""
    if not SHARED.is_dir():
        return ROOT / "edgetune" / "bases" / "bundled" / "nano"
    shutil.copytree(SHARED / "tokenizers" / "qwen2", folder, copy_function=shutil.copyfile)
    shutil.copyfile(SHARED / "chat-templates" / "Qwen-Qwen2.5-7B-Instruct.jinja", folder / "chat_template.jinja")
    (folder / "config.json").write_text('{"model_type": "qwen2"}')
    return folder


def memory_of(process: psutil.Process) -> int:
    """Bytes that a process and its children have for themselves."""
    total = 0
    for one in [process, *process.children(recursive=True)]:
        try:
            total += one.memory_full_info().uss
        except psutil.Error:
            continue
    return total


def timed(code: str, *words: str) -> tuple[float, int, str]:
    """Wall seconds, peak memory in bytes, and output of a Python program."""
    script = Path(words[-1]) / f"run_{abs(hash(code))}.py"
    script.write_text(code, encoding="utf-8")
    began = time.perf_counter()
    child = subprocess.Popen([sys.executable, str(script), *words], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=ROOT)
    watched, peak = psutil.Process(child.pid), 0

    def watch() -> None:
        nonlocal peak
        while child.poll() is None:
            try:
                peak = max(peak, memory_of(watched))
            except psutil.Error:
                return
            time.sleep(0.2)

    thread = threading.Thread(target=watch)
    thread.start()
    out, _ = child.communicate()
    thread.join()
    assert child.returncode == 0, child.returncode
    return time.perf_counter() - began, peak, out.strip()


def main() -> None:
    """Generate, run both sides, print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--large", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        model, data = str(base(place / "base")), str(place / "rows.jsonl")
        write_rows(place / "rows.jsonl", options.rows)
        if options.large:
            large = place / "large.jsonl"
            lines, size = (place / "rows.jsonl").read_bytes(), 0
            with open(large, "wb") as file:
                while size < 1_000_000_000:
                    size += file.write(lines)
            seconds, peak, out = timed(OURS, model, str(large), str(place), str(options.processes), "check", str(place))
            print(f"1 GB: {seconds:.1f} s, peak {peak / 2**20:.0f} MiB, limit {MEMORY / 2**20:.0f}; {out}")
            return
        for number in range(options.rounds):
            kept = place / f"kept{number}"
            kept.mkdir()
            ours, memory, out = timed(OURS, model, data, str(kept), str(options.processes), "keep", str(place))
            theirs, their_memory, _ = timed(THEIRS, model, data, str(place / f"cache{number}"), str(options.processes), str(place))
            print(f"ours {ours:.1f} s, {memory / 2**20:.0f} MiB ({out}); datasets {theirs:.1f} s, {their_memory / 2**20:.0f} MiB")
            print(f"ratio {ours / theirs:.2f}, limit {RATIO}; memory limit {MEMORY / 2**20:.0f} MiB")


if __name__ == "__main__":
    main()
