"""From files of examples to token ids and labels: detect, convert, render, mask, split. What does not fit is counted and listed."""

import math
import random
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from edgetune.data import formats
from edgetune.data.formats import Example
from edgetune.data.read import Row, rows
from edgetune.data.template import ChatTemplate, TemplateRefusal
from edgetune.errors import InputError

IGNORED = -100
"""The label of a token that is not trained on (torch's cross-entropy)."""
SAMPLED = 100
"""Rows looked at to tell the format."""
NEARLY_ALL = 0.8
"""Share of the sampled rows that must have a format's shape."""
FEW_DOCUMENTS = 20
"""With fewer documents than this, raw text is split into train and held-out by pieces instead of by documents."""


class TextTokenizer(Protocol):
    """What preparing needs of a tokenizer: a base's own, or a loaded GGUF's."""

    @property
    def template(self) -> ChatTemplate:
        """The chat template."""

    @property
    def eos_id(self) -> int:
        """The end-of-text token."""

    @property
    def specials(self) -> dict[str, int]:
        """Special tokens and their ids."""

    def encode(self, text: str) -> list[int]:
        """Ids of a prompt, BOS included where the model wants it."""

    def plain(self, text: str) -> list[int]:
        """Ids of text that continues other text."""

    def decode(self, ids: list[int]) -> str:
        """Text of ids, special tokens left out."""


@dataclass(frozen=True)
class Tokens:
    """One row to train on: ids and labels of equal length (IGNORED where not trained), and the conversation it came from."""

    ids: list[int]
    labels: list[int]
    example: Example


@dataclass(frozen=True)
class Rejected:
    """A row that is left out, and why."""

    file: str
    line: int
    reason: str


@dataclass
class Prepared:
    """What a run learns from. read = rows kept + rejected, always; a row of text may become several pieces.

    train: the run's `own` rows, then `replay` rows of the second file, of which every pass takes the next `replay_each`.
    """

    format: str
    reason: str
    read: int = 0
    kept: int = 0
    rejected: list[Rejected] = field(default_factory=list)
    train: list[Tokens] = field(default_factory=list)
    held_out: list[Tokens] = field(default_factory=list)
    own: int = 0
    replay: int = 0
    replay_each: int = 0


def detect(sample: list[Row]) -> tuple[str, str]:
    """The format that nearly all sampled rows have, and the reason in words. Raises InputError with the columns when none has."""
    readable = [row for row in sample if not row.problem]
    for name in formats.ORDER:
        hits = sum(formats.module(name).detect(row.value) for row in readable)
        if readable and hits >= NEARLY_ALL * len(readable):
            return name, f"{hits} of {len(readable)} sampled rows have the shape of {name}"
    columns = sorted({key for row in readable for key in row.value})[:12]
    first = next((row for row in sample if row.problem), None)
    cause = (
        f"Their columns are {', '.join(columns)}."
        if columns
        else f"No row could be read{f': line {first.line}, {first.problem}' if first else ''}."
    )
    raise InputError(
        "The shape of the examples is not known",
        cause,
        f"Known shapes are {', '.join(formats.ORDER)}; name one with --format, or rename the columns.",
    )


