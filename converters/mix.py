"""Combine one or several weighted adapters into one change of a base, as PEFT's `add_weighted_adapter(combination_type="cat")` does.

Low-rank changes add up: W + Σ weight·scale·B·A. What is not a sum (DoRA, tensors trained whole, trained rows) comes from one adapter
at weight 1 alone, or is refused by name.
"""

import math
from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np

from converters.errors import ConversionError
from converters.merge import Adapter
from converters.weights import RowSelection, StoredTensor, check_finite

WeightedAdapter = tuple[Path, float]
"""An adapter's folder and its weight."""
LOW_RANK = {"A", "B"}


class Mix:
    """Adapters with weights, with the interface of one `Adapter`. Raises ConversionError for what cannot be combined."""

    def __init__(self, adapters: Sequence[WeightedAdapter]) -> None:
        self.adapters = [(Adapter(folder), weight) for folder, weight in adapters]
        for adapter, weight in self.adapters:
            if not math.isfinite(weight):
                raise ConversionError(
                    "An adapter's weight is not a number",
                    f"{adapter.folder.name} has weight {weight}.",
                    "Give it a finite weight, for example 0.5.",
                )

    def leave_out(self, text: Collection[str]) -> list[str]:
        """Leave out what the adapters change beside the text part (see `Adapter.leave_out`). Returns notes."""
        return [note for adapter, _ in self.adapters for note in adapter.leave_out(text)]

    def full(self) -> dict[str, StoredTensor]:
        """The tensors that an adapter replaces whole."""
        return {
            name: change.parts["full"] for adapter, _ in self.adapters for name, change in adapter.changes.items() if "full" in change.parts
        }

    def replacements(self, names: Collection[str]) -> dict[str, StoredTensor]:
        """The base's own tensors that the adapters carry (see `Adapter.replacements`); two must not carry different ones."""
        carried: dict[str, StoredTensor] = {}
        for adapter, _ in self.adapters:
            for name, tensor in adapter.replacements(names).items():
                other = carried.setdefault(name, tensor)
                if not other.same_as(tensor):
                    raise ConversionError(
                        "The adapters cannot be combined",
                        f"They carry different versions of the base's {name}.",
                        "Export with one of them, or merge them into the base one after the other.",
                    )
        return carried

    def check(self, shapes: dict[str, tuple[int, ...]], transposed: tuple[str, ...] = ()) -> None:
        """Check every adapter against the base (see `Adapter.check`), then the adapters against each other."""
        problems = []
        for adapter, weight in self.adapters:
            adapter.check(shapes, transposed)
            for name, change in adapter.changes.items():
                kinds = set(change.parts) - LOW_RANK
                also_changed = [other.folder.name for other, _ in self.adapters if other is not adapter and other.touches(name)]
                if kinds and weight != 1.0:
                    problems.append(f"{adapter.folder.name} changes {name} by {_describe(kinds)}, which cannot be weighted")
                elif kinds and also_changed:
                    problems.append(f"{adapter.folder.name} changes {name} by {_describe(kinds)}, and {also_changed[0]} changes it too")

        if problems:
            more = f" … and {len(problems) - 3} more" if len(problems) > 3 else ""
            raise ConversionError(
                "These adapters cannot be combined",
                "; ".join(problems[:3]) + more + ".",
                "Use only one adapter, at weight 1, for a tensor that is changed by more than low-rank factors.",
            )

    def touches(self, name: str) -> bool:
        """Whether any of the adapters changes this base tensor."""
        return any(adapter.touches(name) for adapter, _ in self.adapters)

    def only_rows(self, name: str) -> bool:
        """Whether the changes to this tensor are trained rows alone, which a tied twin shares."""
        changes = [adapter.changes[name] for adapter, _ in self.adapters if adapter.touches(name)]
        return bool(changes) and all(set(change.parts) == {"rows"} for change in changes)

    def merge(self, name: str, base: StoredTensor, rows: RowSelection = slice(None)) -> np.ndarray:
        """The merged tensor, or some of its rows, in float32."""
        touching = [(adapter, weight) for adapter, weight in self.adapters if adapter.touches(name)]
        if len(touching) == 1 and touching[0][1] == 1.0:
            return touching[0][0].merge(name, base, rows)

        result = base.load(rows)
        for adapter, weight in touching:
            adapter.add(name, result, weight, rows)
        check_finite(result, f"{name} merged with the adapters")
        return result


def _describe(kinds: set[str]) -> str:
    return " and ".join({"magnitude": "DoRA", "full": "a fully trained tensor", "rows": "trained rows"}[kind] for kind in sorted(kinds))
