"""llama.cpp on one GGUF, in a process of its own, with typed methods."""

import codecs
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgetune.chat.child import Child, ModelProcess
from edgetune.chat.model_info import GenerationStats, ModelInfo, RowScore, TokenInfo
from edgetune.chat.sampling import Sampling
from edgetune.data.typed_marks import GUARD, Mark, guarded_ids
from edgetune.errors import InputError

if TYPE_CHECKING:
    import numpy

ALL_LAYERS = -1
MOST_CONTEXT, MOST_THREADS, MOST_LAYERS, MOST_SCALE = 2**24, 1024, 2**16, 100
"""Bounds that keep slips of the finger from native code."""


class Generation:
    """An answer while it is being written: iterate to get its text, whole characters only. `stats` is there at the end.

    `text` and `tokens` hold what has come so far. Leaving the loop early cancels.
    """

    def __init__(self, child: Child, number: int) -> None:
        self._child, self._number = child, number
        self.text = ""
        self.tokens: list[int] = []
        self.stats: GenerationStats | None = None

    def cancel(self) -> None:
        """Ask to stop; the loop then ends by itself, with reason "cancelled". Safe from another thread or a signal handler."""
        if self.stats is None:
            self._child.cancel(self._number)

    def __iter__(self) -> Iterator[str]:
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        try:
            for message in self._child.replies(self._number):
                pieces = message.get("pieces", [])
                self.tokens += [token for token, _ in pieces if token >= 0]
                if "done" in message:
                    self.stats = GenerationStats(**message["done"])
                text = decoder.decode("".join(shown for _, shown in pieces).encode("latin-1"), final=self.stats is not None)
                if text:
                    self.text += text
                    yield text
        finally:
            if self.stats is None and self._child.alive:
                self.cancel()

    def finished(self) -> "Generation":
        """Itself, after waiting for the end."""
        for _ in self:
            pass
        return self


@dataclass(frozen=True)
class Adapter:
    """A GGUF LoRA that is loaded, and the scale it is used at (0: not used)."""

    path: Path
    scale: float


