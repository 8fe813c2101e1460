"""One batch of rows, from what the reader found to what a run learns and what is wrong with them. Worker processes run this."""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from edgetune.data import duplicates, formats, readers, row_checks, secrets, text_checks
from edgetune.data.detect import apply_map
from edgetune.data.dropped_parts import DROPPED, dropped_parts
from edgetune.data.formats import Example
from edgetune.data.labels import IGNORE_INDEX
from edgetune.data.render import Rendered, Rules, TextTokenizer, TokenizedRow, token_pieces
from edgetune.data.row import EMPTY_CELL_WORDS, ParsedRow, Problem, RawRow, RowError
from edgetune.data.template import TemplateRefusal
from edgetune.data.tokenized import refuse_unwritten_calls, tokenize_many

if TYPE_CHECKING:
    import numpy as np

MAX_BATCH_WARNINGS = 50
"""Warnings of one kind that a batch lists; all are counted."""
CHARACTERS_PER_TOKEN = 4
"""A guess for lengths where no base was named (English text, vocabularies of 30,000 to 150,000 tokens)."""


@dataclass(frozen=True)
class Job:
    """What every batch of a scan is treated by.

    formats: each file's, by its number. loader: makes the tokenizer in a worker; without one, lengths are guessed. look: search texts
    for what is odd in them, and for near duplicates; off for rows that are only measured on. keep: hand over the rows of tokens and
    the examples too, to be stored.
    """

    formats: tuple[str, ...]
    mapping: dict[str, str] = field(default_factory=dict)
    rules: Rules | None = None
    loader: Callable[[], TextTokenizer] | None = None
    look: bool = True
    keep: bool = False


@dataclass(frozen=True, slots=True)
class Rejected:
    """A row that is left out, why, and what it holds."""

    file: str
    line: int
    kind: str
    reason: str
    row: Any = None

    def as_dict(self) -> dict[str, Any]:
        """As the quarantine file holds it."""
        return {"file": self.file, "line": self.line, "kind": self.kind, "reason": self.reason, "row": self.row}


@dataclass(slots=True)
class Unit:
    """A kept row: where it stands, what it teaches, and its rows of tokens.

    findings: (kind, message) of what was odd in the row before it was converted. length: tokens of its longest row before any cut
    (guessed without a tokenizer); trained: tokens trained on.
    """

    line: int
    example: Example
    digest: int
    findings: list[tuple[str, str]] = field(default_factory=list)
    rows: list[TokenizedRow] = field(default_factory=list)
    length: int = 0
    trained: int = 0
    shortened: bool = False


@dataclass(slots=True)
class Batch:
    """What became of a batch: read = rejected + units (of which some are shortened).

    lengths: tokens before any cut, of every row that could be rendered, those too long among them.
    """

    source: int
    file: str
    read: int
    units: list[Unit]
    rejected: list[Rejected]
    problems: list[Problem]
    counts: Counter[str]
    lengths: list[int] = field(default_factory=list)
    signatures: "np.ndarray | None" = None


def text_of(message: dict[str, Any]) -> str:
    """A turn's text, tool calls as JSON."""
    calls = message.get("tool_calls")
    return f"{message.get('content') or ''}{json.dumps(calls, ensure_ascii=False, sort_keys=True) if calls else ''}"


def text_fields(example: Example) -> Iterator[tuple[str, str]]:
    """Every text of an example with the name of its place."""
    if example.kind == "text":
        yield "text", example.text
    for number, message in enumerate(example.messages, 1):
        yield f"turn {number}", text_of(message)
    for chosen, rejected in example.pairs:
        yield from (("chosen", text_of(m)) for m in chosen)
        yield from (("rejected", text_of(m)) for m in rejected)


def conversations(example: Example) -> list[Example]:
    """The conversations whose rows an example is made of: itself, or for a pair the chosen and the rejected one, their end trained.

    Of a labelled conversation its last answer alone is judged, so that alone is trained on.
    """
    if example.kind == "unpaired":
        return [replace(example, messages=[*({**m, "train": False} for m in example.messages[:-1]), example.messages[-1]])]
    if example.kind != "preference":
        return [example]
    before = [{**m, "train": False} for m in example.messages]
    return [replace(example, kind="conversation", messages=[*before, *side], pairs=[]) for pair in example.pairs for side in pair]


def examine(source: int, file: str, raws: list[RawRow], job: Job, tokenizer: TextTokenizer | None) -> Batch:
    """Parse, convert, check and tokenize a batch of a file's rows."""
    batch = Batch(source, file, len(raws), [], [], [], Counter())
    convert = formats.module(job.formats[source]).convert

    # Rows that do not parse or convert are set aside with their reason.
    for raw in raws:
        row = readers.parse(file, raw)
        try:
            unit = _unit(row, convert, job)
        except RowError as error:
            batch.rejected.append(_rejected(row, error))
            continue
        batch.units.append(unit)

    # Without a tokenizer, lengths are guessed from characters.
    if tokenizer and job.rules:
        _tokenize(batch, job, tokenizer)
    else:
        for unit in batch.units:
            unit.length = sum(len(text) for _, text in text_fields(unit.example)) // CHARACTERS_PER_TOKEN
            batch.lengths.append(unit.length)

    # Rows that are only measured on need no search for oddities.
    if job.look:
        specials = frozenset(tokenizer.specials) if tokenizer else frozenset()
        for unit in batch.units:
            _note_findings(batch, unit, specials)
        batch.signatures = duplicates.signatures(["\n".join(text for _, text in text_fields(unit.example)) for unit in batch.units])
    return batch


