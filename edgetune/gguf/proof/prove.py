"""The proof of a file: text, weights, meaning and behaviour, measured one after the other with one model in memory at a time."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from converters.file_types import FILE_TYPES
from converters.gguf_file import Header, read_header
from converters.rounding import ROUNDING_KEY
from edgetune.chat.engine import Engine
from edgetune.errors import EdgeTuneError
from edgetune.estimate import fit
from edgetune.gguf.proof import activation_rounding, behaviour, parity, readback, streamed, text, weights
from edgetune.gguf.proof.base_file import base_gguf_of_type
from edgetune.gguf.proof.check import Check
from edgetune.gguf.proof.distance import log_softmax
from edgetune.gguf.proof.reference import Reference, measure_reference
from edgetune.gguf.proof.rows import MAX_HELD_OUT_TOKENS, ProofRow, ProofSample, draw_sample
from edgetune.gguf.source import Source, conversion_errors, source_tokenizer
from edgetune.text import one_line

MIN_CONTEXT = 64
"""Tokens of context llama.cpp is opened with at least."""
REPORTED_FIGURES = {"strength": "strength of the change", "kl_mean": "mean KL", "top1": "same next token", "slope": "learned"}
"""Figures of a check that are reported as soon as they are measured."""


@dataclass
class Proof:
    """The proof of a file. sample: what it was measured on, in figures and words. seconds: what it took.

    rounding: how the file was rounded, in words, where that was not to nearest throughout.
    """

    name: str
    type: str
    checks: list[Check] = field(default_factory=list)
    sample: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0
    rounding: str = ""

    @property
    def passed(self) -> bool:
        """Whether every check passed."""
        return all(check.passed for check in self.checks)

    @property
    def causes(self) -> list[str]:
        """All that is wrong, in the order of the checks."""
        return [cause for check in self.checks for cause in check.causes]

    def figure(self, check: str, name: str) -> Any:
        """A measured figure, None where it was not measured."""
        return next((result.figures.get(name) for result in self.checks if result.name == check), None)


class Prover:
    """Proves the files of one source; what they are held against is measured once.

    source: what was exported. cache: where the base's own files are stored. tokens: most held-out tokens to compare.
    data: examples to measure on instead of the run's held-out rows. say: gets a sentence about each stage.
    """

    def __init__(
        self,
        source: Source,
        cache: Path,
        *,
        tokens: int = MAX_HELD_OUT_TOKENS,
        data: Path | None = None,
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        from converters import convert

        self.source = source
        self.cache = cache
        self.say = say
        with conversion_errors():
            self.plan = convert.plan_gguf(source.model, source.adapter, [], chat_template=None, name="", extra={})
        self.tokenizer = source_tokenizer(source)

        # Both models are predicted on the same rows, which the vocabulary limits.
        embeddings = next(tensor for tensor in self.plan.tensors if tensor.name == "token_embd.weight")
        self._vocabulary = embeddings.shape[0]
        self._embeddings = embeddings.sources[0][0]
        self.sample: ProofSample = draw_sample(data or source.held_out, self.tokenizer, source.context, self._vocabulary, tokens)

        # Said before the work begins, which may take minutes.
        largest = max(int(np.prod(tensor.shape)) for tensor in self.plan.tensors)
        fit.need_memory(
            fit.proof_memory(largest, self.sample.tokens * self._vocabulary),
            "A proof",
            "Close other programs, or export with --no-proof and prove the file elsewhere with edgetune prove.",
        )
        self._noise: dict[str, behaviour.QuantizationNoise] = {}
        self.last: Proof | None = None
        """The proof that was made last."""

    @cached_property
    def reference(self) -> Reference:
        """The models in torch."""
        self.say("measuring the base and the merged model")
        return measure_reference(self.source, self.sample.rows, self._vocabulary, self._embeddings)

    def prove(self, path: Path, name: str = "") -> Proof:
        """Prove a file. name: what it will be called, where its path is a temporary one."""
        started = time.monotonic()
        with conversion_errors():
            header = read_header(path)
        proof = Proof(name or path.name, type_of_file(header), rounding=one_line(str(header.metadata.get(ROUNDING_KEY, "")), 200))
        proof.sample = {
            "source": self.sample.source,
            "rows": len(self.sample.rows),
            "tokens": self.sample.tokens,
            "held_out_tokens": sum(len(row.ids) for row in self.sample.rows if row.held_out),
        }
        self._measure(path, header, proof)
        proof.seconds = time.monotonic() - started
        self.last = proof
        return proof

    def _measure(self, path: Path, header: Header, proof: Proof) -> None:
        # llama.cpp reads the file; what it cannot read needs no further check.
        self.say(f"proving {proof.name}: text")
        try:
            with self.engine(path) as engine:
                set_threads(engine.info.threads)
                self._add(proof, text.check_text(engine, self.tokenizer, self.sample.conversations, self.sample.texts))
                file = llama_predictions(engine, self.sample.rows)
        except EdgeTuneError as error:
            self._add(proof, Check("text", causes=[f"{error.title}: {error.cause}"]))
            return

        self.say(f"proving {proof.name}: weights")
        ours = self.reference
        check = weights.check_weights(header, self.plan.tensors, ours.tensor, ours.before)
        check.notes += [f"Rounding {proof.rounding}."] if proof.rounding else []
        self._add(proof, check)

        # Predictions over different vocabularies cannot be compared.
        if file[0].shape != ours.merged[0].shape:
            sizes = f"{file[0].shape[1]} tokens, the model {ours.merged[0].shape[1]}"
            self._add(proof, Check("meaning", causes=[f"the file's vocabulary has {sizes}"]))
            return

        self.say(f"proving {proof.name}: meaning")
        self._add(proof, self._meaning(header, file))

        self.say(f"proving {proof.name}: behaviour")
        self._add(proof, self._behaviour(file, proof.type))

    def _meaning(self, header: Header, file: list[np.ndarray]) -> Check:
        """The check of meaning: torch on the file's own weights, exactly and rounding as llama.cpp does."""
        model, rows = self.reference.model, self.sample.rows
        tensors = readback.ReadBack(header, self.plan.tensors, self.reference.tensor, self._embeddings)
        settings = readback.differing_settings(header, model.config.to_dict())
        exact = streamed.torch_predictions(model, tensors, rows)
        with activation_rounding.activations_rounded(model, tensors.types()) as rounds:
            rounded = streamed.iterate_predictions(model, tensors, rows) if rounds else exact
            check = parity.check_parity(exact, rounded, file, settings)
        check.notes += [f"{name} cannot be turned back: it was taken from the model" for name in tensors.unrecovered]
        return check

    def _add(self, proof: Proof, check: Check) -> None:
        """Add a check to a proof, and report its result."""
        proof.checks.append(check)
        values = {label: check.figures.get(name) for name, label in REPORTED_FIGURES.items()}
        figures = [f"{label} {value:.3g}" for label, value in values.items() if isinstance(value, float)]
        measured = f" ({', '.join(figures)})" if figures else ""
        self.say(f"{proof.name}: {check.name} " + (f"passed{measured}" if check.passed else f"FAILED{measured}: {check.causes[0]}"))

    def engine(self, path: Path) -> Engine:
        """llama.cpp on a file, computing as exactly as it can."""
        longest = max(len(row.ids) for row in self.sample.rows)
        return Engine(path, n_ctx=max(longest, MIN_CONTEXT), gpu_layers=0, kv="f32")

    def predict(self, path: Path) -> list[np.ndarray]:
        """llama.cpp's predictions from a file on all rows of the sample."""
        with self.engine(path) as engine:
            set_threads(engine.info.threads)
            return llama_predictions(engine, self.sample.rows)

    def held_out(self, tables: list[np.ndarray]) -> list[np.ndarray]:
        """Of predictions on all rows those on the rows that behaviour is measured on."""
        rows = self.sample.held_out
        return [table for table, row in zip(tables, self.sample.rows, strict=True) if row in rows]

    def behaviour(self, file: list[np.ndarray], cost: behaviour.QuantizationNoise | None = None) -> Check:
        """The check of behaviour. file: predictions on all rows. cost: what quantizing does to the base, where it was measured."""
        base = self.reference.base
        merged = self.held_out(self.reference.merged)
        actual = self.held_out(file)
        before = None if base is None else self.held_out(base)
        check = behaviour.check_behaviour(self.sample.held_out, merged, actual, before, cost)
        if self.reference.trained is not None:
            check.figures |= behaviour.distance_as_trained(self.held_out(self.reference.trained), merged, actual)
        return check

    def _behaviour(self, file: list[np.ndarray], type_name: str) -> Check:
        rows = self.sample.held_out
        base = self.reference.base
        cost = None

        # What the type does to the base is measured once, for all files of that type.
        if base is not None and self.source.base is not None and type_name in FILE_TYPES:
            if type_name not in self._noise:
                with base_gguf_of_type(self.source.base, type_name, self.cache) as path, self.engine(path) as engine:
                    self._noise[type_name] = behaviour.measure_noise(rows, self.held_out(base), llama_predictions(engine, rows))
            cost = self._noise[type_name]
        return self.behaviour(file, cost)


def type_of_file(header: Header) -> str:
    """The name of a file's type, "unknown" where its number is none that is written."""
    number = header.metadata.get("general.file_type")
    return next((name for name, (known, _) in FILE_TYPES.items() if known == number), "unknown")


def set_threads(number: int) -> None:
    """Let torch use as many threads as llama.cpp found good for the model."""
    import torch

    torch.set_num_threads(number)


def llama_predictions(engine: Engine, rows: list[ProofRow]) -> list[np.ndarray]:
    """llama.cpp's log-probabilities after every token of every row: float32 [token, vocabulary] each."""
    return [log_softmax(engine.logits(row.ids)).astype(np.float32) for row in rows]
