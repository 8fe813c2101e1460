"""A run's prepared rows on disk: token ids and labels as flat arrays, so that resuming does not need the user's files again."""

import json
from pathlib import Path
from typing import Any

from edgetune.data.prepare import Prepared, Tokens
from edgetune.files import atomic_write, write_text


def _write_tokens(path: Path, rows: list[Tokens]) -> None:
    import numpy as np
    from safetensors.numpy import save

    arrays = {
        "ids": np.array([t for row in rows for t in row.ids], dtype=np.int32),
        "labels": np.array([t for row in rows for t in row.labels], dtype=np.int32),
        "lengths": np.array([len(row.ids) for row in rows], dtype=np.int32),
    }
    with atomic_write(path) as file:
        file.write(save(arrays))


def read_tokens(path: Path) -> list[tuple[list[int], list[int]]]:
    """The rows as (ids, labels)."""
    from safetensors.numpy import load_file

    arrays = load_file(path)
    ids, labels, result, start = arrays["ids"].tolist(), arrays["labels"].tolist(), [], 0
    for length in arrays["lengths"].tolist():
        result.append((ids[start : start + length], labels[start : start + length]))
        start += length
    return result


def write(folder: Path, prepared: Prepared) -> None:
    """Write train and held-out rows, the held-out conversations in words, and the list of rows left out."""
    _write_tokens(folder / "train.safetensors", prepared.train)
    _write_tokens(folder / "held_out.safetensors", prepared.held_out)
    lines = []
    for row in prepared.held_out:
        value: dict[str, Any] = {"messages": row.example.messages} if row.example.messages else {"text": row.example.text}
        if row.example.tools:
            value["tools"] = row.example.tools
        lines.append(json.dumps(value, ensure_ascii=False))
    write_text(folder / "held_out.jsonl", "".join(line + "\n" for line in lines))
    write_text(
        folder / "rejected.jsonl",
        "".join(json.dumps({"file": r.file, "line": r.line, "reason": r.reason}, ensure_ascii=False) + "\n" for r in prepared.rejected),
    )
