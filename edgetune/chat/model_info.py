"""What llama.cpp reports: of a model, of a token, of a generation, of a scored row."""

from dataclasses import dataclass

from edgetune.data.template import ChatTemplate, default_template
from edgetune.data.typed_marks import Mark

DEFAULT_CONTEXT = 4096
"""Tokens of context that chat asks for unless told otherwise, where the model has as many; more takes more memory."""

STOP_REASONS = {
    "end": "end of turn",
    "stop": "end of turn",
    "length": "--max-tokens reached",
    "context": "context full",
    "cancelled": "stopped",
}
"""Why an answer ended (`GenerationStats.reason`), as people read it."""


@dataclass(frozen=True)
class ModelInfo:
    """What a GGUF says of itself, and what was chosen for it.

    size: bytes of all tensors. bos, eos: token ids, None where the model has none, with their texts. eog: every id that ends a generation.
    space_prefix: a text's first token carries a space (SentencePiece). template: the file's Jinja chat template.
    metadata: what the file holds under general.* and edgetune.*, as text. marks: control tokens by their text: id, and whether each
    swallows white space before and behind itself. added: further tokens that are matched whole.
    """

    description: str
    n_params: int
    size: int
    n_vocab: int
    n_ctx: int
    n_ctx_train: int
    bos: int | None
    bos_text: str
    eos: int | None
    eos_text: str
    add_bos: bool
    eog: list[int]
    space_prefix: bool
    template: str | None
    metadata: dict[str, str]
    marks: dict[str, Mark]
    added: list[str]
    threads: int
    threads_reason: str
    load_seconds: float

    def chat_template(self, date: str = "") -> ChatTemplate:
        """The file's template, or the one that a base with such a vocabulary and none of its own is trained with. date: its day."""
        source = self.template or default_template({*self.marks, *self.added})[1]
        return ChatTemplate(source, self.bos_text, self.eos_text, date, frozenset(self.marks))


@dataclass(frozen=True)
class TokenInfo:
    """One token: its bytes, and whether it is a control token, user-defined, or ends a generation."""

    id: int
    data: bytes
    control: bool
    user_defined: bool
    eog: bool


@dataclass(frozen=True)
class RowScore:
    """Sum of the natural log p of a row's target tokens, and how many there were."""

    logprob: float
    count: int


@dataclass(frozen=True)
class GenerationStats:
    """How a generation went.

    reason: "end" (end of turn or of text), "stop" (a stop string), "length" (max_tokens), "context" (full) or "cancelled".
    tokens: written. evaluated, reused: prompt tokens computed now, and found in the KV cache.
    seconds: spent writing; prompt_seconds: before the first token.
    """

    reason: str
    tokens: int
    evaluated: int
    reused: int
    seconds: float
    prompt_seconds: float
    seed: int

    @property
    def tokens_per_second(self) -> float:
        """Written tokens a second, the prompt's time apart."""
        return self.tokens / self.seconds if self.seconds > 0 else 0.0
