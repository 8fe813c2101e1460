"""Evaluating and sampling with llama.cpp: one context, one sequence, and the tokens its KV cache holds.

Lives only in the llama.cpp process.

The bindings' own `Llama.generate` copies logits to Python for every token; here sampling stays in the native chain.
"""

import ctypes
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from edgetune.chat.model_info import DEFAULT_CONTEXT
from edgetune.chat.native_model import NativeModel
from edgetune.chat.sampling import Sampling
from edgetune.chat.stops import StopScanner
from edgetune.errors import EdgeTuneError, InputError

CHUNK = 512
"""Prompt tokens evaluated at a time."""
OUTPUTS = 64
"""Positions whose logits are held at once; bounds the memory of large vocabularies."""
PENALTY_WINDOW = 64
"""Tokens the repeat penalty looks back on (llama.cpp's default)."""
SMALL = 50_000_000
"""Parameters below which handing work between threads costs more than it saves."""
KV_TYPES = {"f32": 0, "f16": 1}
"""ggml type numbers of the key and value cache (ggml.h)."""
ABORTED = 2
"""llama_decode's answer when the abort callback said so (llama.h)."""


class Cancelled(Exception):
    """The client asked to stop while the prompt was being evaluated."""


def choose_threads(n_params: int, cores: int) -> tuple[int, str]:
    """Threads for a model and why."""
    if n_params < SMALL:
        return 1, f"1 thread: with {n_params / 1e6:.1f}M parameters, sharing the work costs more than it saves, most of all on busy cores"
    return cores, f"{cores} threads: one for each physical core"


def physical_cores() -> int:
    """Physical cores this process may run on, at least 1."""
    import psutil

    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(psutil.cpu_count(logical=False) or allowed, allowed))


