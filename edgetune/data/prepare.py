"""From files of examples to a run's rows: X-rayed, rendered and masked once, kept by content, split into training and held-out."""

import json
import math
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgetune.data import cache, formats, scan, store
from edgetune.data.detect import parse_map
from edgetune.data.examine import Job, examine
from edgetune.data.render import Rules, TextTokenizer, Tokens
from edgetune.data.row import Problem
from edgetune.data.sources import Source, sources
from edgetune.data.xray import Report, XRay
from edgetune.errors import InputError
from edgetune.files import write_json, write_text
from edgetune.paths import real

FEW_DOCUMENTS = 20
"""With fewer documents than this, raw text is split into train and held-out by pieces instead of by documents."""
QUARANTINE = "rejected.jsonl"

Progress = Callable[[int], None]
"""Told the number of rows read so far."""


@dataclass(frozen=True)
class Base:
    """What preparing needs of a base: how to load its tokenizer anew in another process, the tokenizer, and a hash of its file."""

    loader: Callable[[], TextTokenizer]
    tokenizer: TextTokenizer
    hash: str


@dataclass(frozen=True)
class Group:
    """Rows of one origin, one after the other: every pass takes the next `each` of them."""

    start: int
    count: int
    each: int


@dataclass
class Prepared:
    """What a run learns from: the X-ray, which of the cached rows are held out, and the groups of those that are not.

    held_rows: bool [rows], held_units: bool [units]; held_out: rows to measure on; replay: rows of the replay file, the last group.
    """

    report: Report
    folder: Path
    held_rows: Any
    held_units: Any
    groups: list[Group] = field(default_factory=list)
    held_out: int = 0
    replay: list[store.Pair] = field(default_factory=list)

    @property
    def train(self) -> int:
        """Rows to train on, those of the replay file counted."""
        return sum(group.count for group in self.groups)

    @property
    def each_pass(self) -> int:
        """Rows of one pass."""
        return sum(group.each for group in self.groups)

    @property
    def rejected(self) -> list[Problem]:
        """The first rows that were left out."""
        return [problem for problem in self.report.problems if problem.rejected]


def survey(
    files: list[Source],
    asked: str = "auto",
    mapping: dict[str, str] | None = None,
    rules: Rules | None = None,
    base: Base | None = None,
    keep: Path | None = None,
    progress: Progress | None = None,
    processes: int | None = None,
) -> XRay:
    """X-ray files; with `keep`, write the rows of tokens and the examples into that folder too. Raises InputError when none can be read."""
    mapping = mapping or {}
    found = scan.recognise(files, asked, mapping)
    kind = _kind([one.format for one in found])
    job = Job(tuple(one.format for one in found), mapping, rules, base.loader if base else None, keep=keep is not None)
    xray = XRay(files, found, kind, rules.length if rules else None, exact_lengths=base is not None)
    keeper = store.Keeper(keep) if keep else None
    try:
        for batch in scan.batches(files, job, processes):
            xray.add(batch)
            if keeper:
                keeper.add(batch)
            if progress:
                progress(xray.report.read)
    finally:
        if keeper:
            keeper.close()
    return xray


def _kind(names: list[str]) -> str:
    """What kind of examples formats give. Raises InputError when files of several kinds stand together."""
    kinds = {name: formats.kind(name) for name in dict.fromkeys(names)}
    if len(set(kinds.values())) > 1:
        told = ", ".join(f"{name} ({kind})" for name, kind in kinds.items())
        raise InputError("These files are of different kinds", f"They were read as {told}.", "Use files of one kind at a time.")
    return next(iter(kinds.values()))


def files_of(recipe: Any) -> list[Source]:
    """A recipe's files, those of `validation` held out."""
    given = sources(recipe.data)
    held = [Source(s.path, held_out=True) for s in sources(recipe.validation)]
    twice = {real(s.path) for s in given} & {real(s.path) for s in held}
    if twice:
        raise InputError(
            "A file is both trained on and held out", f"{min(twice)} stands in data and in validation.", "Take it out of one of the two."
        )
    return given + held


