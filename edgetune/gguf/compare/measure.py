"""One GGUF measured against full precision, every figure as in the proof, with its size, speed and memory."""

import math
from dataclasses import asdict, dataclass
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import numpy as np

from converters.gguf_file import Header
from edgetune.chat.engine import Engine
from edgetune.chat.sampling import Sampling
from edgetune.data.labels import last_answer_start
from edgetune.errors import EdgeTuneError
from edgetune.gguf.proof.behaviour import answer_log_probs
from edgetune.gguf.proof.prove import Prover
from edgetune.gguf.proof.rows import ProofRow

TIMED_PROMPTS = 64
"""Most held-out prompts that are answered to time the writing."""
TIMED_TOKENS = 64
"""Most tokens of such an answer."""
TIMED_SECONDS = 2.0
"""Writing is timed at least this long, where there are prompts enough: a short answer says little."""


@dataclass(frozen=True)
class FileMeasurement:
    """A file's figures.

    name: what it is called here. path: the file, None where it was written for the comparison only. bytes: of the file. bits: stored for
    each weight. perplexity: of the held-out answers. worse, worse_error: by how much their log p is lower than full precision's, a token,
    with its standard error (nats). kl_mean, kl_99: of next-token predictions from full precision's (nats). top1: share of equal most
    likely tokens. slope: share of the learned change that shows in the answers, None where the model before is not known. speed: tokens
    written a second, None where it wrote none. memory: bytes of the llama.cpp process while it answers.
    """

    name: str
    type: str
    path: Path | None
    bytes: int
    bits: float
    perplexity: float | None
    worse: float | None
    worse_error: float | None
    kl_mean: float
    kl_99: float
    top1: float
    slope: float | None
    slope_error: float | None
    answer_tokens: int
    tokens: int
    speed: float | None
    memory: int

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "path": str(self.path) if self.path else None}


def bits_per_weight(header: Header) -> float:
    """Bits that a file stores for each weight, as llama.cpp counts them (llama_model_size over llama_model_n_params)."""
    weights = sum(math.prod(info.shape) for info in header.tensors.values())
    return 8 * sum(info.size for info in header.tensors.values()) / max(weights, 1)


def measure_file(prover: Prover, path: Path, header: Header, name: str, type_name: str, stays: bool) -> FileMeasurement:
    """Measure a file. stays: whether the file will still be there afterwards.

    Raises EdgeTuneError where it does not compute numbers, or not the model's.
    """
    file = prover.predict(path)
    merged = prover.reference.merged
    if file[0].shape != merged[0].shape:
        raise EdgeTuneError(
            f"{name} has another vocabulary",
            f"{file[0].shape[1]} tokens; the model has {merged[0].shape[1]}.",
            "Leave it out: it was not written from this model.",
        )

    figures = prover.behaviour(file).figures
    if not math.isfinite(figures["kl_mean"]):
        raise EdgeTuneError(f"{name} does not compute numbers", "Its predictions are infinite or no numbers at all.", "Export it again.")

    # How much worse its answers are, token by token, for a standard error.
    rows = prover.sample.held_out
    lost = answer_log_probs(rows, prover.held_out(merged)) - answer_log_probs(rows, prover.held_out(file))
    speed, memory = time_answers(path, rows)
    return FileMeasurement(
        name=name,
        type=type_name,
        path=path if stays else None,
        bytes=path.stat().st_size,
        bits=bits_per_weight(header),
        perplexity=figures["perplexity_file"],
        worse=float(lost.mean()) if len(lost) else None,
        worse_error=float(lost.std() / math.sqrt(len(lost))) if len(lost) else None,
        kl_mean=figures["kl_mean"],
        kl_99=figures["kl_99"],
        top1=figures["top1"],
        slope=figures.get("slope"),
        slope_error=figures.get("slope_error"),
        answer_tokens=figures["answer_tokens"],
        tokens=figures["tokens"],
        speed=speed,
        memory=memory,
    )


def last_prompt(row: ProofRow) -> list[int]:
    """What comes before a row's last answer; half of it where all of it is trained."""
    return row.ids[: last_answer_start(row.labels) or len(row.ids) // 2]


def time_answers(path: Path, rows: list[ProofRow]) -> tuple[float | None, int]:
    """Tokens written a second over some answers, opened as the chat opens it, and the memory its process then has in bytes."""
    import psutil

    written = 0
    seconds = 0.0
    with Engine(path) as engine:
        prompts = [tokens for row in rows if (tokens := last_prompt(row)[: max(engine.info.n_ctx - TIMED_TOKENS, 1)])]
        for tokens in islice(cycle(prompts), TIMED_PROMPTS):
            stats = engine.generate(tokens, max_tokens=TIMED_TOKENS, sampling=Sampling(temperature=0.0, seed=0)).finished().stats
            if stats is not None:
                written += stats.tokens
                seconds += stats.seconds
            if seconds > TIMED_SECONDS:
                break
        memory = int(psutil.Process(engine.pid).memory_info().rss)
    return (written / seconds if seconds > 0 and written else None), memory


def full_precision(prover: Prover) -> float | None:
    """Perplexity of the model itself on the held-out answers."""
    logs = answer_log_probs(prover.sample.held_out, prover.held_out(prover.reference.merged))
    return float(np.exp(min(-logs.mean(), 50))) if len(logs) else None