class NativeContext:
    """A context on a model.

    n_ctx: length in tokens, None for the training context up to 4,096. threads: None chooses by the model's size.
    kv: type of the KV cache, "f16", or "f32" where logits must be exact (flash attention is then off).
    """

    def __init__(self, model: NativeModel, n_ctx: int | None, threads: int | None, kv: str) -> None:
        self.model, self.lib = model, model.lib
        self.n_ctx = n_ctx or min(model.n_ctx_train or DEFAULT_CONTEXT, DEFAULT_CONTEXT)
        chosen = choose_threads(model.n_params, physical_cores())
        self.threads, self.threads_reason = (threads, f"{threads} threads: as asked") if threads else chosen

        # One sequence, evaluated in chunks; flash attention rounds differently, so exact logits go without it.
        params = self.lib.llama_context_default_params()
        params.n_ctx, params.n_batch, params.n_ubatch, params.n_outputs_max = self.n_ctx, CHUNK, CHUNK, OUTPUTS
        params.n_threads = params.n_threads_batch = self.threads
        params.type_k = params.type_v = KV_TYPES[kv]
        if kv == "f32":
            params.flash_attn_type = self.lib.LLAMA_FLASH_ATTN_TYPE_DISABLED
        self.handle = self.lib.llama_init_from_model(model.handle, params)
        if not self.handle:
            raise EdgeTuneError(
                f"No context of {self.n_ctx} tokens could be made for {model.path.name}",
                model.log.tail(),
                "Ask for a shorter context (--ctx), or use a smaller model.",
            )

        # What later calls go by: the tokens in the KV cache, the adapters, and whether the client cancelled.
        self._memory = self.lib.llama_get_memory(self.handle)
        self._cached: list[int] = []
        self._adapters: dict[str, Any] = {}
        self._is_cancelled: Callable[[], bool] = lambda: False
        self._abort, self._no_abort = self.lib.ggml_abort_callback(lambda _data: self._is_cancelled()), self.lib.ggml_abort_callback(0)

    def info(self) -> dict[str, Any]:
        """The context's part of `engine.ModelInfo`."""
        return {"n_ctx": self.n_ctx, "threads": self.threads, "threads_reason": self.threads_reason}

    def forget(self) -> None:
        """Empty the KV cache."""
        self.lib.llama_memory_clear(self._memory, True)
        self._cached.clear()

    def load_adapter(self, name: str, path: Path) -> None:
        """Load a GGUF LoRA under a name, without using it yet; one that had the name is let go. EdgeTuneError when llama.cpp refuses it."""
        handle = self.lib.llama_adapter_lora_init(self.model.handle, os.fsencode(path))
        if not handle:
            raise EdgeTuneError(
                f"llama.cpp cannot load the adapter {path.name}", self.model.log.tail(), "Use an adapter made for this base."
            )
        old = self._adapters.pop(name, None)
        if old is not None:
            self.set_scales({})
            self.lib.llama_adapter_lora_free(old)
        self._adapters[name] = handle

    def set_scales(self, scales: dict[str, float]) -> None:
        """Use the adapters named, each at its scale, and no other. What the KV cache holds was computed otherwise and is forgotten."""
        used = [(self._adapters[name], scale) for name, scale in scales.items() if scale != 0.0]
        handles = (self.lib.llama_adapter_lora_p_ctypes * len(used))(*(handle for handle, _ in used))
        numbers = (ctypes.c_float * len(used))(*(scale for _, scale in used))
        self.lib.llama_set_adapters_lora(self.handle, handles, len(used), numbers)
        self.forget()

    def _check(self, tokens: list[int]) -> None:
        self.model.check_tokens(tokens)
        if len(tokens) > self.n_ctx:
            raise InputError(
                "The text is longer than the context",
                f"It has {len(tokens)} tokens; the context holds {self.n_ctx}.",
                "Shorten it, or ask for a longer context (--ctx).",
            )

    def _keep_prefix(self, tokens: list[int], most: int) -> int:
        """Keep the cached tokens that `tokens` begins with (at most `most`), forget the rest; how many were kept."""
        limit = min(len(self._cached), len(tokens), most)
        kept = next((i for i in range(limit) if self._cached[i] != tokens[i]), limit)
        # Recurrent layers cannot forget a part: such models start again.
        if kept < len(self._cached) and not self.lib.llama_memory_seq_rm(self._memory, 0, kept, -1):
            self.forget()
            return 0
        del self._cached[kept:]
        return kept

    def _failed(self, status: int) -> EdgeTuneError:
        self.forget()
        return EdgeTuneError(
            "llama.cpp could not evaluate the text",
            f"llama_decode returned {status}. {self.model.log.tail()}",
            "Try a shorter context (--ctx) or another export of the model.",
        )

    def _evaluate(self, tokens: list[int], is_cancelled: Callable[[], bool] = lambda: False) -> None:
        """Append tokens to the context. Raises Cancelled, with what was evaluated up to then kept."""
        self._is_cancelled = is_cancelled
        # Only here: one Python call a graph node would slow single tokens down.
        self.lib.llama_set_abort_callback(self.handle, self._abort, None)
        try:
            for start in range(0, len(tokens), CHUNK):
                chunk = tokens[start : start + CHUNK]
                # The batch only points at the ids: they must outlive the decode.
                ids = (ctypes.c_int32 * len(chunk))(*chunk)
                status = self.lib.llama_decode(self.handle, self.lib.llama_batch_get_one(ids, len(ids)))
                if status == 0:
                    self._cached.extend(chunk)
                elif status == ABORTED:
                    if not self.lib.llama_memory_seq_rm(self._memory, 0, len(self._cached), -1):
                        self.forget()
                else:
                    raise self._failed(status)
                if is_cancelled():
                    raise Cancelled
        finally:
            self.lib.llama_set_abort_callback(self.handle, self._no_abort, None)

    def _sampler(self, sampling: Sampling, recent: list[int]) -> Any:
        """A native sampler chain; the caller frees it. recent: tokens the repeat penalty already knows."""
        lib = self.lib
        links: list[Any] = []
        if sampling.repeat_penalty != 1.0:
            links.append(lib.llama_sampler_init_penalties(self.model.n_vocab, PENALTY_WINDOW, sampling.repeat_penalty, 0.0, 0.0))
        if sampling.temperature == 0:
            links.append(lib.llama_sampler_init_greedy())
        else:
            if sampling.top_k > 0:
                links.append(lib.llama_sampler_init_top_k(min(sampling.top_k, self.model.n_vocab)))
            if sampling.top_p < 1:
                links.append(lib.llama_sampler_init_top_p(sampling.top_p, 1))
            if sampling.min_p > 0:
                links.append(lib.llama_sampler_init_min_p(sampling.min_p, 1))
            links += [lib.llama_sampler_init_temp(sampling.temperature), lib.llama_sampler_init_dist(sampling.seed)]

        # The chain owns its links. The penalty must know the end of the prompt, which was not sampled.
        chain = lib.llama_sampler_chain_init(lib.llama_sampler_chain_default_params())
        for link in links:
            lib.llama_sampler_chain_add(chain, link)
        for token in recent[-PENALTY_WINDOW:]:
            lib.llama_sampler_accept(chain, token)
        return chain

    def generate(
        self,
        tokens: list[int],
        max_tokens: int,
        sampling: Sampling,
        stops: list[str],
        stop_ids: list[int],
        is_cancelled: Callable[[], bool],
        emit: Callable[[int, bytes], None],
    ) -> dict[str, Any]:
        """Continue `tokens`; `emit` gets every token with the bytes that may be shown after it (-1 for held-back ones at the end).

        Returns the fields of `engine.GenerationStats`.
        """
        self._check(tokens)
        if not tokens:
            raise InputError("There is nothing to continue", "The prompt has no tokens and the model has no BOS token.", "Give a prompt.")

        sampling = sampling.checked()
        started = time.monotonic()
        reused = self._keep_prefix(tokens, len(tokens) - 1)
        stats: dict[str, Any] = {
            "reason": "cancelled",
            "tokens": 0,
            "reused": reused,
            "evaluated": len(tokens) - reused,
            "seconds": 0.0,
            "prompt_seconds": 0.0,
            "seed": sampling.seed,
        }

        # The prompt: what the KV cache already holds of it is not evaluated again.
        try:
            self._evaluate(tokens[reused:], is_cancelled)
        except Cancelled:
            return {**stats, "evaluated": max(len(self._cached) - reused, 0)}
        stats["prompt_seconds"] = time.monotonic() - started

        # The answer, until something ends it.
        chain, scanner = self._sampler(sampling, tokens), StopScanner(stops)
        try:
            ends = self.model.eog.union(stop_ids)
            stats["tokens"], stats["reason"] = self._continue(chain, max_tokens, ends, scanner, is_cancelled, emit)
        finally:
            self.lib.llama_sampler_free(chain)

        # What could have become a stop string, and did not, still belongs to the answer.
        rest = scanner.rest()
        if rest:
            emit(-1, rest)
        stats["seconds"] = time.monotonic() - started - stats["prompt_seconds"]
        return stats

    def _continue(
        self,
        chain: Any,
        max_tokens: int,
        ends: frozenset[int],
        scanner: StopScanner,
        is_cancelled: Callable[[], bool],
        emit: Callable[[int, bytes], None],
    ) -> tuple[int, str]:
        """Sample and evaluate until something ends it; the number of tokens written and the reason."""
        sample, decode, piece = self.lib.llama_sampler_sample, self.lib.llama_decode, self.model.piece
        next_token = (ctypes.c_int32 * 1)()  # the batch only points at it, so one is enough for all tokens
        batch = self.lib.llama_batch_get_one(next_token, 1)
        written = 0

        while True:
            token = sample(chain, self.handle, -1)
            if token in ends:
                return written, "end"
            written += 1
            emit(token, scanner.feed(piece(token)))
            if scanner.stopped:
                return written, "stop"
            if written >= max_tokens:
                return written, "length"
            if len(self._cached) >= self.n_ctx:
                return written, "context"
            if is_cancelled():
                return written, "cancelled"

            next_token[0] = token
            status = decode(self.handle, batch)
            if status != 0:
                raise self._failed(status)
            self._cached.append(token)

    def logits(self, tokens: list[int], first: int, sink: Callable[[Any], None]) -> None:
        """Logits after every token from index `first` on, handed to `sink` in float32 arrays [up to 64, n_vocab], valid during the call."""
        import numpy

        self._check(tokens)
        self.forget()
        self._evaluate(tokens[:first])
        batch = self.lib.llama_batch_init(OUTPUTS, 0, 1)
        try:
            for start in range(first, len(tokens), OUTPUTS):
                chunk = tokens[start : start + OUTPUTS]
                batch.n_tokens = len(chunk)
                for index, token in enumerate(chunk):
                    batch.token[index], batch.pos[index], batch.logits[index] = token, start + index, 1
                    batch.n_seq_id[index], batch.seq_id[index][0] = 1, 0
                status = self.lib.llama_decode(self.handle, batch)
                if status != 0:
                    raise self._failed(status)
                self._cached.extend(chunk)
                sink(numpy.ctypeslib.as_array(self.lib.llama_get_logits(self.handle), shape=(len(chunk), self.model.n_vocab)))
        finally:
            self.lib.llama_batch_free(batch)

    def score(self, prompt: list[int], target: list[int]) -> tuple[float, int]:
        """Sum of log p (natural) of the target tokens after the prompt, and how many counted (a row's very first token has no p)."""
        import numpy

        tokens, first = prompt + target, max(len(prompt) - 1, 0)
        wanted = numpy.array(tokens[first + 1 :], dtype=numpy.int64)
        total, done = 0.0, 0

        def add(rows: Any) -> None:
            nonlocal total, done
            values = rows.astype(numpy.float64)
            top = values.max(axis=1)
            normalizer = top + numpy.log(numpy.exp(values - top[:, None]).sum(axis=1))
            total += float((values[numpy.arange(len(values)), wanted[done : done + len(values)]] - normalizer).sum())
            done += len(values)

        if len(wanted):
            self._check(tokens[-1:])
            self.logits(tokens[:-1], first, add)
        return total, done
