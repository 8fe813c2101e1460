"""Values as people read them: one spelling for the command line, the app and the pages."""

import pytest

from edgetune.formatting import format_count, format_counted, format_duration, format_number, format_share, format_size


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (1_234_567, "1.2 MiB"), (5 * 2**40, "5120.0 GiB"), (-2048, "-2.0 KiB")],
)
def test_sizes_are_in_powers_of_1024(size: int, text: str) -> None:
    assert format_size(size) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "-"), (0.4, "0 s"), (59.6, "1 min 00 s"), (185, "3 min 05 s"), (3599.6, "1 h 00 min"), (8040, "2 h 14 min")],
)
def test_times_round_before_they_carry(seconds: float | None, text: str) -> None:
    assert format_duration(seconds) == text


def test_counts_figures_and_shares() -> None:
    assert [format_count(1234567), format_count(2.5), format_number(None), format_number(0.12345)] == ["1,234,567", "2.5", "-", "0.123"]
    assert [format_counted(1, "row"), format_counted(2000, "row"), format_counted(0, "pass", "passes")] == [
        "1 row",
        "2,000 rows",
        "0 passes",
    ]
    assert [
        format_share(0),
        format_share(1, 3000),
        format_share(1, 8),
        format_share(2999.9, 3000),
        format_share(1),
        format_share(1, 0),
    ] == [*("0%", "<0.1%", "12%", ">99.9%", "100%", "0%")]
