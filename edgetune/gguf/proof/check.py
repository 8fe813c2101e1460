"""The result of one of the proof's checks."""

from dataclasses import dataclass, field
from typing import Any


@dataclass
class Check:
    """A check's result.

    name: "text", "weights", "meaning" or "behaviour". causes: what is wrong, in words, the weightiest first; none: the check passed.
    figures: what was measured. limits: what the figures were compared with. notes: what a reader should know, and no cause to fail.
    """

    name: str
    causes: list[str] = field(default_factory=list)
    figures: dict[str, Any] = field(default_factory=dict)
    limits: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        """Whether nothing is wrong."""
        return not self.causes

    def as_dict(self) -> dict[str, Any]:
        """For proof.json."""
        return {"passed": self.passed, "causes": self.causes, "figures": self.figures, "limits": self.limits, "notes": self.notes}
