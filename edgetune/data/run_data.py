"""A run's data folder: rows to train on, held-out rows, the held-out examples in words, the rows left out, and the X-ray."""

import hashlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from edgetune.data import store
from edgetune.data.render import TextTokenizer
from edgetune.data.split import Prepared
from edgetune.storage.files import atomic_write, sha256, write_json
from edgetune.storage.workspace import HELD_OUT_EXAMPLES

QUARANTINE = "rejected.jsonl"


def write_run_data(folder: Path, prepared: Prepared, tokenizer: TextTokenizer) -> None:
    """Write a run's data: rows to train on and held-out ones, the held-out examples in words, the rows left out, and the X-ray."""
    _write_rows(folder, prepared)
    with atomic_write(folder / HELD_OUT_EXAMPLES) as file:
        for line in _held_out_lines(folder, prepared, tokenizer):
            file.write(line.encode() + b"\n")
    with atomic_write(folder / QUARANTINE) as file:
        quarantine = prepared.folder / QUARANTINE
        if quarantine.is_file():
            with open(quarantine, "rb") as rejected:
                shutil.copyfileobj(rejected, file)
    write_json(folder / "xray.json", prepared.report.as_dict())


def _write_rows(folder: Path, prepared: Prepared) -> None:
    import pyarrow as pa

    kind = prepared.kind
    schema = store.run_schema(kind)
    start = 0
    with store.stream_writer(folder / store.TRAIN_FILE, schema) as train, store.stream_writer(folder / store.HELD_OUT_FILE, schema) as held:
        for batch, labels in _labelled(prepared):
            rows = store.run_batch(kind, batch, labels)
            out = prepared.held_rows[start : start + len(rows)]
            start += len(rows)
            for target, mask in ((train, ~out), (held, out)):
                if mask.any():
                    target.write_batch(rows.filter(pa.array(mask)))
        if prepared.replay:
            arrays = [store.list_array([ids for ids, _ in prepared.replay]), store.list_array([labels for _, labels in prepared.replay])]
            train.write_batch(pa.record_batch(arrays, schema=schema))


def _labelled(prepared: Prepared) -> Iterator[tuple[Any, list[bool]]]:
    """The prepared rows in batches, those of judged answers with their verdicts."""
    rows = store.read_batches(prepared.folder / store.ROWS_FILE)
    if prepared.report.kind != "unpaired":
        yield from ((batch, [True, False] * (len(batch) // 2)) for batch in rows)
        return
    for batch, examples in zip(rows, store.read_batches(prepared.folder / store.EXAMPLES_FILE), strict=True):
        yield batch, [json.loads(example)["label"] for example in examples.column("example").to_pylist()]


def _held_out_lines(folder: Path, prepared: Prepared, tokenizer: TextTokenizer) -> Iterator[str]:
    """The held-out examples as JSON; of raw text the pieces that are held out, not the documents they are cut from."""
    import pyarrow as pa

    if prepared.report.kind == "text":
        for ids, _ in store.TokenRows(folder / store.HELD_OUT_FILE):
            yield json.dumps({"text": tokenizer.decode(ids)}, ensure_ascii=False)
        return
    start = 0
    for batch in store.read_batches(prepared.folder / store.EXAMPLES_FILE):
        out = prepared.held_units[start : start + len(batch)]
        start += len(batch)
        yield from batch.column("example").filter(pa.array(out)).to_pylist()


def data_hash(folder: Path) -> str:
    """A hash over a run's prepared rows."""
    return hashlib.sha256((sha256(folder / store.TRAIN_FILE) + sha256(folder / store.HELD_OUT_FILE)).encode()).hexdigest()
