"""What a run could be exported as: each type's size, what it costs in quality, and about how fast it would answer here."""

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from edgetune.estimate import generation_speed, gguf_types
from edgetune.runs import manage
from edgetune.storage.workspace import Run


@dataclass(frozen=True)
class ExportOption:
    """One type of a run.

    bytes: of the file, about where it is not written. loss: mean KL divergence from the full model's predictions in nats, None where it is
    not known; measured: whether it was measured by this file's own proof, on the run's held-out rows, or else published of another model
    (gguf_types.py). same: share of equal most likely tokens, where it was measured. speed: tokens a second here, estimated (pace.py).
    """

    type: str
    bytes: int
    written: bool
    proven: bool
    loss: float | None
    measured: bool
    same: float | None
    speed: float
    words: str

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def list_export_options(run: Run) -> list[ExportOption]:
    """The usual types, the largest first. It takes some hundredths of a second the first time: memory is timed."""
    parameters = int(run.request().get("base_parameters", 0))
    written = {one["type"]: one for one in manage.export_records(run)}
    found = []
    for fact in (one for one in gguf_types.FACTS if one.offered):
        made = written.get(fact.name)
        size = int(made["bytes"]) if made else fact.size(parameters)
        figures = _behaviour(run, made) if made else {}
        loss = figures.get("kl_mean")
        found.append(
            ExportOption(
                type=fact.name,
                bytes=size,
                written=made is not None,
                proven=bool(made and made.get("proof", {}).get("passed")),
                loss=fact.loss if loss is None else loss,
                measured=loss is not None,
                same=figures.get("top1"),
                speed=generation_speed.tokens_per_second(size, 0 if fact.name in gguf_types.UNQUANTIZED_TYPES else parameters),
                words=fact.words,
            )
        )
    return found


def _behaviour(run: Run, made: dict[str, Any]) -> dict[str, float]:
    """What an export's proof measured of its behaviour; nothing where there is no proof that can be read."""
    try:
        record = run.exports / Path(made["path"]).with_suffix(".proof.json").name
        figures = json.loads(record.read_text(encoding="utf-8"))["checks"]["behaviour"]["figures"]
        return {name: float(figures[name]) for name in ("kl_mean", "top1") if math.isfinite(figures[name])}
    except (OSError, ValueError, KeyError, TypeError):
        return {}
