"""Paths with a number behind them, as flags for data and adapters accept them."""

import math
from pathlib import Path

import pytest

from edgetune.storage.paths import split_number


@pytest.mark.parametrize(
    ("argument", "path", "number"),
    [
        ("rows.jsonl", "rows.jsonl", None),
        ("rows.jsonl:2", "rows.jsonl", 2.0),
        ("rows.jsonl:-.5e1", "rows.jsonl", -5.0),
        ("folder:with:0.5", "folder:with", 0.5),
        ("rows.jsonl:much", "rows.jsonl:much", None),
        ("rows.jsonl:", "rows.jsonl:", None),
        (":2", ":2", None),
        ("C:\\rows.jsonl", "C:\\rows.jsonl", None),
        ("C:\\rows.jsonl:3", "C:\\rows.jsonl", 3.0),
        ("C:3", "C:3", None),
        ("rows.jsonl:inf", "rows.jsonl", math.inf),
    ],
)
def test_a_number_behind_a_path(argument: str, path: str, number: float | None) -> None:
    assert split_number(argument) == (Path(path), number)


def test_a_file_that_exists_decides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a").mkdir()
    (tmp_path / "b:2").mkdir()
    assert split_number("a:2") == (Path("a"), 2.0)
    assert split_number("b:2") == (Path("b:2"), None)
    assert split_number("b:2:3") == (Path("b:2"), 3.0)


def test_a_home_is_spelled_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/somewhere")
    assert split_number("~/rows.jsonl:2") == (Path("/somewhere/rows.jsonl"), 2.0)
