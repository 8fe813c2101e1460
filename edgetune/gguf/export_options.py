"""What a run could be exported as: each type's size, what it costs in quality, and about how fast it would answer here."""

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from converters.file_types import UNQUANTIZED
from edgetune.estimate import generation_speed, gguf_types
from edgetune.runs import manage
from edgetune.storage.workspace import Run


@dataclass(frozen=True)
class ExportOption:
    """One type of a run.

    bytes: of the file, about where it is not written. loss: mean KL divergence from the full model's predictions in nats, None where it is
    not known; measured: whether it was measured by this file's own proof, on the run's held-out rows, or else published of another model
    (gguf_types.py). same: share of equal most likely tokens, where it was measured. speed: tokens a second here, estimated
    (generation_speed.py). description: whom the type suits.
    """

    type: str
    bytes: int
    written: bool
    proven: bool
    loss: float | None
    measured: bool
    same: float | None
    speed: float
    description: str

    def as_dict(self) -> dict[str, Any]:
        """For JSON, where the description is named `words`."""
        values = asdict(self)
        values["words"] = values.pop("description")
        return values


def list_export_options(run: Run) -> list[ExportOption]:
    """The usual types, the largest first. It takes some hundredths of a second the first time: memory is timed."""
    parameters = int(run.request().get("base_parameters", 0))
    exports = {export["type"]: export for export in manage.export_records(run)}
    options = []
    for fact in (fact for fact in gguf_types.FACTS if fact.offered):
        # What is written has been measured; the rest is estimated.
        export = exports.get(fact.name)
        size = int(export["bytes"]) if export else fact.size(parameters)
        figures = _behaviour(run, export) if export else {}
        loss = figures.get("kl_mean")

        quantized = fact.name not in UNQUANTIZED
        options.append(
            ExportOption(
                type=fact.name,
                bytes=size,
                written=export is not None,
                proven=bool(export and export.get("proof", {}).get("passed")),
                loss=fact.loss if loss is None else loss,
                measured=loss is not None,
                same=figures.get("top1"),
                speed=generation_speed.tokens_per_second(size, parameters if quantized else 0),
                description=fact.description,
            )
        )
    return options


def _behaviour(run: Run, export: dict[str, Any]) -> dict[str, float]:
    """What an export's proof measured of its behaviour; nothing where there is no proof that can be read."""
    try:
        record = run.exports / Path(export["path"]).with_suffix(".proof.json").name
        figures = json.loads(record.read_text(encoding="utf-8"))["checks"]["behaviour"]["figures"]
        return {name: float(figures[name]) for name in ("kl_mean", "top1") if math.isfinite(figures[name])}
    except (OSError, ValueError, KeyError, TypeError):
        return {}