class Engine(ModelProcess):
    """A GGUF loaded in a llama.cpp process of its own; a context manager. For one thread at a time.

    path: the file. n_ctx: context in tokens; None: the model's training context, at most 4,096. threads: None chooses by size.
    gpu_layers: layers on the GPU where llama.cpp was built for one, -1 for all. kv: type of the KV cache, "f16", or "f32" for exact logits.
    Raises InputError for a missing or malformed file, EdgeTuneError when llama.cpp cannot load it, or dies at any later time.
    """

    def __init__(
        self, path: Path, *, n_ctx: int | None = None, threads: int | None = None, gpu_layers: int = ALL_LAYERS, kv: str = "f16"
    ) -> None:
        check_gguf(path)
        check_bounds(n_ctx, threads, gpu_layers)
        self.path = path
        self.adapters: dict[str, Adapter] = {}
        super().__init__(path=str(path.absolute()), n_ctx=n_ctx, threads=threads, n_gpu_layers=gpu_layers, kv=kv)
        marks = {text: Mark(*values) for text, values in self.loaded["marks"].items()}
        self.info = ModelInfo(**{**self.loaded, "marks": marks})

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._child.process.pid

    def load_adapter(self, path: Path, scale: float = 1.0, name: str | None = None) -> str:
        """Load a GGUF LoRA made for this base and use it at a scale, without loading the base again; its name (the file's stem).

        One that had the name is replaced. Raises InputError with the reason where it does not belong to the base.
        """
        name = name or path.stem
        check_scale(scale)
        if not path.is_file():
            raise InputError(f"There is no file {path}", "It was named as an adapter.", "Check the path.")
        with input_errors():
            from converters.gguf_file import read_header
            from converters.lora_file import check_adapter

            check_adapter(read_header(self.path), read_header(path))
        self._child.ask("adapter", name=name, path=str(path.absolute()))
        self.adapters[name] = Adapter(path, 0.0)
        self.set_scale(name, scale)
        return name

    def set_scale(self, name: str, scale: float) -> None:
        """Use a loaded adapter at this scale from now on, 0 for not at all."""
        check_scale(scale)
        if name not in self.adapters:
            raise InputError(
                f"No adapter is called '{name}'", f"Loaded: {', '.join(self.adapters) or 'none'}.", "Name one of them, or a GGUF LoRA file."
            )
        scales = {known: adapter.scale for known, adapter in self.adapters.items()} | {name: scale}
        self._child.ask("scales", scales=scales)
        self.adapters[name] = replace(self.adapters[name], scale=scale)

    def tokenize(self, text: str, parse_special: bool = True, add_special: bool = False) -> list[int]:
        """Token ids of a text as it is.

        parse_special: read "<|im_end|>" and the like as the tokens they name, but for those that were typed in a message
        (data/typed_marks.py). add_special: with the BOS and EOS the vocabulary wants.
        """
        if parse_special and GUARD in text:
            return guarded_ids(text, self.info.marks, lambda part: self.tokenize(part, parse_special=False))
        return list(self._child.ask("tokenize", text=text, parse_special=parse_special, add_special=add_special))

    def prompt_tokens(self, rendered: str) -> list[int]:
        """Token ids of a prompt: BOS in front where the model wants one and the text does not already begin with it.

        An empty text starts from BOS wherever the model has one.
        """
        ids, bos = self.tokenize(rendered) if rendered else [], self.info.bos
        if bos is None or ids[:1] == [bos] or (ids and not self.info.add_bos):
            return ids
        return [bos, *ids]

    def describe(self, tokens: list[int]) -> list[TokenInfo]:
        """What each token is."""
        return [
            TokenInfo(row["id"], row["bytes"].encode("latin-1"), row["control"], row["user_defined"], row["eog"])
            for row in self._child.ask("describe", tokens=tokens)
        ]

    def generate(
        self,
        tokens: list[int],
        *,
        max_tokens: int,
        sampling: Sampling | None = None,
        stops: tuple[str, ...] = (),
        stop_ids: tuple[int, ...] = (),
    ) -> Generation:
        """Begin to continue `tokens`, reusing what the KV cache already holds of them. InputError for numbers out of bounds.

        stops: texts that end the answer. stop_ids: tokens that do, beside the model's own end-of-generation tokens.
        """
        if max_tokens < 1:
            raise InputError(
                "Nothing to generate", f"max-tokens is {max_tokens}; it must be at least 1.", "Use a number within these bounds."
            )
        number = self._child.send(
            "generate",
            tokens=tokens,
            max_tokens=max_tokens,
            sampling=(sampling or Sampling()).checked().as_dict(),
            stops=list(stops),
            stop_ids=list(stop_ids),
        )
        return Generation(self._child, number)

    def logits(self, tokens: list[int], first: int = 0) -> "numpy.ndarray[Any, Any]":
        """Logits after each token from index `first` on: float32 [len(tokens) - first, n_vocab]. Exact only with kv="f32"."""
        import numpy

        raw, shape = bytearray(), (0, 0)
        for message in self._child.replies(self._child.send("logits", tokens=tokens, first=first)):
            raw += message.get("raw", b"")
            if "done" in message:
                shape = (message["done"]["rows"], message["done"]["columns"])
        return numpy.frombuffer(raw, dtype="<f4").reshape(shape)

    def score(self, rows: list[tuple[list[int], list[int]]]) -> list[RowScore]:
        """For each (prompt tokens, target tokens): the target's log p after the prompt. Held-out loss is -sum(logprob) / sum(count)."""
        return [RowScore(logprob, int(count)) for logprob, count in self._child.ask("score", rows=[list(row) for row in rows])]


def check_bounds(n_ctx: int | None, threads: int | None, gpu_layers: int) -> None:
    """Refuse numbers that native code would not survive."""
    rules = [
        ("context", n_ctx, 1, MOST_CONTEXT),
        ("number of threads", threads, 1, MOST_THREADS),
        ("number of GPU layers", gpu_layers, ALL_LAYERS, MOST_LAYERS),
    ]
    problems = [
        f"The {name} is {value}; it must be from {least} to {most}."
        for name, value, least, most in rules
        if value is not None and not least <= value <= most
    ]
    if problems:
        raise InputError("A number is out of bounds", " ".join(problems), "Use a number within these bounds.")


def check_scale(scale: float) -> None:
    """Refuse scales that make nothing but nonsense."""
    if not math.isfinite(scale) or abs(scale) > MOST_SCALE:
        raise InputError(
            f"{scale} is no scale for an adapter",
            f"It must lie between -{MOST_SCALE} and {MOST_SCALE}.",
            "Use a scale within these bounds; 1 is the adapter as trained.",
        )


@contextmanager
def input_errors() -> Iterator[None]:
    """The readers' errors as wrong input."""
    from converters.errors import ConversionError

    try:
        yield
    except ConversionError as error:
        raise InputError(error.title, error.cause, error.remedy) from error


def check_gguf(path: Path) -> None:
    """Refuse what is no readable GGUF before native code sees it."""
    if not path.is_file():
        raise InputError(
            f"There is no file {path}",
            "No file or folder exists at that path.",
            "Check it; 'edgetune runs' lists the runs you can chat with.",
        )
    from converters.gguf_file import read_header

    with input_errors():
        read_header(path)