def prepare(recipe: Any, base: Base, length: int, place: Path, progress: Progress | None = None) -> Prepared:
    """X-ray and prepare a recipe's files, or take them from the cache at `place`. Raises InputError when nothing is left to train on."""
    files, mapping, rules = files_of(recipe), parse_map(recipe.map), Rules(length, recipe.long, recipe.answers)
    folder, report = _cached(files, recipe.format, mapping, rules, base, place, progress)
    if report.kind not in ("conversation", "text"):
        raise InputError(
            f"These examples are not for {recipe.method}",
            f"They were read as {report.format}: {report.reason}.",
            "sft needs answers to learn or text. 'edgetune data convert FILE --to messages --out NEW.jsonl' keeps the chosen answers.",
        )
    prepared = _split(report, folder, files, recipe)
    if not prepared.train:
        first = prepared.rejected[0] if prepared.rejected else None
        raise InputError(
            "Nothing is left to train on",
            f"{report.rejected} of {report.read} rows were left out; the first, {first.file}:{first.line}: {first.message}."
            if first
            else "All rows are held out.",
            "Correct the rows, or raise --length if they are too long.",
        )
    if recipe.replay:
        _replay(prepared, recipe, base, length, place)
    return prepared


def _cached(
    files: list[Source], asked: str, mapping: dict[str, str], rules: Rules, base: Base, place: Path, progress: Progress | None
) -> tuple[Path, Report]:
    name = cache.key(files, asked, mapping, rules, base.tokenizer, base.hash)

    def make(part: Path) -> dict[str, Any]:
        report = survey(files, asked, mapping, rules, base, part, progress).finish(part / QUARANTINE)
        report.quarantine = None
        return report.as_dict()

    folder, report, _ = cache.kept(place, name, make)
    return folder, Report.from_dict(report)


def _split(report: Report, folder: Path, files: list[Source], recipe: Any) -> Prepared:
    """Choose the held-out units: those of the files held out if there are any, else a share of all, equal ones together."""
    import numpy as np

    examples = [(b.column("source"), b.column("digest"), b.column("rows")) for b in store.batches(folder / store.EXAMPLES)]
    source, digest, rows = (
        np.concatenate([part[i].to_numpy(zero_copy_only=False) for part in examples]) if examples else np.zeros(0, dtype=np.int64)
        for i in range(3)
    )
    row_source = np.repeat(source, rows)
    if report.kind == "text" and len(source) < FEW_DOCUMENTS:
        digest = np.arange(len(row_source))
        row_unit = digest
    else:
        row_unit = np.repeat(np.arange(len(source)), rows)
    named = np.array([s.held_out for s in files], dtype=bool)
    held = named[row_source] if named.any() else held_out_units(digest, recipe.eval_share, recipe.data_seed)[row_unit]
    units = named[source] if named.any() else np.zeros(len(source), dtype=bool)
    if not named.any() and len(held):
        units[np.repeat(np.arange(len(source)), rows)[held]] = True
    prepared = Prepared(report, folder, held, units, held_out=int(held.sum()))
    start = 0
    for number, file in enumerate(files):
        count = int(((row_source == number) & ~held).sum())
        if count:
            prepared.groups.append(Group(start, count, max(1, round(file.weight * count))))
        start += count
    return prepared


def held_out_units(digests: Any, share: float, seed: int) -> Any:
    """Which units are held out, bool [units]: about `share` of them, at least one; equal ones stay together, so that none is trained on
    too."""
    import numpy as np

    groups: dict[int, list[int]] = {}
    for number, value in enumerate(digests.tolist()):
        groups.setdefault(value, []).append(number)
    wanted = max(1, round(share * len(digests))) if share > 0 else 0
    order = list(groups.values())
    random.Random(seed).shuffle(order)
    held: list[int] = []
    for group in order:
        if len(held) + len(group) <= wanted:
            held += group
    smallest = min(order, key=len, default=[])
    if wanted and not held and len(smallest) < len(digests):
        held += smallest
    result = np.zeros(len(digests), dtype=bool)
    result[held] = True
    return result


