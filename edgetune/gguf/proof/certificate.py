"""What a proof leaves behind: proof.json, a page, and the short form inside the GGUF, in a value of fixed size reserved for it."""

import json
import math
import struct
from pathlib import Path
from typing import Any, BinaryIO

from edgetune.gguf.proof.page import proof_page
from edgetune.gguf.proof.prove import Proof
from edgetune.storage.files import write_json, write_text

PROOF_KEY = "edgetune.proof"
"""The metadata key of the short form."""
PROOF_BYTES = 512
"""Bytes of its value, filled up with spaces."""
UNPROVEN = "not proven".ljust(PROOF_BYTES)
"""The value until a proof fills it in."""
GGUF_STRING = 8
"""GGUF's number for a string (ggml/docs/gguf.md)."""
PROOF_FORMAT = 1
"""Version of proof.json."""


def proof_record(proof: Proof, facts: dict[str, Any]) -> dict[str, Any]:
    """The whole proof, for proof.json. facts: of the file (its hash, its run, its base)."""
    return _finite(
        {
            "format": PROOF_FORMAT,
            "file": proof.name,
            "type": proof.type,
            "passed": proof.passed,
            "causes": proof.causes,
            **({"rounding": proof.rounding} if proof.rounding else {}),
            **facts,
            "measured_on": proof.sample,
            "seconds": round(proof.seconds, 1),
            "checks": {check.name: check.as_dict() for check in proof.checks},
        }
    )


def _finite(value: Any) -> Any:
    """A value as JSON can hold it: numbers that are none become null."""
    if isinstance(value, dict):
        return {key: _finite(member) for key, member in value.items()}
    if isinstance(value, list):
        return [_finite(member) for member in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def short_form(proof: Proof) -> str:
    """The proof in at most SIZE bytes of JSON."""
    figures = {
        "kl": proof.figure("behaviour", "kl_mean"),
        "top1": proof.figure("behaviour", "top1"),
        "meaning_kl": proof.figure("meaning", "kl_mean"),
        "strength": proof.figure("weights", "strength"),
        "slope": proof.figure("behaviour", "slope"),
    }
    known = {name: float(f"{value:.3g}") for name, value in figures.items() if value is not None and math.isfinite(value)}
    value = {"passed": proof.passed, "tokens": proof.sample.get("tokens", 0), **known}
    if proof.rounding:
        value["rounding"] = proof.rounding

    # The first cause, as far as the fixed size allows: characters that JSON would escape are replaced, so that each takes one byte.
    room = PROOF_BYTES - len(json.dumps({**value, "cause": ""}).encode())
    if proof.causes:
        value["cause"] = proof.causes[0].encode("ascii", "replace").decode().replace('"', "'").replace("\\", "/")[:room]
    return json.dumps(value)


def write_short_form(file: BinaryIO, text: str) -> bool:
    """Write the short form into a GGUF that reserved its place; False where it did not. The file's size stays as it is."""
    start = struct.pack("<Q", len(PROOF_KEY)) + PROOF_KEY.encode() + struct.pack("<IQ", GGUF_STRING, PROOF_BYTES)
    position = _find(file, start)
    if position is None:
        return False
    file.seek(position + len(start))
    file.write(text.encode().ljust(PROOF_BYTES)[:PROOF_BYTES])
    file.flush()
    return True


def _find(file: BinaryIO, pattern: bytes, block_bytes: int = 2**20) -> int | None:
    """Where bytes first stand in a file; our own keys come before the tensor data, so that little is read."""
    file.seek(0)
    tail = b""  # of the block before, as the pattern may lie across two
    position = 0
    while block := file.read(block_bytes):
        index = (tail + block).find(pattern)
        if index >= 0:
            return position - len(tail) + index
        position += len(block)
        tail = (tail + block)[-len(pattern) :]
    return None


def proof_paths(gguf: Path) -> tuple[Path, Path]:
    """Where a GGUF's proof.json and its page lie."""
    return gguf.with_suffix(".proof.json"), gguf.with_suffix(".proof.html")


def write_proof(proof: Proof, gguf: Path, facts: dict[str, Any]) -> tuple[Path, Path]:
    """Write proof.json and the page beside a GGUF, named after it; returns their paths."""
    whole = proof_record(proof, facts)
    record, page = proof_paths(gguf)
    write_json(record, whole)
    write_text(page, proof_page(whole))
    return record, page
