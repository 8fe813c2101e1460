"""The X-ray of a dataset: a fold over its batches into one report that says what a run would learn and what is wrong with it."""

import json
import shutil
import tempfile
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from edgetune.data import duplicates
from edgetune.data.detect import DetectedFormat
from edgetune.data.examine import Unit, text_of
from edgetune.data.packed import Packed
from edgetune.data.row import Problem
from edgetune.data.sources import Source
from edgetune.data.token_view import VisibleTokenizer, unit_view
from edgetune.storage.files import atomic_write

MAX_LISTED_PER_KIND = 1000
"""Problems of one kind that the report lists; all are counted, and every rejected row is in the quarantine file."""
SAMPLES_SHOWN = 6
"""Kept rows that are shown whole."""
LANGUAGE_SAMPLES = 500
"""Texts whose language is looked at."""
LENGTH_LIMITS = (256, 512, 1024, 2048, 4096, 8192, 16384, 32768)
"""Length limits whose cost is told."""
HISTOGRAM_BARS = 24
"""Bars of the histogram of lengths."""
QUARANTINE_MEMORY = 8 * 2**20
"""Bytes of rejected rows kept in memory before a temporary file takes them."""


@dataclass
class Report:
    """What the X-ray saw; its fields are the JSON document's.

    read = kept + rejected + truncated. lengths: in tokens, before any cut. problems: file, line, kind, message;
    problem_counts has them all by kind, rejected_counts those for which rows were left out.
    """

    files: list[dict[str, Any]]
    format: str
    reason: str
    kind: str
    read: int = 0
    kept: int = 0
    rejected: int = 0
    truncated: int = 0
    problems: list[Problem] = field(default_factory=list)
    problem_counts: dict[str, int] = field(default_factory=dict)
    rejected_counts: dict[str, int] = field(default_factory=dict)
    lengths: dict[str, Any] = field(default_factory=dict)
    tokens: dict[str, int] = field(default_factory=dict)
    content: dict[str, int] = field(default_factory=dict)
    duplicates: dict[str, Any] = field(default_factory=dict)
    split: dict[str, Any] = field(default_factory=dict)
    preference: dict[str, Any] = field(default_factory=dict)
    languages: dict[str, float] = field(default_factory=dict)
    effort: dict[str, Any] = field(default_factory=dict)
    quarantine: str | None = None
    verdict: str = ""
    reasons: list[str] = field(default_factory=list)
    fix_first: str = ""

    def as_dict(self) -> dict[str, Any]:
        """The report as a JSON document."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Report":
        """A report read back."""
        return cls(**{**values, "problems": [Problem(**p) for p in values["problems"]]})


class XRay:
    """Takes batches in order; `finish` gives the report."""

    def __init__(self, sources: list[Source], detected: list[DetectedFormat], kind: str, length: int | None, exact_lengths: bool) -> None:
        files = [
            {"file": str(s.path), "bytes": s.path.stat().st_size, "weight": s.weight, "held_out": s.held_out, "format": match.format}
            for s, match in zip(sources, detected, strict=True)
        ]

        # One sentence for files of the same format, else the reason of each.
        reasons = {match.reason: s.path.name for s, match in zip(sources, detected, strict=True)}
        reason = "; ".join(f"{name}: {reason}" if len(sources) > 1 else reason for reason, name in reasons.items())
        names = " and ".join(dict.fromkeys(match.format for match in detected))

        self.report = Report([{**f, "read": 0, "kept": 0} for f in files], names, reason, kind)
        self.sources = sources
        self.length = length
        self.exact = exact_lengths

        self.counts: Counter[str] = Counter()
        self.kinds: Counter[str] = Counter()
        self.listed: Counter[str] = Counter()
        self.lengths: Counter[int] = Counter()

        # Few units are held whole, evenly spread; numbers of all rows are held as arrays.
        self.units: list[tuple[str, Unit]] = []
        self.seen = 0
        self.stride = 1
        self.lines: list[tuple[int, Any]] = []
        self.digests: list[Any] = []
        self.signatures: list[Any] = []
        self.quarantined = tempfile.SpooledTemporaryFile(max_size=QUARANTINE_MEMORY)  # noqa: SIM115  (closed by finish)

    def add(self, batch: Packed) -> None:
        """Count a batch in."""
        report = self.report
        file = self.report.files[batch.source]
        short = int(batch.shortened.sum())
        report.read += batch.read
        report.rejected += len(batch.rejected)
        report.truncated += short
        report.kept += len(batch.lines) - short
        file["read"] += batch.read
        file["kept"] += len(batch.lines)

        # Duplicates are looked for at the end, over all batches.
        self.lengths.update(batch.lengths)
        self.lines.append((batch.source, batch.lines))
        self.digests.append(batch.digests)
        if batch.signatures is not None:
            self.signatures.append(batch.signatures)

        # Every rejected row goes to the quarantine file; the report lists only the first of each kind.
        for row in batch.rejected:
            self.kinds[row.kind] += 1
            self.report.rejected_counts[row.kind] = self.report.rejected_counts.get(row.kind, 0) + 1
            self.note(Problem(row.file, row.line, row.kind, row.reason, rejected=True))
            self.quarantined.write(json.dumps(row.as_dict(), default=str).encode() + b"\n")
        for problem in batch.problems:
            self.note(problem)

        for name, number in batch.counts.items():
            if name.startswith("warn:"):
                self.kinds[name.removeprefix("warn:")] += number
            else:
                self.counts[name] += number

        for unit in batch.samples:
            self._keep(batch.file, unit)

    def note(self, problem: Problem) -> None:
        """List a problem while there is room for its kind."""
        self.listed[problem.kind] += 1
        if self.listed[problem.kind] <= MAX_LISTED_PER_KIND:
            self.report.problems.append(problem)

    def _keep(self, file: str, unit: Unit) -> None:
        """Keep units spread evenly over the whole: every so many, half as many when there are too many."""
        if self.seen % self.stride == 0:
            self.units.append((file, unit))
        self.seen += 1
        if len(self.units) > 2 * LANGUAGE_SAMPLES:
            self.units, self.stride = self.units[::2], 2 * self.stride

    def finish(self, quarantine: Path | None) -> Report:
        """The report. Rejected rows go to `quarantine` (JSON lines: file, line, kind, reason, row), made only when there are some."""
        from edgetune.data import language

        report = self.report
        counts = self.counts
        report.lengths = length_statistics(self.lengths, self.exact, self.length, text=report.kind == "text")
        report.tokens = {name: counts[name] for name in ("rows", "tokens", "trained_tokens", "ends_trained", "bos_doubled", "lost_answers")}
        report.content = {name: counts[name] for name in ("answers", "system_turns", "tool_calls", "pairs", "good", "bad")}
        if counts["pairs"]:
            report.preference = preference_statistics(counts)

        self._duplicates()
        report.problem_counts = dict(sorted(self.kinds.items(), key=lambda item: -item[1]))

        # A sample of texts is enough to name the languages.
        texts = [" ".join(text_of(m) for m in unit.example.messages) or unit.example.text for _, unit in self.units[:LANGUAGE_SAMPLES]]
        report.languages = language.languages(texts)

        if quarantine and report.rejected:
            with atomic_write(quarantine) as file:
                self.quarantined.seek(0)
                shutil.copyfileobj(self.quarantined, file)
            report.quarantine = str(quarantine)
        self.quarantined.close()
        return report

    def samples(self, tokenizer: VisibleTokenizer | None) -> list[dict[str, Any]]:
        """Some kept rows, spread over all of them, as a person may look at them."""
        step = max(1, len(self.units) // SAMPLES_SHOWN)
        return [unit_view(file, unit, tokenizer) for file, unit in self.units[::step][:SAMPLES_SHOWN]]

    def _duplicates(self) -> None:
        """Equal and nearly equal rows, and those that are in both training and validation files."""
        import numpy as np

        if not self.signatures:
            return

        # One array over all batches, with each row's file and line.
        source = np.concatenate([np.full(len(lines), number) for number, lines in self.lines])
        line = np.concatenate([lines for _, lines in self.lines])
        digest, signature = np.concatenate(self.digests), np.concatenate(self.signatures)

        def position(number: int) -> tuple[str, int]:
            return str(self.sources[source[number]].path), int(line[number])

        def note_group(group: Any, kind: str, phrase: str) -> None:
            file, at = position(int(group[0]))
            self.kinds[kind] += len(group) - 1
            for other in group[1:MAX_LISTED_PER_KIND]:
                self.note(Problem(*position(int(other)), kind, f"{phrase} {Path(file).name}:{at}"))

        # Training and held-out rows are searched apart: a repetition in training counts, one across is a leak.
        held = np.array([s.held_out for s in self.sources])[source]
        for part, where in (("train", np.flatnonzero(~held)), ("held_out", np.flatnonzero(held))):
            exact, near = duplicates.groups(digest[where], signature[where]) if len(where) else ([], [])
            self.report.duplicates[part] = {
                "exact": sum(len(g) - 1 for g in exact), "near": sum(len(g) - 1 for g in near),
                "exact_groups": len(exact), "near_groups": len(near),
            }  # fmt: skip
            for group in exact:
                note_group(where[group], "duplicate", "the same as")
            for group in near:
                note_group(where[group], "near_duplicate", "nearly the same as")

        train, other = np.flatnonzero(~held), np.flatnonzero(held)
        if len(train) and len(other):
            exact_shared, near_shared = duplicates.shared(digest[train], signature[train], digest[other], signature[other])
            counts = {"train": len(train), "held_out": len(other)}
            self.report.split = counts | {"shared": len(exact_shared), "nearly_shared": len(near_shared)}
            for kind, phrase, overlaps in (("leak", "also", exact_shared), ("near_leak", "nearly the same", near_shared)):
                self.kinds[kind] += len(overlaps)
                for here, there in list(overlaps.items())[:MAX_LISTED_PER_KIND]:
                    file, at = position(int(train[there]))
                    self.note(Problem(*position(int(other[here])), kind, f"held out, but {phrase} in training: {Path(file).name}:{at}"))


def length_statistics(counts: Counter[int], exact: bool, limit: int | None, text: bool = False) -> dict[str, Any]:
    """Length statistics in tokens from length -> rows, with a histogram, and what each limit would cost (raw text is cut: nothing)."""
    if not counts:
        return {"exact": exact}
    ordered = sorted(counts.items())
    rows = sum(counts.values())
    total = sum(n * c for n, c in ordered)
    longest = ordered[-1][0]

    def quantile(share: float) -> int:
        reached = 0
        for size, count in ordered:
            reached += count
            if reached >= share * rows:
                return size
        return longest

    # Bars cover all but the longest hundredth, which share the last bar.
    top = max(quantile(0.99), 1)
    width = -(-top // HISTOGRAM_BARS)
    bars = [0] * (HISTOGRAM_BARS + 1)
    for size, count in ordered:
        bars[min((size - 1) // width if size else 0, HISTOGRAM_BARS)] += count
    ends = [(i + 1) * width for i in range(HISTOGRAM_BARS)] + [max(longest, HISTOGRAM_BARS * width + 1)]
    histogram = [{"from": i * width + 1, "to": end, "rows": count} for i, (end, count) in enumerate(zip(ends, bars, strict=True))]
    while histogram and not histogram[-1]["rows"]:
        histogram.pop()

    # Each usual limit's cost, up to the first that no row exceeds.
    candidates = sorted({*LENGTH_LIMITS, *([limit] if limit else [])}) if not text else []
    limits: list[dict[str, int]] = []
    for candidate in candidates:
        over = [(n, c) for n, c in ordered if n > candidate]
        if not over and candidate != limit and limits and not limits[-1]["rows_over"]:
            break
        limits.append({"limit": candidate, "rows_over": sum(c for _, c in over), "tokens_over": sum((n - candidate) * c for n, c in over)})

    return {
        "exact": exact, "limit": limit, "rows": rows, "tokens": total, "mean": round(total / rows, 1), "min": ordered[0][0],
        "median": quantile(0.5), "p90": quantile(0.9), "p99": quantile(0.99), "max": longest, "histogram": histogram, "limits": limits,
    }  # fmt: skip


def preference_statistics(counts: Counter[str]) -> dict[str, Any]:
    """How long chosen answers are beside rejected ones, in characters."""
    pairs = counts["pairs"]
    return {
        "pairs": pairs,
        "chosen_mean_characters": round(counts["chosen_characters"] / pairs, 1),
        "rejected_mean_characters": round(counts["rejected_characters"] / pairs, 1),
        "chosen_longer": counts["chosen_longer"] / pairs,
        "rejected_longer": counts["rejected_longer"] / pairs,
    }
