"""The word for whether a base can be trained here, at the edges of the free memory; and licences as model cards name them."""

from pathlib import Path

import pytest

from edgetune.bases import find
from edgetune.bases.licence import licence
from edgetune.config.recipe import Recipe
from edgetune.estimate import fit, fits


def test_it_fits_is_tight_or_cannot_be(nano: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    base, recipe = find.describe_base(nano), Recipe(batch_size=8, quantization="none")
    need = fit.INTERPRETER + fit.training_memory(recipe, base, "cpu").total
    least = fit.smallest_change(recipe, base, "cpu", need - 1)
    assert least
    for free, word, why in (
        (need * 2, "fits", "of"),
        (need, "tight", "close other"),
        (need - 1, "tight", least.words),
        (10**6, "no", "no change"),
    ):
        monkeypatch.setattr(fit, "free_memory", lambda device, free=free: free)
        found = fits.fits(base, recipe)
        assert found.value == word and why in found.reason


@pytest.mark.parametrize(
    ("card", "named"),
    [
        ("---\nlicense: mit\n---\ntext", "mit"),
        ("---\nlicense: other\nlicense_name: 'our own'\n---", "our own"),
        ("# no head\nlicense: mit", ""),
        ("---\ntags: x\n---\nlicense: mit", ""),
        ("", ""),
    ],
)
def test_the_licence_stands_in_the_head_of_the_card(card: str, named: str, tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text(card, encoding="utf-8")
    assert licence(tmp_path) == named
    (tmp_path / "fetched.json").write_text('{"licence": "apache-2.0"}', encoding="utf-8")
    assert licence(tmp_path) == "apache-2.0", "what the hub said counts more"
