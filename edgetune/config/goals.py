"""What people want from a run, in their words, and the recipe that each wish means."""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Goal:
    """A wish. kinds: the kinds of examples it can be reached with. options: what it sets in the recipe. why: the reason, in words.

    sized_presets: presets that are made for so many rows at most, the fewest first.
    """

    name: str
    title: str
    what: str
    kinds: tuple[str, ...]
    method: str
    preset: str
    why: str
    options: dict[str, Any] = field(default_factory=dict)
    sized_presets: tuple[tuple[int, str], ...] = ()


GOALS = (
    Goal(
        "teach",
        "Teach facts or a style",
        "The model learns what your examples say and how they say it.",
        ("conversation",),
        "sft",
        "balanced",
        "sft on whole answers, a medium-sized adapter. New facts can displace old ones; a replay file guards against it.",
    ),
    Goal(
        "format",
        "Follow a format",
        "Answers in one shape: JSON, labels, short replies.",
        ("conversation",),
        "sft",
        "quick",
        "sft with a small adapter and one pass: a shape is learned quickly, and a small adapter forgets little.",
    ),
    Goal(
        "prefer",
        "Steer by preference",
        "Chosen and rejected answers say what is better.",
        ("preference",),
        "dpo",
        "pairs-200",
        "dpo learns from pairs directly; a share of plain learning of the chosen answers guards what the model knows.",
        sized_presets=((99, "pairs-50"), (499, "pairs-200"), (10**9, "pairs-1000")),
    ),
    Goal(
        "judge",
        "Steer by thumbs up and down",
        "Single answers judged good or bad, in no pairs.",
        ("unpaired",),
        "kto",
        "balanced",
        "kto learns from single rated answers, without pairs.",
    ),
    Goal(
        "read",
        "Continue pretraining on my documents",
        "Plain text, as in its first training: a language, a field, a voice.",
        ("text",),
        "sft",
        "careful",
        "sft on plain text, every token counts; a larger adapter, and it stops when held-out text no longer gets easier.",
        {"packing": True},
    ),
)

GOAL_ROW_KINDS = {
    "conversation": "conversations",
    "preference": "chosen and rejected answers",
    "unpaired": "answers judged good or bad",
    "text": "plain text",
}
"""The kinds of examples in people's words."""


def goal(name: str) -> Goal:
    """The goal of a name."""
    return next(known for known in GOALS if known.name == name)


def goal_preset(wish: Goal, rows: int) -> str:
    """The preset of a wish; for pairs the one made for about so many. rows: how many there are, 0 where that is not known."""
    return next((name for most, name in wish.sized_presets if rows <= most), wish.preset) if rows else wish.preset


def find_goal_problem(wish: Goal, kind: str) -> str:
    """Why a goal cannot be reached with examples of a kind (empty: not known yet), or an empty text."""
    if kind and kind not in wish.kinds:
        return f"needs {' or '.join(GOAL_ROW_KINDS[row_kind] for row_kind in wish.kinds)}; yours are {GOAL_ROW_KINDS.get(kind, kind)}"
    return ""