def _unit(row: ParsedRow, convert: Callable[[dict[str, Any]], Example], job: Job) -> Unit:
    if row.problem:
        raise RowError(row.kind, row.problem)
    value = apply_map(row.value, job.mapping) if job.mapping else row.value
    example = convert(value)
    findings = list(row_checks.row_findings(value, judged=example.kind in ("preference", "unpaired"))) if job.look else []
    return Unit(row.line, example, duplicates.digest("\n".join(text for _, text in text_fields(example))), findings)


def _rejected(row: ParsedRow, error: RowError) -> Rejected:
    return Rejected(row.file, row.line, error.kind, str(error), row.raw if row.problem else row.value)


def _tokenize(batch: Batch, job: Job, tokenizer: TextTokenizer) -> None:
    """Give every unit its rows of tokens; those that get none are rejected."""
    assert job.rules
    flat = [(unit, part) for unit in batch.units for part in conversations(unit.example)]
    parts = [(unit, part) for unit, part in flat if part.kind in ("conversation", "unpaired")]
    rendered = {id(unit): [] for unit in batch.units}  # type: dict[int, list[Rendered]]

    # A shortened pair would no longer share its prompt, so a pair that is too long is left out.
    rules = replace(job.rules, overlong="drop") if any(unit.example.kind == "preference" for unit, _ in parts) else job.rules

    for (unit, _), outcome in zip(parts, tokenize_many([part for _, part in parts], tokenizer, rules), strict=True):
        rendered[id(unit)].append(outcome)

    # A unit counts only when all its parts became rows.
    usable = []
    for unit in batch.units:
        unit.length = max((outcome.full_length for outcome in rendered[id(unit)]), default=0)
        try:
            _fill_unit(unit, rendered[id(unit)], job.rules, tokenizer, batch.counts)
            _note_dropped_parts(unit, tokenizer)
            usable.append(unit)
        except RowError as error:
            batch.rejected.append(Rejected(batch.file, unit.line, error.kind, str(error), as_row(unit.example)))
        if unit.length:
            batch.lengths.append(unit.length)
    batch.units = usable


def _fill_unit(unit: Unit, rendered: list[Rendered], rules: Rules, tokenizer: TextTokenizer, counts: Counter[str]) -> None:
    example = unit.example

    # Text is cut into pieces; a prompt has no answer, so nothing of it is trained on.
    if example.kind == "text":
        unit.rows = token_pieces(example, tokenizer, rules.max_length)
        unit.length = sum(len(row.ids) for row in unit.rows)
        if not unit.rows:
            raise RowError("empty", "it has no tokens")
    elif example.kind == "prompt":
        refuse_unwritten_calls(example, tokenizer.template)
        try:
            prompt = tokenizer.template.render(example.messages, add_generation_prompt=True, tools=example.tools)
        except TemplateRefusal as error:
            raise RowError("template_refuses", f"the chat template refuses it: {error.cause}") from None
        ids = tokenizer.encode(prompt)
        unit.length = len(ids)
        if unit.length >= rules.max_length:
            raise RowError("too_long", f"{unit.length:,} tokens, more than the {rules.max_length:,} that fit")
        unit.rows = [TokenizedRow(ids, [IGNORE_INDEX] * len(ids), example)]

    # Pairs are checked only when both sides were rendered; else the error of one says more.
    if example.kind == "preference" and not any(outcome.error for outcome in rendered):
        _check_pairs(rendered)
    for outcome in rendered:
        if outcome.error:
            raise outcome.error
        unit.rows += outcome.rows
        unit.shortened |= outcome.shortened
        counts["lost_answers"] += outcome.lost

    unit.trained = sum(row.trained for row in unit.rows)
    _count(unit, tokenizer, counts)


def _note_dropped_parts(unit: Unit, tokenizer: TextTokenizer) -> None:
    """Note what the template does not write of a row, or of one of its sides."""
    parts = {part for side in conversations(unit.example) for part in dropped_parts(side, tokenizer.template)}
    unit.findings += [(f"{part}_dropped", f"the chat template does not write {DROPPED[part]}") for part in sorted(parts & DROPPED.keys())]


