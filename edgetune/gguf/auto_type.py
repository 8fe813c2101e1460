"""`--type auto`: export as the smallest of the usual types that holds what was learned, found by proving one after another."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgetune.errors import EdgeTuneError
from edgetune.estimate.gguf_types import DEFAULT_TYPE, FACTS
from edgetune.gguf.proof import certificate
from edgetune.gguf.proof.prove import Prover
from edgetune.gguf.proof.weights import LOST_IN_ROUNDING
from edgetune.gguf.source import Source
from edgetune.gguf.write import export_gguf, require_proven

MIN_KEPT = 0.95
"""Share of the learned change that must be in the file's weights, and show in its answers."""
MAX_NOISE = 1.0
"""Most noise of the type in the answers, as a share of the learned change: with more, the noise drowns it."""
_SIZES = [fact.name for fact in FACTS if fact.offered]
CANDIDATES = tuple(reversed(_SIZES[: _SIZES.index(DEFAULT_TYPE) + 1]))
"""The types that are tried, the smallest first: fewer bits than the usual type's cost more than anyone asks for who names none."""


@dataclass(frozen=True)
class Trial:
    """What a type's proof measured. weights, answers: shares of the learned change. noise: of the type, as a share of that change."""

    type: str
    passed: bool
    weights: float | None
    answers: float | None
    noise: float | None

    @property
    def shortfall(self) -> str:
        """Why the type is not taken, in words; empty where it holds the change."""
        if self.noise is not None and self.noise > MAX_NOISE:
            return f"its noise is {self.noise:.2g} times the learned change"
        for share, where in ((self.weights, "in its weights"), (self.answers, "in its answers")):
            if share is not None and share < MIN_KEPT:
                return f"it holds {share:.2f} of the learned change {where}"
        return "" if self.passed else "its proof failed"

    def figures(self) -> str:
        """What was measured, in words."""
        shares = [(self.weights, "of the learned change in its weights"), (self.answers, "in its answers")]
        parts = [f"{share:.2f} {where}" for share, where in shares if share is not None]
        return ", ".join([*parts, *([f"noise {self.noise:.2g} of it"] if self.noise is not None else [])])

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"type": self.type, "passed": self.passed, "weights": self.weights, "answers": self.answers, "noise": self.noise}


def trial_of(export: dict[str, Any], proving: Prover) -> Trial:
    """What the proof of an export measured. proving: the prover that proved it last."""
    proof = proving.last
    assert proof is not None
    figures = (proof.figure(*where) for where in (("weights", "strength"), ("behaviour", "slope"), ("behaviour", "noise")))
    return Trial(export["type"], proof.passed, *figures)


def export_smallest_type(
    source: Source,
    out: Path | None,
    progress: Callable[[str, int, int], None] | None,
    note: Callable[[str], None],
    proving: Prover,
    imatrix: Path | None = None,
) -> dict[str, Any]:
    """Write and prove types until one holds the change; gives that export, with `auto`: what was tried and why this one.

    Files of types that do not hold it are removed. Raises EdgeTuneError where a file is wrong for another reason, or no type holds it.
    """
    trials: list[Trial] = []
    for type_name in CANDIDATES:
        export = export_gguf(source, [type_name], out, progress, imatrix, note, proving)[0]
        trial = trial_of(export, proving)
        trials.append(trial)
        if not trial.shortfall:
            earlier = "".join(f"; {tried.type}: {tried.shortfall}" for tried in trials[:-1])
            reason = f"{type_name} is the smallest of {', '.join(CANDIDATES)} that holds the change ({trial.figures()}){earlier}"
            note(f"auto: {reason}")
            return {**export, "auto": {"reason": reason, "tried": [tried.as_dict() for tried in trials]}}
        if _is_faulty(proving):
            require_proven([export])
        note(f"auto: {type_name} is not enough: {trial.shortfall}")
        _remove(Path(export["path"]))
    raise EdgeTuneError(
        f"No type holds what {source.name} learned",
        "; ".join(f"{trial.type}: {trial.shortfall}" for trial in trials) + ".",
        "Export the adapter alone with --adapter-only and load it on the base's own file, or train longer.",
    )


def _is_faulty(proving: Prover) -> bool:
    """Whether a file is wrong, where another type would not help: something else than rounding is the cause."""
    assert proving.last is not None
    for check in proving.last.checks:
        if check.name != "behaviour" and any(not cause.startswith(LOST_IN_ROUNDING) for cause in check.causes):
            return True
    return False


def _remove(path: Path) -> None:
    """Remove a file that is not kept, with what lies beside it."""
    for part in (path, path.with_suffix(".json"), *certificate.proof_paths(path)):
        part.unlink(missing_ok=True)