def _replay(prepared: Prepared, recipe: Any, base: Base, length: int, place: Path) -> None:
    """Add rows of the replay file behind the run's own: enough that every pass can draw others."""
    import numpy as np

    folder, report = _cached(sources([recipe.replay]), "auto", {}, Rules(length), base, place, None)
    held = {value for value, out in zip(_digests(prepared.folder), prepared.held_units.tolist(), strict=True) if out}
    usable = np.array([value not in held for value in _digests(folder)], dtype=bool)
    pool = [at for at, unit in enumerate(_units(folder)) if usable[unit]]
    if not pool:
        raise InputError("No replay row fits", f"All {report.read} rows of {recipe.replay} were left out.", "Choose another --replay file.")
    own, each_pass = prepared.train, prepared.each_pass
    each = round(each_pass * recipe.replay_share / (1 - recipe.replay_share))
    rows_asked = recipe.steps * recipe.batch * recipe.accumulation if recipe.steps else recipe.epochs * (each_pass + each)
    passes = 1 if recipe.packing else math.ceil(rows_asked / (each_pass + each))
    chosen = random.Random(recipe.data_seed).sample(pool, min(each * passes, len(pool)))
    wanted = {number: place for place, number in enumerate(chosen)}
    found: dict[int, store.Pair] = {}
    start = 0
    for batch in store.batches(folder / store.ROWS):
        for number in range(start, start + len(batch)):
            if number in wanted:
                at = number - start
                found[wanted[number]] = (batch.column("input_ids")[at].as_py(), batch.column("labels")[at].as_py())
        start += len(batch)
    prepared.replay = [found[i] for i in range(len(chosen))]
    prepared.groups.append(Group(own, len(chosen), min(each, len(chosen))))


def _digests(folder: Path) -> list[int]:
    return [value for batch in store.batches(folder / store.EXAMPLES) for value in batch.column("digest").to_pylist()]


def _units(folder: Path) -> list[int]:
    return [unit for batch in store.batches(folder / store.ROWS) for unit in batch.column("unit").to_pylist()]


def write(folder: Path, prepared: Prepared, tokenizer: TextTokenizer) -> None:
    """Write a run's data: rows to train on and held-out ones, the held-out examples in words, the rows left out, and the X-ray."""
    import pyarrow as pa

    texts: list[str] = []
    start = 0
    with store.stream(folder / store.TRAIN, store.run_schema()) as train, store.stream(folder / store.HELD_OUT, store.run_schema()) as held:
        for batch in store.batches(prepared.folder / store.ROWS):
            out = prepared.held_rows[start : start + len(batch)]
            start += len(batch)
            pair = pa.record_batch([batch.column(0), batch.column(1)], schema=store.run_schema())
            for target, mask in ((train, ~out), (held, out)):
                if mask.any():
                    target.write_batch(pair.filter(pa.array(mask)))
            if prepared.report.kind == "text":
                pieces = pair.column(0).filter(pa.array(out)).to_pylist()
                texts += [json.dumps({"text": tokenizer.decode(ids)}, ensure_ascii=False) for ids in pieces]
        if prepared.replay:
            arrays = [store.lists([ids for ids, _ in prepared.replay]), store.lists([labels for _, labels in prepared.replay])]
            train.write_batch(pa.record_batch(arrays, schema=store.run_schema()))
    start = 0
    for batch in store.batches(prepared.folder / store.EXAMPLES) if prepared.report.kind != "text" else ():
        out = prepared.held_units[start : start + len(batch)]
        start += len(batch)
        texts += batch.column("example").filter(pa.array(out)).to_pylist()
    write_text(folder / "held_out.jsonl", "".join(line + "\n" for line in texts))
    kept = prepared.folder / QUARANTINE
    write_text(folder / QUARANTINE, kept.read_text(encoding="utf-8") if kept.is_file() else "")
    write_json(folder / "xray.json", prepared.report.as_dict())


@dataclass
class Measured:
    """Rows of a file to measure on. read = rows of the file; rejected: those left out."""

    read: int
    rejected: int
    rows: list[Tokens]


def held_out(path: Path, tokenizer: TextTokenizer, length: int) -> Measured:
    """All rows of a file, to measure on. Raises InputError when none can be used."""
    files = sources([str(path)])
    found = scan.recognise(files, "auto", {})
    job = Job(tuple(one.format for one in found), rules=Rules(length), look=False)
    measured, first = Measured(0, 0, []), ""
    for piece in scan.raw_pieces(files):
        batch = examine(piece.source, piece.file, piece.raws, job, tokenizer)
        measured.read += batch.read
        measured.rejected += len(batch.rejected)
        measured.rows += [row for unit in batch.units for row in unit.rows]
        first = first or next((row.reason for row in batch.rejected), "")
    if not measured.rows:
        raise InputError(
            "Nothing is left to measure on", f"All {measured.read} rows were left out; the first: {first}.", "Choose another --data file."
        )
    return measured