def _check_pairs(rendered: list[Rendered]) -> None:
    """Each side of a pair is one row behind the same prompt, and the two differ as tokens. Raises RowError."""
    for chosen, rejected in zip(rendered[::2], rendered[1::2], strict=True):
        if len(chosen.rows) != 1 or len(rejected.rows) != 1:
            raise RowError("pair_in_parts", "the template rewrites earlier turns, so that the answer is no single text")
        chosen_row, rejected_row = chosen.rows[0], rejected.rows[0]
        if chosen_row.prompt != rejected_row.prompt:
            raise RowError("prompts_differ", "the template puts different prompts before the two answers")
        if chosen_row.ids == rejected_row.ids:
            raise RowError("chosen_equals_rejected", "the chosen and the rejected answer become the same tokens")


def _count(unit: Unit, tokenizer: TextTokenizer, counts: Counter[str]) -> None:
    """What the rows of tokens are like: ends trained, BOS doubled, tokens trained on."""
    ends = set(tokenizer.specials.values()) | {tokenizer.eos_id}
    bos = tokenizer.bos_id
    counts["rows"] += len(unit.rows)
    counts["tokens"] += sum(len(row.ids) for row in unit.rows)
    counts["trained_tokens"] += unit.trained
    for row in unit.rows:
        counts["ends_trained"] += row.labels[-1] in ends
        counts["bos_doubled"] += bos is not None and row.ids[:2] == [bos, bos]


def as_row(example: Example) -> dict[str, Any]:
    """An example as a plain row."""
    if example.kind == "text":
        return {"text": example.text}
    row: dict[str, Any] = {"messages": example.messages}
    if example.kind == "preference":
        row = {"prompt": example.messages, "chosen": example.pairs[0][0], "rejected": example.pairs[0][1]}
    if example.label is not None:
        row["label"] = example.label
    return row | ({"tools": example.tools} if example.tools else {})


def _example_findings(example: Example) -> Iterator[tuple[str, str]]:
    """(kind, message) of what is odd in the turns of an example as a whole."""
    if example.kind == "conversation" and (last := example.messages[-1]["role"]) != "assistant":
        speaker = "a tool's result" if last == "tool" else f"the {last}'s turn"
        yield "no_last_answer", f"it ends in {speaker}, which nothing answers: that turn teaches nothing"
    if any(before["role"] == after["role"] == "assistant" for before, after in pairwise(example.messages)):
        yield "two_answers", "two turns of the assistant follow each other that cannot be written as one: the first teaches to stop there"
    if any(text.strip() in EMPTY_CELL_WORDS for text in answers_of(example)):
        yield "empty_word", "an answer is only a word that some programs write for no value; it is learned as text"


def answers_of(example: Example) -> Iterator[str]:
    """The texts of an example's answers."""
    for side in (example.messages, *(side for pair in example.pairs for side in pair)):
        yield from (message["content"] for message in side if message["role"] == "assistant")


def _note_findings(batch: Batch, unit: Unit, specials: frozenset[str]) -> None:
    """Note what is odd in a unit's texts."""
    counts = batch.counts
    findings = {*unit.findings, *_example_findings(unit.example)}

    # A set: a fault that repeats within one text counts once.
    for where, text in text_fields(unit.example):
        for kind, message in text_checks.text_findings(text):
            findings.add((kind, f"{where}: {message}"))
        for mark in text_checks.control_tokens(text, specials):
            meaning = (
                "which the model reads as a control token"
                if unit.example.kind == "text"
                else "a control token's name, which is read as text"
            )
            findings.add(("control_token", f"{where}: the text holds {mark}, {meaning}"))
        for kind, start, end in secrets.find_secrets(text):
            masked = secrets.masked(text, start, end)
            if kind in ("card", "iban", "personal"):
                findings.add((kind, f"{where}: {masked}"))
            else:
                findings.add(("secret", f"{where}: looks like a key or password ({kind.replace('_', ' ')}): {masked}"))

    if unit.shortened:
        findings.add(("shortened", f"{unit.length:,} tokens, cut to fit"))

    # Each kind counts once a row; only the first rows of a batch are listed.
    for kind in {kind for kind, _ in findings}:
        counts[f"warn:{kind}"] += 1
    listed = [(kind, message) for kind, message in sorted(findings) if counts[f"warn:{kind}"] <= MAX_BATCH_WARNINGS]
    batch.problems += [Problem(batch.file, unit.line, kind, message) for kind, message in listed]

    # What the X-ray says about the content.
    example = unit.example
    counts["answers"] += sum(m["role"] == "assistant" for m in example.messages)
    counts["system_turns"] += sum(m["role"] == "system" for m in example.messages)
    counts["tool_calls"] += sum(bool(m.get("tool_calls")) for m in example.messages)
    counts["pairs"] += len(example.pairs)
    for chosen, rejected in example.pairs:
        chosen_size, rejected_size = (sum(len(text_of(m)) for m in side) for side in (chosen, rejected))
        counts["chosen_characters"] += chosen_size
        counts["rejected_characters"] += rejected_size
        counts["chosen_longer"] += chosen_size > rejected_size
        counts["rejected_longer"] += chosen_size < rejected_size
    if example.label is not None:
        counts["good" if example.label else "bad"] += 1
