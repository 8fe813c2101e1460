"""What a proof leaves behind beside the GGUF: a record (.proof.json) and a page that a person can read (.proof.html)."""

import math
from pathlib import Path
from typing import Any

from edgetune.files import write_json, write_text
from edgetune.proof.page import html
from edgetune.proof.prove import Proof

FORMAT = 1
"""Version of proof.json."""


def as_dict(proof: Proof, facts: dict[str, Any]) -> dict[str, Any]:
    """The whole proof, for proof.json. facts: of the file (its hash, its run, its base)."""
    return _finite(
        {
            "format": FORMAT,
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


def write(proof: Proof, gguf: Path, facts: dict[str, Any]) -> tuple[Path, Path]:
    """Write proof.json and the page beside a GGUF, named after it; returns their paths."""
    whole = as_dict(proof, facts)
    record, page = gguf.with_suffix(".proof.json"), gguf.with_suffix(".proof.html")
    write_json(record, whole)
    write_text(page, html(whole))
    return record, page
