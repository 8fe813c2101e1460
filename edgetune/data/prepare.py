"""From files of examples to a run's rows: X-rayed, rendered and masked once, kept by content, split into training and held-out."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from edgetune.data import cache, formats, scan, store
from edgetune.data.detect import parse_map
from edgetune.data.examine import Job, examine
from edgetune.data.render import Rules, TextTokenizer, TokenizedRow
from edgetune.data.run_data import QUARANTINE
from edgetune.data.sources import Source, sources
from edgetune.data.split import Prepared, add_replay, divide
from edgetune.data.store import rows_each
from edgetune.data.xray import Report, XRay
from edgetune.errors import InputError
from edgetune.storage.paths import real_path

RowProgress = Callable[[int], None]
"""Told the number of rows read so far."""


@dataclass(frozen=True)
class TokenizerSource:
    """A base's tokenizer for preparing data: how another process loads it, the tokenizer itself, and a hash of its file."""

    loader: Callable[[], TextTokenizer]
    tokenizer: TextTokenizer
    hash: str


class Learner(Protocol):
    """What preparing needs to know of a training method; `edgetune.methods.Method` says what each means."""

    @property
    def name(self) -> str:
        """Its name."""

    @property
    def row_kinds(self) -> tuple[str, ...]:
        """The kinds of examples it learns from."""

    @property
    def needs(self) -> str:
        """What to tell who brings others."""

    @property
    def splits_pairs(self) -> bool:
        """Whether a pair is taken apart into two judged answers."""


def survey(
    files: list[Source],
    requested: str = "auto",
    mapping: dict[str, str] | None = None,
    rules: Rules | None = None,
    base: TokenizerSource | None = None,
    into: Path | None = None,
    progress: RowProgress | None = None,
    processes: int | None = None,
) -> XRay:
    """X-ray files; with `keep`, write the rows of tokens and the examples into that folder too. Raises InputError when none can be read."""
    mapping = mapping or {}
    detected = scan.detect_formats(files, requested, mapping)
    kind = _kind([match.format for match in detected])
    job = Job(tuple(match.format for match in detected), mapping, rules, base.loader if base else None, keep=into is not None)

    xray = XRay(files, detected, kind, rules.max_length if rules else None, exact_lengths=base is not None)
    writer = store.BatchWriter(into) if into else None

    # The files are closed even when reading stops, or they would keep the folder from being removed.
    try:
        for batch in scan.examined_batches(files, job, processes):
            xray.add(batch)
            if writer:
                writer.add(batch)
            if progress:
                progress(xray.report.read)
    finally:
        if writer:
            writer.close()
    return xray


def _kind(names: list[str]) -> str:
    """What kind of examples formats give. Raises InputError when the files are of several kinds."""
    kinds = {name: formats.example_kind(name) for name in dict.fromkeys(names)}
    if len(set(kinds.values())) > 1:
        listing = ", ".join(f"{name} ({kind})" for name, kind in kinds.items())
        raise InputError("These files are of different kinds", f"They were read as {listing}.", "Use files of one kind at a time.")
    return next(iter(kinds.values()))


def files_of(recipe: Any) -> list[Source]:
    """A recipe's files, those of `validation` held out."""
    training = sources(recipe.data)
    held = [Source(s.path, held_out=True) for s in sources(recipe.validation)]

    twice = {real_path(s.path) for s in training} & {real_path(s.path) for s in held}
    if twice:
        raise InputError(
            "A file is both trained on and held out",
            f"{min(twice)} is named in both data and validation.",
            "Remove it from one of the two.",
        )
    return training + held


def prepare(
    recipe: Any, base: TokenizerSource, length: int, cache_folder: Path, method: Learner, progress: RowProgress | None = None
) -> Prepared:
    """X-ray and prepare a recipe's files, or take them from the cache folder. Raises InputError when nothing is left to train on.

    method: what learns from them.
    """
    files = files_of(recipe)
    mapping = parse_map(recipe.column_map)
    rules = Rules(length, recipe.overlong, recipe.train_on)
    folder, report = _cached(files, recipe.format, mapping, rules, base, cache_folder, progress)
    if report.kind not in method.row_kinds:
        raise InputError(f"These examples are not for {method.name}", f"They were read as {report.format}: {report.reason}.", method.needs)

    prepared = divide(report, folder, files, recipe, method.splits_pairs)

    # The first row left out says more than a count.
    if not prepared.train:
        first = prepared.rejected[0] if prepared.rejected else None
        raise InputError(
            "Nothing is left to train on",
            f"{report.rejected} of {report.read} rows were left out; the first, {first.file}:{first.line}: {first.message}."
            if first
            else "All rows are held out.",
            "Fix the rows, or raise --max-length if they are too long.",
        )

    if recipe.replay:
        add_replay(prepared, *_cached(sources([recipe.replay]), "auto", {}, Rules(length), base, cache_folder, None), recipe)
    return prepared


def _cached(
    files: list[Source],
    requested: str,
    mapping: dict[str, str],
    rules: Rules,
    base: TokenizerSource,
    cache_folder: Path,
    progress: RowProgress | None,
) -> tuple[Path, Report]:
    name = cache.cache_key(files, requested, mapping, rules, base.tokenizer, base.hash)

    def make(part: Path) -> dict[str, Any]:
        report = survey(files, requested, mapping, rules, base, part, progress).finish(part / QUARANTINE)
        report.quarantine = None
        return report.as_dict()

    folder, report, _ = cache.load_or_prepare(cache_folder, name, make)
    return folder, Report.from_dict(report)


@dataclass
class EvaluationSet:
    """Rows of a file to measure on. read = rows of the file; rejected: those left out."""

    read: int
    rejected: int
    rows: list[TokenizedRow]


def evaluation_set(path: Path, tokenizer: TextTokenizer, length: int) -> EvaluationSet:
    """All rows of a file, to measure on. Raises InputError when none can be used."""
    files = sources([str(path)])
    detected = scan.detect_formats(files, "auto", {})
    job = Job(tuple(match.format for match in detected), rules=Rules(length), look=False)

    measured = EvaluationSet(0, 0, [])
    first = ""

    for piece in scan.raw_batches(files):
        batch = examine(piece.source, piece.file, piece.raws, job, tokenizer)
        measured.read += batch.read
        measured.rejected += len(batch.rejected)
        measured.rows += [row for unit in batch.units for row in unit.rows[:: rows_each(unit.example.kind)]]  # of pairs the chosen side
        first = first or next((row.reason for row in batch.rejected), "")

    if not measured.rows:
        raise InputError(
            "Nothing is left to measure on", f"All {measured.read} rows were left out; the first: {first}.", "Choose another --data file."
        )
    return measured
