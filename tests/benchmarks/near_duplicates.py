"""What the search for near duplicates costs and finds: 200,000 different rows with 2,000 planted copies, 5 % of whose words are changed.

usage: python tests/benchmarks/near_duplicates.py [--rows 200000] [--copies 2000] [--workers 2]
Rows are as long as Alpaca's (median 95 words, from 8 to 450), begin as its rows do, and draw their words as often as real text does
(from the datasets beside the project, else made-up words by Zipf's law). Prints seconds, the share of copies found together with their
source, the share of other rows flagged, memory, and the limits.
"""

import argparse
import multiprocessing
import re
import time
import tracemalloc
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from edgetune.data import duplicates

if TYPE_CHECKING:
    import numpy as np

SECONDS, RECALL, FALSE, BYTES = 60.0, 0.90, 0.001, 100
BATCH = 2000
DATASETS = Path(__file__).resolve().parents[3] / "shared" / "datasets"
OPENINGS = (
    "Give three tips for",
    "Describe the structure of",
    "Explain the concept of",
    "Write a short story about",
    "Summarize the following text:",
    "Classify the following as positive or negative:",
    "What is the capital of",
    "Rewrite the following sentence to make it more concise:",
    "Generate a list of ten",
    "Compare and contrast",
    "Translate the following sentence into French:",
    "How can we reduce",
    "Write a function that",
    "Identify the odd one out:",
    "Suggest a title for this article:",
    "Convert the following into a question:",
)


def vocabulary() -> tuple[list[str], list[float]]:
    """Words and how often each comes."""
    if DATASETS.is_dir():
        counts: Counter[str] = Counter()
        for name in ("alpaca_en_demo.json", "wiki_demo.txt", "c4_demo.jsonl"):
            counts.update(re.findall(r"[a-z']{1,20}", (DATASETS / name).read_text(encoding="utf-8").lower()))
        found = counts.most_common()
    else:
        found = [(f"w{rank:x}", int(1e7 / (rank + 2.7))) for rank in range(40_000)]
    total = sum(count for _, count in found)
    return [word for word, _ in found], [count / total for _, count in found]


def rows(count: int, copies: int) -> tuple[list[str], list[int]]:
    """Different rows, then copies with one word in twenty changed; and the row that each copy was made from."""
    import numpy as np

    chance = np.random.default_rng(0)
    known, often = vocabulary()
    edges = np.cumsum(often)
    draw = lambda size: np.minimum(np.searchsorted(edges, chance.random(size)), len(known) - 1)  # noqa: E731
    lengths = np.clip(np.exp(chance.normal(np.log(95), 0.85, count)), 8, 450).astype(int)
    made = []
    for number, length in enumerate(lengths):
        opening = OPENINGS[number % len(OPENINGS)].split()
        made.append(" ".join(opening + [known[i] for i in draw(max(3, length - len(opening)))]))
    sources = chance.choice(count, copies, replace=False).tolist()
    for source in sources:
        text = made[source].split()
        for place in chance.choice(len(text), max(1, round(0.05 * len(text))), replace=False):
            text[place] = next(w for w in (known[i] for i in draw(50)) if w != text[place])
        made.append(" ".join(text))
    return made, sources


def sign(texts: list[str]) -> "tuple[list[int], np.ndarray]":
    """What a worker does with a batch."""
    return [duplicates.digest(text) for text in texts], duplicates.signatures(texts)


def main() -> None:
    """Generate, search, print."""
    import numpy as np

    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--copies", type=int, default=2_000)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    texts, sources = rows(options.rows, options.copies)

    begin = time.perf_counter()
    batches = [texts[i : i + BATCH] for i in range(0, len(texts), BATCH)]
    with multiprocessing.get_context("spawn").Pool(options.workers) as pool:
        results = list(pool.imap(sign, batches))
    digests = np.concatenate([np.array(part, dtype=np.uint64) for part, _ in results])
    signed = np.concatenate([part for _, part in results])
    read = time.perf_counter() - begin
    exact, near = duplicates.groups(digests, signed)
    seconds = time.perf_counter() - begin

    group = {row: number for number, rows_ in enumerate(exact + near) for row in rows_}
    found = sum(group.get(options.rows + k, -1) == group.get(source, -2) for k, source in enumerate(sources))
    planted = set(sources) | set(range(options.rows, len(texts)))
    false = sum(row not in planted for row in group) / (options.rows - len(sources))
    tracemalloc.start()
    duplicates.groups(digests, signed)
    kept, working = (digests.nbytes + signed.nbytes) / len(texts), tracemalloc.get_traced_memory()[1] / len(texts)
    print(f"{len(texts)} rows, {sum(map(len, texts)) / len(texts):.0f} characters each, {options.workers} workers")
    print(f"seconds {seconds:.1f} (signatures {read:.1f}, groups {seconds - read:.1f}), limit {SECONDS:.0f}")
    print(f"copies found {found / len(sources):.4f}, limit {RECALL}")
    print(f"other rows flagged {false:.6f}, limit {FALSE}")
    print(f"memory a row {kept:.0f} bytes, limit {BYTES}; {working:.0f} more while grouping")


if __name__ == "__main__":
    main()
