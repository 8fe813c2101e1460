"""What cannot be trained on an architecture, and why; all else works on all of them, as tests/methods/test_sweep.py tries."""

from typing import Any

_APART = "its {} run over a packed row from end to end, so that one example would see the one before it"
PACKING_REFUSED = {
    "lfm2": _APART.format("convolutions"),
    "qwen3_5_text": _APART.format("linear attention and convolutions"),
}
"""Architectures whose examples cannot be packed, and why: no version of these layers that starts anew within a row is part of torch."""


def find_refusal(recipe: Any, architecture: str) -> str:
    """Why a recipe cannot be trained on a base of an architecture (its text part's model_type), or an empty text."""
    return PACKING_REFUSED.get(architecture, "") if recipe.packing else ""
