"""What a training method is, and what its trainer is made of: no torch, and nothing of the packages above."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from edgetune.data.store import TokenRows

BatchMeasures = tuple[float, int, dict[str, tuple[float, int]]]
"""What a held-out batch gives: summed loss, over how many tokens or rows, and for each measure its sum and over how many."""


@dataclass(frozen=True)
class Answer:
    """An answer that the model wrote while training. prompt, text: as text; expected: the answer its row gives, or empty; ids: prompt and
    answer as tokens; size: the answer's tokens."""

    prompt: str
    text: str
    expected: str = ""
    ids: list[int] = field(default_factory=list)
    size: int = 0


class Reward(Protocol):
    """Gives each answer a number; more is better."""

    def __call__(self, answers: list[Answer]) -> list[float]:
        """One number an answer."""


class Tokenizer(Protocol):
    """What methods need of the base's tokenizer. pad_id: the token that fills up a batch."""

    @property
    def pad_id(self) -> int:
        """The token that fills up a batch."""

    def decode(self, ids: list[int]) -> str:
        """Text of ids, special tokens left out."""


class Setup(Protocol):
    """What a method makes its trainer of; `edgetune.training.trainer_setup` has the one there is."""

    @property
    def recipe(self) -> Any:
        """The run's options (`edgetune.config.recipe.Recipe`, which lies above this package)."""

    @property
    def model(self) -> Any:
        """The base with its adapter, or all of it where every weight is trained."""

    @property
    def tokenizer(self) -> Tokenizer:
        """The base's tokenizer."""

    @property
    def rows(self) -> "TokenRows":
        """The training rows: token ids and labels."""

    @property
    def length(self) -> int:
        """Most tokens of a row."""

    @property
    def beta(self) -> float | None:
        """The recipe's beta, or the method's own where none is given."""

    def arguments(self) -> dict[str, Any]:
        """The settings that every TRL configuration is given alike."""

    def dataset(self) -> Any:
        """The training rows as a `datasets.Dataset`."""

    def turn_ends(self) -> list[int]:
        """The tokens that end an answer."""

    def rewards(self) -> list[Reward]:
        """What judges the answers that the model writes while training, as the recipe names it."""

    def make(self, trainer_class: type, config: Any, rows: Any = None, **more: Any) -> Any:
        """A managed trainer of TRL's class. rows: instead of `dataset()`. more: what else that class is to be given."""


def _nothing_to_say(measures: dict[str, Any], before: dict[str, Any]) -> str:
    return ""


def _no_assessment(trainer: Any) -> dict[str, Any] | None:
    return None


def _no_problem(recipe: Any) -> str:
    return ""


def _once(recipe: Any) -> int:
    return 1


def _as_it_is(recipe: Any, order: list[int]) -> list[int]:
    return order


@dataclass(frozen=True)
class Method:
    """A training method: all in which it differs from the others.

    name: that of its file.

    Its data
    row_kinds: kinds of examples it learns from (`edgetune.data.formats`). needs: what to tell who brings others.
    vote_format: the dataset format in which it reads a person's votes. splits_pairs: a pair is taken apart into two judged answers.
    rows_per_example: rows of a batch that one example becomes.

    Its options
    options: the recipe's options that are not for every method, and that this one uses. beta: default of the option `beta`.
    learning_rate_factor: of the learning rate that sft would get, where none is given.
    find_problem(recipe): why options do not go together, or an empty text.

    What it trains
    writes_answers: its model writes; otherwise it gives scores. samples_answers: the model writes answers while training.
    continues_runs: an earlier run's adapter can be built on. trains_every_weight: it works without an adapter too.
    adapts_lm_head: an adapter may sit on the output layer. uses_dropout: LoRA dropout makes sense.
    holds_all_logits: its loss builds the logits of a whole batch at once.

    Its training
    make_trainer(setup): TRL's trainer, made with `setup.make`.
    measure_batch(trainer, batch): what a held-out batch gives. metrics: TRL's names of what a step's event holds, and ours; empty where the
    loss alone says it. max_eval_rows: held-out rows that an evaluation within a run looks at.
    find_warning(measures, before): what to warn of in held-out measures beside those before training, or an empty text.
    assess(trainer): what the result is worth, where more can be said than the held-out measures; else None.
    repeats(recipe): how often a row stands in its step. expand_order(recipe, order): row numbers as its trainer wants them.
    """

    name: str
    row_kinds: tuple[str, ...]
    needs: str
    make_trainer: Callable[[Setup], Any]
    measure_batch: Callable[[Any, dict[str, Any]], BatchMeasures]
    vote_format: str = "pair_lists"
    splits_pairs: bool = False
    rows_per_example: int = 1
    options: tuple[str, ...] = ()
    beta: float | None = None
    learning_rate_factor: float = 1.0
    find_problem: Callable[[Any], str] = _no_problem
    writes_answers: bool = True
    samples_answers: bool = False
    continues_runs: bool = True
    trains_every_weight: bool = False
    adapts_lm_head: bool = True
    uses_dropout: bool = False
    holds_all_logits: bool = False
    metrics: Mapping[str, str] = field(default_factory=dict)
    max_eval_rows: int = 256
    find_warning: Callable[[dict[str, Any], dict[str, Any]], str] = _nothing_to_say
    assess: Callable[[Any], dict[str, Any] | None] = _no_assessment
    repeats: Callable[[Any], int] = _once
    expand_order: Callable[[Any, list[int]], list[int]] = _as_it_is
