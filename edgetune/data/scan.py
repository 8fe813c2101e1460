"""A stream over all rows of all files, batch by batch and in order, on as many processes as pay; memory does not grow with the files."""

import os
import re
import shlex
import signal
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from itertools import islice
from multiprocessing import get_context
from pathlib import Path

from edgetune.data import readers
from edgetune.data.detect import DetectedFormat, EvenSample, apply_map, check_map, detect_format
from edgetune.data.examine import Job, examine
from edgetune.data.packed import Packed, pack
from edgetune.data.readers import FileError
from edgetune.data.render import TextTokenizer
from edgetune.data.row import ParsedRow, RawRow
from edgetune.data.sources import Source
from edgetune.errors import EdgeTuneError
from edgetune.text import one_line

BATCH_ROWS = 256
"""Rows of a batch, at most."""
BATCH_BYTES = 4 * 2**20
"""Bytes of unparsed rows of a batch, at most (but for a single larger row)."""
PARALLEL_FROM_BYTES = 8 * 2**20
"""Bytes of files from which worker processes pay for their start (about a second)."""
MIN_DATED_SHARE = 0.2
"""Share of a text's first lines that must begin with a date for it to be a chat; messages may have several lines."""
_DATED_LINE = re.compile(r"\W{0,3}\d{1,4}[./-] ?\d{1,2}[./-]")
BATCHES_AHEAD = 3
"""Batches in work or waiting for each process."""


@dataclass(frozen=True)
class RawBatch:
    """Some rows of one file, as its reader found them."""

    source: int
    file: str
    raws: list[RawRow]


def raw_batches(sources: list[Source]) -> Iterator[RawBatch]:
    """The rows of all files in order, in pieces of bounded size."""
    for number, source in enumerate(sources):
        held: list[RawRow] = []
        size = 0
        for raw in readers.read(source.path):
            held.append(raw)
            size += len(raw.content) if isinstance(raw.content, bytes) else 512
            if len(held) >= BATCH_ROWS or size >= BATCH_BYTES:
                yield RawBatch(number, str(source.path), held)
                held = []
                size = 0
        if held:
            yield RawBatch(number, str(source.path), held)


def all_rows(sources: list[Source]) -> Iterator[ParsedRow]:
    """Every row of all files, parsed, in order."""
    for piece in raw_batches(sources):
        yield from (readers.parse(piece.file, raw) for raw in piece.raws)


def detect_formats(sources: list[Source], requested: str, mapping: dict[str, str]) -> list[DetectedFormat]:
    """The format of each file. Raises InputError when a file has no rows, or when no format fits them."""
    return [detect_file_format(source, requested, mapping) for source in sources]


def detect_file_format(source: Source, requested: str, mapping: dict[str, str]) -> DetectedFormat:
    """The format of a file, told from rows spread over all of it. Raises FileError: no_rows; chat_export, unless a shape is asked for."""
    if requested == "auto" and not mapping:
        refuse_chat_export(source.path)
    sample: EvenSample[tuple[str, RawRow]] = EvenSample()
    for piece in raw_batches([source]):
        for raw in piece.raws:
            sample.add((piece.file, raw))

    rows = [readers.parse(file, raw) for file, raw in sample.items]
    if not rows:
        raise FileError(
            source.path, "no_rows", "holds no examples", "There is not a single row in it.", "Check that the file was saved whole."
        )

    # Columns are checked as they are in the file, before they are renamed.
    if mapping:
        check_map(rows, mapping)
        rows = [replace(row, value=apply_map(row.value, mapping)) if not row.problem else row for row in rows]
    detected = detect_format(rows, requested)
    note = readers.layout_note(source.path)
    return replace(detected, reason=f"{detected.reason}; {note}") if note else detected


def refuse_chat_export(path: Path) -> None:
    """Refuse a chat as a program exported it: its dates, names and notices would be learned as text. Raises FileError: chat_export."""
    from edgetune.data import chats

    suffix = readers.suffix_of(path)
    if path.suffix.lower() == ".gz" or suffix not in (".txt", ".json"):
        return
    file = chats.ExportFile(path, named=True)
    name = chats.recognise(file)

    # A book in which somebody writes like that once is no chat.
    lines = [line for line in file.head.decode("utf-8", "replace").splitlines() if line.strip()]
    if not name or (suffix == ".txt" and sum(bool(_DATED_LINE.match(line)) for line in lines) < MIN_DATED_SHARE * len(lines)):
        return
    title, me = chats.source(name).TITLE, "" if chats.source(name).ASSISTANT else " --me YOUR-NAME"
    quoted = shlex.quote(one_line(str(path), 200))
    raise FileError(
        path,
        "chat_export",
        f"is an export of {title}, not examples",
        "As it stands, its dates, names and notices would be learned with the words.",
        f"Make examples of it: edgetune data import-chats {quoted}{me} --out examples.jsonl. To learn it as plain text, add --format text.",
    )


def examined_batches(sources: list[Source], job: Job, processes: int | None = None) -> Iterator[Packed]:
    """Every batch of all files, in order. Several processes share the work where the files are large (or as `processes` says)."""
    count = processes or _processes(sources)
    pieces = raw_batches(sources)
    if count < 2:
        tokenizer = job.loader() if job.loader else None
        for piece in pieces:
            yield pack(examine(piece.source, piece.file, piece.raws, job, tokenizer), job.keep)
        return
    yield from _spread(pieces, job, count)


def _processes(sources: list[Source]) -> int:
    size = sum(source.path.stat().st_size for source in sources)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores, 8) if size >= PARALLEL_FROM_BYTES else 1


def _spread(pieces: Iterator[RawBatch], job: Job, count: int) -> Iterator[Packed]:
    waiting: deque[Future[Packed]] = deque()
    pool = ProcessPoolExecutor(count, mp_context=get_context("spawn"), initializer=_begin, initargs=(job,))

    # Results are taken in order, and one more batch is read for each, so that few wait in memory.
    try:
        waiting.extend(pool.submit(_work, piece) for piece in islice(pieces, count * BATCHES_AHEAD))
        while waiting:
            batch = waiting.popleft().result()
            waiting.extend(pool.submit(_work, piece) for piece in islice(pieces, 1))
            yield batch
    except BrokenProcessPool as error:
        raise EdgeTuneError(
            "A process that reads the rows ended", "The system may have run out of memory.", "Close other programs, then try again."
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


_worker: dict[str, tuple[Job, TextTokenizer | None]] = {}


def _begin(job: Job) -> None:
    """In a new process: leave Ctrl-C to the one that started it, and load the tokenizer, which then uses one thread."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    _worker["now"] = job, job.loader() if job.loader else None


def _work(piece: RawBatch) -> Packed:
    job, tokenizer = _worker["now"]
    return pack(examine(piece.source, piece.file, piece.raws, job, tokenizer), job.keep)
