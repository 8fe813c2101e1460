"""Licences as model cards and hubs name them."""

from pathlib import Path

import pytest

from edgetune.bases.licence import licence


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