def spread(items: list[Row], count: int = SAMPLED) -> list[Row]:
    """`count` items spread over the whole list."""
    return items if len(items) <= count else [items[i * len(items) // count] for i in range(count)]


def _end_of_turn(tail: str, specials: Iterable[str]) -> str:
    """What ends an answer: the template's text after it, through the first special token; the rest belongs to the next turn."""
    ends = [tail.index(mark) + len(mark) for mark in specials if mark in tail]
    return tail[: min(ends)] if ends else ""


def _spans(example: Example, tokenizer: TextTokenizer) -> list[tuple[str, str]]:
    """For every answer: the prompt exactly as chat sends it, and the text through the answer's end of turn."""
    messages, template = example.messages, tokenizer.template
    result = []
    for index, message in enumerate(messages):
        if message["role"] != "assistant":
            continue
        prompt = template.render(messages[:index], add_generation_prompt=True, tools=example.tools)
        whole = template.render(messages[: index + 1], tools=example.tools)
        if not whole.startswith(prompt):
            raise ValueError("the template writes the answer differently from how a prompt ends, so chat would not match training")
        written = whole[len(prompt) :]
        content = message["content"].strip()
        at = written.find(content) + len(content) if content in written else 0
        end = _end_of_turn(written[at:], tokenizer.specials)
        result.append((prompt, prompt + written[:at] + end if end else prompt + written.rstrip()))
    return result


def tokenize(example: Example, tokenizer: TextTokenizer, length: int) -> list[Tokens]:
    """A conversation's rows to train on. Turns share a row where each prompt goes on from the last; otherwise one row an answer.

    Raises ValueError with the reason when it does not fit into `length` tokens or the template refuses it.
    """
    try:
        spans = _spans(example, tokenizer)
    except TemplateRefusal as error:
        raise ValueError(f"the chat template refuses it: {error.cause}") from None
    result: list[Tokens] = []
    for prompt, whole in spans:
        before, ids = tokenizer.encode(prompt), tokenizer.encode(whole)
        if ids[: len(before)] != before:  # the tokenizer joins the prompt's end and the answer's start: chat never sees that token
            ids = before + tokenizer.plain(whole[len(prompt) :])
        if ids[-1] not in tokenizer.specials.values():
            ids = [*ids, tokenizer.eos_id]
        labels = [IGNORED] * len(before) + ids[len(before) :]
        last = result[-1] if result else None
        if last and ids[: len(last.ids)] == last.ids:
            labels[: len(last.ids)] = last.labels
            result[-1] = Tokens(ids, labels, example)
        else:
            result.append(Tokens(ids, labels, example))
    longest = max(len(row.ids) for row in result)
    if longest > length:
        raise ValueError(f"{longest} tokens, more than the {length} that fit")
    return result


def pieces(example: Example, tokenizer: TextTokenizer, length: int) -> list[Tokens]:
    """A document's pieces of at most `length` tokens, EOS after its last."""
    ids = [*tokenizer.encode(example.text), tokenizer.eos_id]
    cut = [ids[i : i + length] for i in range(0, len(ids), length)]
    return [Tokens(part, list(part), Example(text=tokenizer.decode(part))) for part in cut if len(part) > 1]


def _load(paths: list[Path], name: str, tokenizer: TextTokenizer, length: int) -> tuple[Prepared, list[list[Tokens]]]:
    read = [row for path in paths for row in rows(path)]
    if not read:
        raise InputError("There are no examples", f"{', '.join(str(p) for p in paths)} holds no rows.", "Check --data.")
    reason = "asked for"
    if name == "auto":
        name, reason = detect(spread(read))
    convert = formats.module(name).convert
    prepared, units = Prepared(name, reason, read=len(read)), []
    for row in read:
        try:
            if row.problem:
                raise ValueError(row.problem)
            example: Example = convert(row.value)
            units.append(tokenize(example, tokenizer, length) if example.messages else pieces(example, tokenizer, length))
            prepared.kept += 1
        except ValueError as error:
            prepared.rejected.append(Rejected(row.file, row.line, str(error)))
    return prepared, units


def held_out(path: Path, tokenizer: TextTokenizer, length: int) -> Prepared:
    """All rows of a file, to measure on."""
    prepared, units = _load([path], "auto", tokenizer, length)
    prepared.held_out = [row for unit in units for row in unit]
    if not prepared.held_out:
        raise InputError(
            "Nothing is left to measure on",
            f"All {prepared.read} rows were left out; the first: {prepared.rejected[0].reason}.",
            "Choose another --data file.",
        )
    return prepared


def prepare(recipe: Any, tokenizer: TextTokenizer, length: int) -> Prepared:
    """Read and prepare a recipe's data (and replay) files. Raises InputError when nothing is left to train on."""
    prepared, units = _load([Path(p).expanduser() for p in recipe.data], recipe.format, tokenizer, length)
    if prepared.format == "text" and len(units) < FEW_DOCUMENTS:
        units = [[piece] for unit in units for piece in unit]
    held = _held(units, recipe.eval_share, recipe.data_seed)
    prepared.held_out = [row for i, unit in enumerate(units) if i in held for row in unit]
    prepared.train = [row for i, unit in enumerate(units) if i not in held for row in unit]
    if not prepared.train:
        first = prepared.rejected[0] if prepared.rejected else None
        raise InputError(
            "Nothing is left to train on",
            f"All {prepared.read} rows were left out; the first, {first.file}:{first.line}: {first.reason}."
            if first
            else "There are no rows.",
            "Correct the rows, or raise --length if they are too long.",
        )
    prepared.own = len(prepared.train)
    if recipe.replay:
        _replay(prepared, recipe, tokenizer, length)
    return prepared


def _held(units: list[list[Tokens]], share: float, seed: int) -> set[int]:
    """Numbers of the units held out: about `share` of them, at least one; equal ones stay together, so that none is trained on too."""
    groups: dict[tuple[int, ...], list[int]] = {}
    for number, unit in enumerate(units):
        groups.setdefault(tuple(token for row in unit for token in row.ids), []).append(number)
    wanted = max(1, round(share * len(units))) if share > 0 else 0
    order = list(groups.values())
    random.Random(seed).shuffle(order)
    held: set[int] = set()
    for group in order:
        if len(held) + len(group) <= wanted:
            held.update(group)
    smallest = min(order, key=len, default=[])
    if wanted and not held and len(smallest) < len(units):
        held.update(smallest)
    return held


def _replay(prepared: Prepared, recipe: Any, tokenizer: TextTokenizer, length: int) -> None:
    """Add rows of the replay file behind the run's own: enough that every pass can draw others."""
    _, units = _load([Path(recipe.replay).expanduser()], "auto", tokenizer, length)
    held = {tuple(row.ids) for row in prepared.held_out}
    pool = [row for unit in units for row in unit if tuple(row.ids) not in held]
    if not pool:
        raise InputError("No replay row fits", f"All rows of {recipe.replay} were left out.", "Choose another --replay file.")
    each = round(prepared.own * recipe.replay_share / (1 - recipe.replay_share))
    rows_asked = recipe.steps * recipe.batch * recipe.accumulation if recipe.steps else recipe.epochs * (prepared.own + each)
    passes = 1 if recipe.packing else math.ceil(rows_asked / (prepared.own + each))
    chosen = random.Random(recipe.data_seed).sample(pool, min(each * passes, len(pool)))
    prepared.replay_each, prepared.replay = min(each, len(chosen)), len(chosen)
    prepared.train += chosen
