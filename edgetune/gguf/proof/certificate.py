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
"""What stands there until a proof fills it in."""
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
            **facts,
            "measured_on": proof.sample,
            "seconds": round(proof.seconds, 1),
            "checks": {check.name: check.as_dict() for check in proof.checks},
        }
    )


def _finite(value: Any) -> Any:
    """A value as JSON can hold it: numbers that are none become null."""
    if isinstance(value, dict):
        return {key: _finite(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_finite(one) for one in value]
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
    room = PROOF_BYTES - len(json.dumps({**value, "cause": ""}).encode())
    if proof.causes:
        value["cause"] = proof.causes[0].encode("ascii", "replace").decode().replace('"', "'").replace("\\", "/")[:room]
    return json.dumps(value)


def write_short_form(file: BinaryIO, text: str) -> bool:
    """Write the short form into a GGUF that reserved its place; False where it did not. The file's size stays as it is."""
    start = struct.pack("<Q", len(PROOF_KEY)) + PROOF_KEY.encode() + struct.pack("<IQ", GGUF_STRING, PROOF_BYTES)
    place = _find(file, start)
    if place is None:
        return False
    file.seek(place + len(start))
    file.write(text.encode().ljust(PROOF_BYTES)[:PROOF_BYTES])
    file.flush()
    return True


def _find(file: BinaryIO, wanted: bytes, piece: int = 2**20) -> int | None:
    """Where bytes first stand in a file; our own keys come before the tensor data, and are found early."""
    file.seek(0)
    before, at = b"", 0
    while block := file.read(piece):
        found = (before + block).find(wanted)
        if found >= 0:
            return at - len(before) + found
        at += len(block)
        before = (before + block)[-len(wanted) :]
    return None


def proof_paths(gguf: Path) -> tuple[Path, Path]:
    """Where a GGUF's proof.json and its page lie."""
    return gguf.with_suffix(".proof.json"), gguf.with_suffix(".proof.html")


def write_proof(proof: Proof, gguf: Path, facts: dict[str, Any]) -> tuple[Path, Path]:
    """Write proof.json and the page beside a GGUF, named after it; returns their paths."""
    whole, (record, page) = proof_record(proof, facts), proof_paths(gguf)
    write_json(record, whole)
    write_text(page, proof_page(whole))
    return record, page
